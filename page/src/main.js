import * as api from "./api.js";
import { cameraProblem, openCamera, takePhoto } from "./camera.js";
import { colourOf } from "./colours.js";
import { forgetAll, remember, remembered } from "./history.js";
import { factsOf, make, rows } from "./people.js";
import { View } from "./scene.js";
import "./style.css";

const LOWEST_SCORE = 0.1; // asked for, so that the slider answers without a request
const FOV_DELAY_MS = 400; // of stillness before a new request
const DOWNLOADS = [
  ["JSON", "application/json", "people.json"],
  ["GLB", "model/gltf-binary", "people.glb"],
  ["ZIP", "application/zip", "people.zip"],
  ["JPEG", "image/jpeg", "overlay.jpg"],
  ["PNG", "image/png", "overlay.png"],
];

const element = (id) => document.getElementById(id);
const state = { photo: null, reply: null, selected: -1, faces: null, known: null, stopCamera: null, asked: 0 };
const view = new View(element("canvas"), { onPick: select, onMove: placeBadges });

function say(text, failed = false) {
  element("status").textContent = text;
  element("status").classList.toggle("failed", failed);
}

function options(more = {}) {
  const fov = element("fov").value;
  return { ...(element("fov-on").checked ? { fov_degrees: fov } : {}), ...more };
}

async function reconstruct(photo) {
  const asked = ++state.asked; // a later photo wins over an answer that comes late
  closeCamera();
  state.photo = photo;
  const refusal = api.refusal(photo, state.known);
  if (refusal) return fail(new api.Problem(refusal));
  document.body.classList.add("working");
  say("Looking for people…");
  try {
    state.faces ??= await api.faces();
    const wanted = options({ threshold: LOWEST_SCORE, include: "vertices" });
    const reply = await (await api.reconstruct(photo, "application/json", wanted)).json();
    if (asked !== state.asked) return;
    await show(photo, reply);
    const result = { name: photo.name, blob: photo.blob, reply, thumbnail: await thumbnail(), time: Date.now() };
    await remember(result);
    await listHistory();
  } catch (error) {
    if (asked === state.asked) fail(error);
  } finally {
    if (asked === state.asked) document.body.classList.remove("working");
  }
}

function fail(error) {
  element("result").hidden = true;
  say(error.message, true);
  element("door").hidden = error.status !== 401;
  if (error.status === 401) element("key").focus();
}

async function show(photo, reply) {
  state.photo = photo;
  state.reply = reply;
  state.selected = -1;
  element("result").hidden = false;
  element("stage").style.aspectRatio = `${reply.image.width} / ${reply.image.height}`;
  await showPhoto(photo);
  element("people").replaceChildren(...rows(reply.people, select));
  element("badges").replaceChildren(...reply.people.map((_, index) => badge(index)));
  view.show(reply, state.faces);
  setMode("photo");
  showFacts();
  showCode();
}

// Browsers cannot show every photo that the service reads (HEIC): then its own JPEG is shown, people included.
async function showPhoto(photo) {
  const image = element("photo");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(photo.blob);
  try {
    await image.decode();
  } catch {
    const drawn = await api.reconstruct(photo, "image/jpeg", options());
    image.src = URL.createObjectURL(await drawn.blob());
    await image.decode();
  }
}

function badge(index) {
  const button = make("button", { type: "button", text: String(index + 1), "aria-label": `Person ${index + 1}` });
  button.style.background = colourOf(index);
  button.addEventListener("click", () => select(index));
  return button;
}

function placeBadges() {
  [...element("badges").children].forEach((button, index) => {
    const place = state.reply && isShown(index) ? view.headOf(index) : null;
    button.hidden = place === null;
    if (place) button.style.transform = `translate(-50%, -50%) translate(${place[0]}px, ${place[1]}px)`;
  });
}

function threshold() {
  return Number(element("threshold").value);
}

function isShown(index) {
  return state.reply.people[index].score >= threshold();
}

function select(index) {
  state.selected = index === state.selected ? -1 : index;
  refresh();
}

function refresh() {
  if (!state.reply) return;
  const { people } = state.reply;
  const shown = people.map((_, index) => isShown(index));
  if (state.selected >= 0 && !shown[state.selected]) state.selected = -1;
  [...element("people").children].forEach((row, index) => {
    row.hidden = !shown[index];
    row.classList.toggle("selected", index === state.selected);
    row.querySelector("button").setAttribute("aria-pressed", String(index === state.selected));
  });
  const person = element("person");
  person.hidden = state.selected < 0;
  if (state.selected >= 0) person.replaceChildren(...factsOf(people[state.selected], state.selected));
  view.style({ shown, selected: state.selected, opacity: Number(element("opacity").value) });
  const count = shown.filter(Boolean).length;
  element("table").hidden = count === 0;
  if (count) say(`${count} ${count === 1 ? "person" : "people"} found.`);
  else if (people.length) say("Nobody is above this score. Move the slider to the left to see weaker finds.");
  else say("Nobody was found in this photo. People should be at least a tenth of the photo high.");
}

