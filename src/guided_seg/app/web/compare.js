// Side by side: left of a divider the answer of the first network, right of it that of the second.

import { send } from "./connection.js";
import { decoded } from "./masks.js";
import { canvas, invalidate, scene, showOther } from "./stage.js";
import { choose, listen, page } from "./state.js";

const STEP = 0.02; // of the width, for an arrow key

const get = (id) => document.getElementById(id);
const divider = get("divider");
let asked = 0; // the number of the last request
let buffer = null; // the label map of the second network

/** Ask the second network to answer the visible image, if its answer is shown. */
export function ask() {
  if (page.compare && page.images.has(page.image)) asked = send("other", { image: page.image });
}

/** Show an answer of the second network if it is the one asked for last; returns whether it is. */
export function compared(header, payload) {
  if (!page.compare || header.n !== asked || scene.image?.id !== header.image) return false;
  buffer = decoded({ ...header, payload }, buffer);
  showOther(buffer);
  return true;
}

/** Show the networks side by side, or the first alone. */
export function compare() {
  if (page.other !== null) choose({ compare: !page.compare });
}

/** Move the divider to a share of the width. */
function split(share) {
  scene.split = Math.min(Math.max(share, 0), 1);
  const percent = Math.round(100 * scene.split);
  divider.style.left = `${100 * scene.split}%`;
  divider.setAttribute("aria-valuenow", percent);
  divider.setAttribute("aria-valuetext", `${page.model} on ${percent} % of the width`);
  invalidate();
}

/** The button, the divider and the names show what is chosen. */
function reflect() {
  const button = get("compare");
  button.hidden = page.other === null;
  button.setAttribute("aria-pressed", page.compare);
  divider.hidden = get("networks").hidden = !page.compare;
  get("network-first").textContent = page.model;
  get("network-second").textContent = page.other ?? "";
  split(scene.split);
}

function dragged(event) {
  if (!divider.hasPointerCapture(event.pointerId)) return;
  const edge = canvas.getBoundingClientRect();
  split((event.clientX - edge.left) / edge.width);
}

function pressed(event) {
  const places = { ArrowLeft: scene.split - STEP, ArrowRight: scene.split + STEP, Home: 0, End: 1 };
  if (!(event.key in places)) return;
  event.preventDefault();
  event.stopPropagation(); // elsewhere the arrows go to other images
  split(places[event.key]);
}

get("compare").onclick = compare;
divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
divider.addEventListener("pointermove", dragged);
divider.addEventListener("keydown", pressed);
listen("state", () => {
  if (page.other === null) choose({ compare: false });
  reflect();
});
listen("shown", ask);
listen("chosen", (changed) => {
  if (!changed.has("compare")) return;
  reflect();
  showOther(null); // it may be older than the last edit
  ask();
});
