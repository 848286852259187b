// The question at the marked place: which of the chosen label and the background it is.

import { placeOf } from "./coordinates.js";
import { scene, size } from "./stage.js";
import { listen, page } from "./state.js";

const ROOM = 150; // CSS pixels at the bottom where a place would be near the question

const box = document.getElementById("question");
const touch = matchMedia("(pointer: coarse)");

/** The question as a sentence, with how it is answered. */
function sentence() {
  const name = page.labels[page.label - 1]?.name ?? "object";
  if (page.label === 0) return `Is this background? ${touch.matches ? "Tap" : "Click"} if it is, else choose its label first`;
  const how = touch.matches ? `Tap = ${name}, long touch = not` : `Click (left = ${name}, right = not)`;
  return `Is this ${name} or background? ${how}`;
}

listen("drawn", () => {
  const asked = scene.place !== null && scene.image !== null;
  if (box.hidden === asked) box.hidden = !asked;
  if (asked) box.dataset.up = placeOf(scene.view, scene.place.row, scene.place.column)[1] > size().height - ROOM;
  const text = asked ? sentence() : "";
  if (box.textContent !== text) box.textContent = text;
});
