// What a person does to the annotations. Each edit is drawn at once; the server's answer then says what holds.

import { send } from "./connection.js";
import { frameOf, thinned } from "./coordinates.js";
import { choose, imageOf, listen, nameOf, page, tell } from "./state.js";

const POINTS = 400; // of a scribble, at most

let looked = null; // the id that the server knows to be visible

/** Make a frame of a video an image of the session, so that it can be annotated; others are images already. */
export function opened(id) {
  const frame = frameOf(id, page.videos);
  if (!frame || page.images.has(id)) return;
  if (send("frame", frame)) page.images.set(id, imageOf(id));
}

/** Say that an image or frame is visible, so that it is answered first, unless the server knows. */
export function look(id) {
  if (looked === id) return;
  opened(id);
  if (send("look", { image: id })) looked = id;
}

/** Send an edit of the visible image. Tells "edited" with {n, image}; returns the number, 0 if it was not sent. */
function edit(what, fields = {}) {
  if (page.image === null) return 0;
  look(page.image);
  const n = send(what, fields);
  if (n) tell("edited", { n, image: page.image });
  else tell("notice", { text: "Not connected: the edit was not made. The page is trying to connect again." });
  return n;
}

/** Change the dots that are drawn, until the server says what they are. */
function redraw(change) {
  const image = page.images.get(page.image);
  if (image) change(image.dots);
  tell("dots", page.image);
}

/** The label that the next edit gives: the chosen one or background. Without labels, a first one is added. */
export function labelFor(negative) {
  if (negative || page.label === 0) return 0;
  if (page.labels.length === 0) addLabel("object");
  return page.label;
}

/** Choose the label of that name; if there is none, add it. */
export function addLabel(name) {
  const known = page.labels.findIndex((label) => label.name === name);
  if (known >= 0) choose({ label: known + 1 });
  else if (send("label", { name })) choose({ label: page.labels.length + 1 });
}

/** Give a label another name. */
export function renameLabel(label, name) {
  if (!send("rename", { label, name })) tell("notice", { text: "Not connected: the label keeps its name." });
}

/** Remove a label with its dots and masks. The labels behind it have other numbers from now on. */
export function dropLabel(label) {
  const n = send("drop", { label });
  if (!n) {
    tell("notice", { text: "Not connected: the label stays." });
    return;
  }
  const [chosen, names] = [page.label, page.labels.map(({ name }) => name).toSpliced(label - 1, 1)];
  page.labels = names.map((name, index) => ({ name, colour: page.labels[index].colour })); // colours go by numbers
  for (const image of page.images.values()) {
    const left = image.dots.filter((dot) => dot[2] !== label);
    image.dots = left.map(([row, column, own]) => [row, column, own > label ? own - 1 : own]);
  }
  tell("renumbered");
  choose({ label: Math.min(chosen > label ? chosen - 1 : chosen, names.length) });
  tell("labels");
  tell("dots", page.image);
  tell("edited", { n, image: page.image });
}

/** Place a dot; returns its index, -1 if it was not placed. */
export function placeDot([row, column], negative) {
  const label = labelFor(negative);
  if (!edit("dot", { image: page.image, row, column, label })) return -1;
  redraw((dots) => {
    const same = dots.findIndex(([atRow, atColumn]) => atRow === row && atColumn === column);
    if (same >= 0) dots.splice(same, 1);
    dots.push([row, column, label]);
  });
  return imageOf(page.image).dots.length - 1;
}

/** Move a dot from [row, column] to another. */
export function moveDot(start, end) {
  if (start[0] === end[0] && start[1] === end[1]) return;
  if (!edit("move", { image: page.image, start, end })) return;
  redraw((dots) => {
    const moved = dots.find(([row, column]) => row === start[0] && column === start[1]);
    if (moved) [moved[0], moved[1]] = end;
  });
}

/** Remove a dot [row, column, label]. Where another label was `meant`, it may be a surprise, so it is said. */
export function removeDot([row, column, label], meant) {
  if (!edit("remove", { image: page.image, row, column })) return;
  redraw((dots) => {
    const index = dots.findIndex(([atRow, atColumn]) => atRow === row && atColumn === column);
    if (index >= 0) dots.splice(index, 1);
  });
  if (label === meant) return;
  tell("notice", { text: `Removed a dot of ${nameOf(label)}.`, undo: () => step("undo") });
}

/** Guide by a line of [row, column]. */
export function scribble(points, label) {
  edit("scribble", { image: page.image, points: thinned(points, POINTS), label });
}

/** Guide by a box [top, left, bottom, right], inclusive. */
export function drawBox(box, label) {
  edit("box", { image: page.image, box, label });
}

/** Start from a mask, as base64 of run lengths. */
export function paint(runs) {
  const label = labelFor(false);
  if (label === 0) tell("notice", { text: "Choose a label for the mask first; the background has none." });
  else edit("paint", { image: page.image, label, runs });
}

/** Remove the annotations of the visible image, or of all. */
export function clear(all) {
  edit("clear", all ? {} : { image: page.image });
}

/** Undo or redo the last step. */
export function step(what) {
  const n = send(what);
  if (n) tell("edited", { n, image: page.image, what });
}

listen("connection", () => {
  looked = null;
});