function setMode(mode) {
  element("stage").dataset.mode = mode;
  for (const name of ["photo", "free"]) element(`mode-${name}`).setAttribute("aria-pressed", String(name === mode));
  view.setFree(mode === "free");
  refresh();
}

function showFacts() {
  const { image, camera, timings_ms: times, model } = state.reply;
  const sources = {
    given: "as you set it",
    exif: "from the photo",
    "exif-focal-plane": "from the photo",
    default: "assumed: 60° across the longer side",
  };
  const fov = (2 * Math.atan(Math.max(image.width, image.height) / (2 * camera.fx)) * 180) / Math.PI;
  if (!element("fov-on").checked) element("fov").value = Math.round(fov);
  element("fov-value").textContent = `${Math.round(fov)}°`;
  element("facts").textContent =
    `${image.width} × ${image.height} pixels. Field of view ${Math.round(fov)}°, ${sources[camera.source]}. ` +
    `${camera.note ? `${camera.note}. ` : ""}Network ${model.name} ${model.version}, ${Math.round(times.infer)} ms. ` +
    "Metres, seen from the camera.";
}

function showCode() {
  const { curl, python } = api.asCode(state.photo, options());
  element("curl").textContent = curl;
  element("python").textContent = python;
}

function thumbnail() {
  const image = element("photo");
  const scale = 96 / Math.max(image.naturalWidth, image.naturalHeight);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth * scale, image.naturalHeight * scale];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.8));
}

async function listHistory() {
  const results = await remembered();
  element("history").hidden = results.length === 0;
  element("results").replaceChildren(
    ...results.map((result) => {
      const image = make("img", { alt: "", src: URL.createObjectURL(result.thumbnail) });
      image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
      const label = `${result.name}, ${result.reply.people.length} found`;
      const button = make("button", { type: "button", "aria-label": label, title: label }, image);
      button.addEventListener("click", async () => {
        state.faces ??= await api.faces();
        await show({ blob: result.blob, name: result.name }, result.reply);
      });
      return make("li", {}, button);
    }),
  );
}

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function addDownloads() {
  for (const [label, accept, name] of DOWNLOADS) {
    const button = make("button", { type: "button", text: label });
    button.addEventListener("click", async () => {
      try {
        const reply = await api.reconstruct(state.photo, accept, options({ threshold: Math.max(threshold(), 0.01) }));
        save(await reply.blob(), name);
      } catch (error) {
        say(error.message, true);
      }
    });
    element("downloads").append(button);
  }
}

async function useCamera() {
  try {
    if (!navigator.mediaDevices) throw new Error();
    element("camera").hidden = false;
    state.stopCamera = await openCamera(element("video"));
    element("shoot").focus();
  } catch (error) {
    closeCamera();
    say(cameraProblem(error), true);
  }
}

function closeCamera() {
  state.stopCamera?.();
  state.stopCamera = null;
  element("camera").hidden = true;
}

function later(work, delay) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, delay);
  };
}

function wire() {
  element("file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = ""; // the same file may be chosen again
    if (file) reconstruct({ blob: file, name: file.name });
  });
  element("sample").addEventListener("click", async () => {
    reconstruct({ blob: await (await fetch("static/sample.jpg")).blob(), name: "people.jpg" });
  });
  element("use-camera").addEventListener("click", useCamera);
  element("shoot").addEventListener("click", async () => reconstruct(await takePhoto(element("video"))));
  element("no-camera").addEventListener("click", closeCamera);
  element("mode-photo").addEventListener("click", () => setMode("photo"));
  element("mode-free").addEventListener("click", () => setMode("free"));
  element("threshold").addEventListener("input", () => {
    element("threshold-value").textContent = threshold().toFixed(2);
    refresh();
  });
  element("opacity").addEventListener("input", refresh);
  const again = later(() => state.photo && reconstruct(state.photo), FOV_DELAY_MS);
  element("fov").addEventListener("input", () => {
    element("fov-on").checked = true;
    element("fov-value").textContent = `${element("fov").value}°`;
    again();
  });
  element("fov-on").addEventListener("change", again);
  element("forget").addEventListener("click", async () => {
    await forgetAll();
    await listHistory();
  });
  element("door").addEventListener("submit", (event) => {
    event.preventDefault();
    api.useKey(element("key").value.trim());
    element("key").value = "";
    element("door").hidden = true;
    if (state.photo) reconstruct(state.photo);
  });
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      element("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
    });
  }
  document.addEventListener("drop", ({ dataTransfer }) => take(dataTransfer.files[0]));
  document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files[0]));
}

function take(file) {
  if (file) reconstruct({ blob: file, name: file.name });
}

async function start() {
  wire();
  addDownloads();
  state.known = await api.limits();
  element("threshold").value = state.known.threshold;
  element("threshold-value").textContent = threshold().toFixed(2);
  await listHistory();
  document.body.dataset.ready = "yes";
}

start();
