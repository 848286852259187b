// The buttons and switches around the stage, and what they show.

import { gradient } from "./colours.js";
import { clear, step } from "./edits.js";
import { canvas, fit, invalidate, paintAnswer, pixelOf, scene, zoom } from "./stage.js";
import { choose, listen, page, tell } from "./state.js";

const get = (id) => document.getElementById(id);
const TOOLS = ["dot", "scribble", "box"];
const SWITCHES = ["preview", "refine", "fill"];
const LEGENDS = {
  heat: ["background", "object"],
  similarity: ["less", "more like the dots"],
};

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
  [get("legend-low").textContent, get("legend-high").textContent] = legend;
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

function pointed(event) {
  const image = scene.image;
  if (!image) return;
  const [row, column] = pixelOf(event);
  const within = row >= 0 && column >= 0 && row < image.height && column < image.width;
  get("position").textContent = within ? `${column}, ${row}` : "";
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
  canvas.addEventListener("pointerdown", () => openOptions(false));
  canvas.addEventListener("pointermove", pointed);
  canvas.addEventListener("pointerleave", () => (get("position").textContent = ""));
  reflect();
  history();
}

listen("chosen", (changed) => {
  reflect();
  if (!changed.has("view") && !changed.has("opacity")) return;
  paintAnswer();
  invalidate();
});
listen("history", history);
listen("shown", () => {
  const image = scene.image;
  get("size").textContent = image ? `${image.width} × ${image.height}` : "";
  get("empty").hidden = image !== null;
});
listen("drawn", () => {
  get("zoom").textContent = scene.image ? `${Math.round(100 * scene.view.scale)} %` : "";
});
