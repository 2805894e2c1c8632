// The table of people and the facts about one of them.
import { colourOf } from "./colours.js";

// Joints whose bend is of interest, by their place in `body_pose`.
const BENDS = [
  ["left elbow", 17],
  ["right elbow", 18],
  ["left knee", 3],
  ["right knee", 4],
  ["left hip", 0],
  ["right hip", 1],
];

export function make(tag, { text, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}

export function distanceOf(person) {
  return Math.hypot(...person.translation);
}

// One row per person; `onPick` gets the index of the one that is chosen.
export function rows(people, onPick) {
  return people.map((person, index) => {
    const button = make("button", { type: "button", text: `Person ${index + 1}` });
    button.addEventListener("click", () => onPick(index));
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = colourOf(index);
    const numbers = [
      `${person.height_m.toFixed(2)} m`,
      `${distanceOf(person).toFixed(2)} m`,
      `${Math.round(100 * person.score)} %`,
    ];
    const row = make("tr", {}, make("th", { scope: "row" }, swatch, button));
    row.append(...numbers.map((text) => make("td", { text })));
    return row;
  });
}

export function factsOf(person, index) {
  const [right, down, away] = person.translation;
  const facts = [
    ["Height, standing", `${person.height_m.toFixed(2)} m`],
    ["Distance", `${distanceOf(person).toFixed(2)} m`],
    ["From the camera", [side(away, "ahead", "behind"), side(right, "right", "left"), side(down, "down", "up")].join(", ")],
    ["Score", person.score.toFixed(2)],
    ...BENDS.map(([name, joint]) => [name, `${degrees(person.body_pose[joint])}°`]),
  ];
  const list = make("dl");
  for (const [name, value] of facts) list.append(make("dt", { text: name }), make("dd", { text: value }));
  return [make("h2", { text: `Person ${index + 1}` }), list];
}

function side(metres, forward, backward) {
  return `${Math.abs(metres).toFixed(2)} m ${metres < 0 ? backward : forward}`;
}

function degrees(axisAngle) {
  return Math.round((Math.hypot(...axisAngle) * 180) / Math.PI);
}
