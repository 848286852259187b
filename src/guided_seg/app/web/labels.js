// The labels: choose one by click or key, add one by typing its name, rename and remove them.

import { css } from "./colours.js";
import { addLabel, dropLabel, renameLabel } from "./edits.js";
import { choose, colourOf, listen, page } from "./state.js";

const list = document.getElementById("labels");
const input = document.getElementById("label-name");

function rebuild() {
  list.replaceChildren(row(0, "Background"), ...page.labels.map(({ name }, index) => row(index + 1, name)));
  if (page.label > Math.max(page.labels.length, 1)) choose({ label: Math.max(page.labels.length, 1) });
  mark();
}

/** A label, with what can be done to it. */
function row(number, name) {
  const line = document.createElement("div");
  line.className = "label-row";
  line.setAttribute("role", "none");
  line.append(chip(number, name));
  if (number === 0) return line;
  const last = page.labels.length === 1;
  const rename = tool("i-rename", "label-rename", `Rename ${name} (F2, or double click)`, () => retype(number));
  const about = last ? "The last label stays; rename it instead" : `Remove ${name} with its dots and masks`;
  const remove = tool("i-remove", "label-remove", about, () => dropLabel(number));
  remove.disabled = last;
  line.append(rename, remove);
  return line;
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
  if (number > 0) button.ondblclick = () => retype(number);
  return button;
}

function tool(icon, testid, about, run) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "icon";
  button.dataset.testid = testid;
  button.title = about;
  button.setAttribute("aria-label", about);
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${icon}`);
  picture.append(use);
  button.append(picture);
  button.onclick = run;
  return button;
}

/** Type another name of a label, in its place. Enter and leaving the field keep it, Escape gives it up. */
function retype(number) {
  const button = list.querySelector(`[data-label="${number}"]`);
  if (!button || button.hidden) return;
  const before = page.labels[number - 1].name;
  const field = document.createElement("input");
  field.className = "label-edit";
  field.dataset.testid = "label-edit";
  field.maxLength = 80;
  field.value = before;
  field.setAttribute("aria-label", `Another name for ${before}`);
  let open = true;
  const close = (keep) => {
    if (!open) return;
    open = false;
    const name = field.value.trim();
    field.remove();
    button.hidden = false;
    if (keep && name && name !== before) renameLabel(number, name);
  };
  field.onblur = () => close(true);
  field.onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    close(event.key === "Enter");
    button.focus();
  };
  button.hidden = true;
  button.after(field);
  field.select();
}

/** Type another name of the chosen label. */
export function retypeChosen() {
  if (page.label > 0 && page.labels.length > 0) retype(page.label);
}

function mark() {
  for (const button of list.querySelectorAll(".label")) {
    const chosen = Number(button.dataset.label) === page.label;
    button.setAttribute("aria-checked", chosen);
    button.parentElement.dataset.chosen = chosen;
    if (chosen) button.parentElement.scrollIntoView({ block: "nearest", inline: "nearest" });
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
