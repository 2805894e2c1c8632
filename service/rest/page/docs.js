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
  if (method === "get" && !path.includes("{")) section.append(...trial(path));
  return section;
}

// A button that makes the call and shows what comes back.
function trial(path) {
  const button = make("button", "Call it");
  const shown = make("pre");
  shown.hidden = true;
  shown.tabIndex = 0;
  button.type = "button";
  button.addEventListener("click", async () => {
    const response = await fetch(path.slice(1));
    const text = await response.text();
    const isJson = response.headers.get("Content-Type")?.includes("json");
    shown.textContent = `${response.status}\n${isJson ? JSON.stringify(JSON.parse(text), null, 1) : text}`.slice(0, 20_000);
    shown.hidden = false;
  });
  return [button, shown];
}

// Of this very service: its port, and the path prefix of a proxy before it.
function calls() {
  const address = new URL("v1/reconstruct", document.baseURI).href;
  const json = `curl --data-binary @photo.jpg -H "Content-Type: image/jpeg" ${address}`;
  const files = [["model/gltf-binary", "scene.glb"], ["image/jpeg", "overlay.jpg"]];
  return [json, ...files.map(([type, name]) => `curl -F image=@photo.jpg -H "Accept: ${type}" -o ${name} ${address}`)].join("\n");
}

document.getElementById("calls").textContent = calls();
const api = await (await fetch("openapi.json")).json();
for (const [path, methods] of Object.entries(api.paths))
  for (const [method, facts] of Object.entries(methods))
    document.getElementById("operations").append(operation(path, method, facts));
