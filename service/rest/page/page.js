"use strict";

const element = (id) => document.getElementById(id);
const state = { file: null, reply: null, key: "" };

async function ask(accept) {
  const headers = { Accept: accept, "Content-Type": state.file.type || "application/octet-stream" };
  if (state.key) headers["X-API-Key"] = state.key;
  const response = await fetch("/v1/reconstruct", { method: "POST", headers, body: state.file });
  if (response.ok) return response;
  if (response.status === 401) askForKey();
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  throw new Error(problem.detail);
}

// Whether keys are on is learnt from the first refusal: the service tells nobody beforehand.
function askForKey() {
  state.key = "";
  element("door").hidden = false;
  element("key").focus();
}

function cell(text) {
  const td = document.createElement("td");
  td.textContent = text;
  return td;
}

function show(reply) {
  const rows = reply.people.map((person) => {
    const row = document.createElement("tr");
    const numbers = [person.score, ...person.translation, person.height_m].map((value) => value.toFixed(2));
    row.append(...[String(person.id), ...numbers].map(cell));
    return row;
  });
  element("people").replaceChildren(...rows);
  const { image, camera, timings_ms: times, model } = reply;
  element("facts").textContent =
    `${image.width} × ${image.height} pixels, focal length ${camera.fx.toFixed(0)} px (${camera.source}), ` +
    `model ${model.name} ${model.version}, network ${times.infer.toFixed(0)} ms`;
}

async function reconstruct(file) {
  state.file = file;
  element("result").hidden = true;
  element("status").textContent = "Working…";
  try {
    state.reply = await (await ask("application/json")).json();
    const picture = await (await ask("image/jpeg")).blob();
    URL.revokeObjectURL(element("overlay").src);
    element("overlay").src = URL.createObjectURL(picture);
    show(state.reply);
    const count = state.reply.people.length;
    element("status").textContent = count === 0 ? "Nobody found." : `${count} ${count === 1 ? "person" : "people"} found.`;
    element("result").hidden = false;
  } catch (error) {
    element("status").textContent = `That did not work: ${error.message}`;
  }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function download(accept, name) {
  try {
    save(await (await ask(accept)).blob(), name);
  } catch (error) {
    element("status").textContent = `That did not work: ${error.message}`;
  }
}

element("file").addEventListener("change", (event) => event.target.files[0] && reconstruct(event.target.files[0]));
element("json").addEventListener("click", () =>
  save(new Blob([JSON.stringify(state.reply, null, 1)], { type: "application/json" }), "people.json"));
element("glb").addEventListener("click", () => download("model/gltf-binary", "scene.glb"));
element("zip").addEventListener("click", () => download("application/zip", "people.zip"));

element("door").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = element("key").value.trim();
  element("key").value = "";
  element("door").hidden = true;
  if (state.file) reconstruct(state.file);
});

const drop = element("drop");
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
document.addEventListener("drop", (event) => event.dataTransfer.files[0] && reconstruct(event.dataTransfer.files[0]));
