// The labels: choose one by click or key, add one by typing its name.

import { css } from "./colours.js";
import { addLabel } from "./edits.js";
import { choose, colourOf, listen, page } from "./state.js";

const list = document.getElementById("labels");
const input = document.getElementById("label-name");

function rebuild() {
  list.replaceChildren(chip(0, "Background"), ...page.labels.map(({ name }, index) => chip(index + 1, name)));
  if (page.label > Math.max(page.labels.length, 1)) choose({ label: 1 });
  mark();
}

function chip(number, name) {
  const button = document.createElement("button");
  const swatch = document.createElement("span");
  const words = document.createElement("span");
  button.type = "button";
  button.className = "label";
  button.dataset.testid = "label";
  button.dataset.label = number;
  button.setAttribute("role", "radio");
  swatch.className = "swatch";
  swatch.style.background = css(colourOf(number));
  words.textContent = name;
  words.className = "words";
  button.append(swatch, words);
  if (number < 10) {
    const key = document.createElement("kbd");
    key.textContent = `Alt ${number}`;
    button.append(key);
  }
  button.title = number === 0 ? "Not the object: the same as a right click" : name;
  button.onclick = () => choose({ label: number });
  return button;
}

function mark() {
  for (const button of list.children) {
    const chosen = Number(button.dataset.label) === page.label;
    button.setAttribute("aria-checked", chosen);
    if (chosen) button.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

/** Choose a label by its number, if there is one. */
export function chooseLabel(number) {
  if (number <= page.labels.length) choose({ label: number });
}

document.getElementById("label-form").onsubmit = (event) => {
  event.preventDefault();
  const name = input.value.trim();
  if (!name) return;
  addLabel(name);
  input.value = "";
};

listen("state", rebuild);
listen("labels", rebuild);
listen("chosen", (changed) => {
  if (changed.has("label")) mark();
});
