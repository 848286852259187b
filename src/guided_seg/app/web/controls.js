// The buttons and switches around the stage, and what they show.

import { gradient } from "./colours.js";
import { inside } from "./coordinates.js";
import { clear, step } from "./edits.js";
import { canvas, fit, invalidate, paintAnswer, pixelOf, scene, zoom } from "./stage.js";
import { choose, listen, nameOf, page, tell } from "./state.js";

const get = (id) => document.getElementById(id);
const TOOLS = ["dot", "scribble", "box"];
const SWITCHES = ["preview", "refine", "fill"];
const LEGENDS = {
  heat: (name) => ["0 %", `100 % ${name}`],
  similarity: (name) => ["less", `more like the dots of ${name}`],
};

let under = null; // [row, column] under the pointer

/** Buttons and switches show what is chosen. */
function reflect() {
  for (const tool of TOOLS) get(`tool-${tool}`).setAttribute("aria-pressed", page.tool === tool);
  for (const name of SWITCHES) get(name).checked = page[name];
  for (const button of get("views").children) button.setAttribute("aria-checked", button.dataset.view === page.view);
  get("opacity").value = Math.round(100 * page.opacity);
  get("opacity-value").textContent = `${Math.round(100 * page.opacity)} %`;
  const legend = LEGENDS[page.view];
  get("legend").hidden = !legend;
  if (!legend) return;
  [get("legend-low").textContent, get("legend-high").textContent] = legend(nameOf(page.label));
  get("legend-bar").style.background = gradient(page.view);
}

/** Undo and redo are possible, or not. */
function history() {
  get("undo").disabled = !page.undo;
  get("redo").disabled = !page.redo;
}

/** On a phone the options are a sheet that opens and closes. */
function openOptions(open) {
  document.body.dataset.options = open ? "open" : "closed";
  get("options-button").setAttribute("aria-expanded", open);
}

/** A press beside the options closes them, and so a button that opens something else does. */
function pressedBeside({ target }) {
  if (!get("options").contains(target) && !get("options-button").contains(target)) openOptions(false);
}

/** Close the options, and go back to their button if the focus would be lost. */
function leaveOptions() {
  const within = get("options").contains(document.activeElement);
  if (document.body.dataset.options !== "open") return;
  openOptions(false);
  if (within) get("options-button").focus();
}

/** What the answer and the map that is viewed say of a pixel. */
function found(row, column) {
  const { image, labels, map } = scene;
  const name = nameOf(labels?.[row * image.width + column] ?? 0);
  if (!map) return name;
  const [down, along] = [Math.floor((row * map.height) / image.height), Math.floor((column * map.width) / image.width)];
  const share = map.values[down * map.width + along] / 255;
  if (map.what === "similarity") return `${name}, similarity ${(2 * share - 1).toFixed(2)}`;
  return `${name}, probability of ${nameOf(page.label)} ${Math.round(100 * share)} %`;
}

/** Name the pixel under the pointer. */
function position() {
  const within = under !== null && scene.image !== null && inside(under, scene.image);
  const text = within ? `x ${under[1]}, y ${under[0]}: ${found(...under)}` : "";
  if (get("position").textContent !== text) get("position").textContent = text;
}

function pointed(event) {
  under = event && scene.image ? pixelOf(event) : null;
  position();
}

/** Connect buttons and switches to what they do. */
export function useControls() {
  for (const tool of TOOLS) get(`tool-${tool}`).onclick = () => choose({ tool });
  for (const name of SWITCHES) get(name).onchange = ({ target }) => choose({ [name]: target.checked });
  for (const button of get("views").children) button.onclick = () => choose({ view: button.dataset.view });
  get("opacity").oninput = ({ target }) => choose({ opacity: target.value / 100 });
  get("undo").onclick = () => step("undo");
  get("redo").onclick = () => step("redo");
  get("clear").onclick = () => clear(false);
  get("clear-all").onclick = () => clear(true);
  get("next").onclick = () => tell("next");
  get("fit").onclick = fit;
  get("zoom-in").onclick = () => zoom(1.25);
  get("zoom-out").onclick = () => zoom(0.8);
  get("options-button").onclick = () => openOptions(document.body.dataset.options !== "open");
  get("options-close").onclick = leaveOptions;
  addEventListener("pointerdown", pressedBeside);
  addEventListener("keydown", ({ key }) => key === "Escape" && leaveOptions());
  get("export").addEventListener("toggle", ({ target }) => target.open && openOptions(false)); // by the keyboard too
  canvas.addEventListener("pointermove", pointed);
  canvas.addEventListener("pointerleave", () => pointed(null));
  reflect();
  history();
}

listen("chosen", (changed) => {
  reflect();
  if (!changed.has("view") && !changed.has("opacity")) return;
  paintAnswer();
  invalidate();
});
listen("labels", reflect);
listen("history", history);
listen("shown", () => {
  const image = scene.image;
  get("size").textContent = image ? `${image.width} × ${image.height}` : "";
  get("empty").hidden = image !== null;
});
listen("drawn", () => {
  position();
  get("refined").hidden = !scene.refined;
  get("zoom").textContent = scene.image ? `Zoom ${Math.round(100 * scene.view.scale)} %` : "";
});
