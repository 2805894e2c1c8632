"use strict";

function make(tag, ...children) {
  const node = document.createElement(tag);
  node.append(...children);
  return node;
}

function table(head, rows) {
  const cells = (tag, values) => make("tr", ...values.map((value) => make(tag, value)));
  const node = make("table", make("thead", cells("th", head)), make("tbody", ...rows.map((row) => cells("td", row))));
  node.className = "reference";
  return node;
}

function bounds(schema) {
  const parts = [schema.type];
  if (schema.enum || schema.items?.enum) parts.push((schema.enum || schema.items.enum).join(" | "));
  if ("minimum" in schema) parts.push(`≥ ${schema.minimum}`);
  if ("exclusiveMinimum" in schema) parts.push(`> ${schema.exclusiveMinimum}`);
  if ("maximum" in schema) parts.push(`≤ ${schema.maximum}`);
  return parts.join(", ");
}

function operation(path, method, facts) {
  const section = make("section", make("h2", make("code", `${method.toUpperCase()} ${path}`)));
  if (facts.description) section.append(make("p", facts.description));
  const body = Object.keys(facts.requestBody?.content ?? {});
  if (body.length) section.append(make("p", `Body: ${body.join(", ")}`));
  const parameters = facts.parameters ?? [];
  if (parameters.length) {
    const rows = parameters.map((one) => [make("code", one.name), bounds(one.schema), one.description ?? ""]);
    section.append(table(["Option", "Value", ""], rows));
  }
  const rows = Object.entries(facts.responses).map(([status, one]) =>
    [status, one.description, Object.keys(one.content ?? {}).join(", ")]);
  section.append(table(["Status", "", "Formats"], rows));
  return section;
}

async function main() {
  const api = await (await fetch("/openapi.json")).json();
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, facts] of Object.entries(methods))
      document.getElementById("operations").append(operation(path, method, facts));
}

main();
