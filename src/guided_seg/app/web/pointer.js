// The pointer on the stage: mouse, pen and fingers become edits, zoom and pan.

import { boxOf, clamped, dotAt, inside } from "./coordinates.js";
import { drawBox, labelFor, moveDot, placeDot, removeDot, scribble } from "./edits.js";
import { leave, rest } from "./hover.js";
import { canvas, invalidate, pan, pixelOf, scene, zoom } from "./stage.js";
import { listen, page } from "./state.js";

const NEAR = { mouse: 10, pen: 12, touch: 20 }; // how close to a dot counts as on it, in CSS pixels
const STILL = 5; // less movement than this is a click
const LONG = 500; // milliseconds of a long press

const fingers = new Map(); // id -> {x, y}, in CSS pixels of the window
let gesture = null; // {kind, x, y, ...}: where it began, and what it needs
let space = false;

/** Give up what the pointer is doing. */
export function abandon() {
  clearTimeout(gesture?.timer);
  gesture = null;
  scene.held = scene.drawing = null;
  invalidate();
}

/** Hold the space bar down to pan. */
export function holdSpace(down) {
  space = down;
  aim();
}

function nearest(event) {
  const edge = canvas.getBoundingClientRect();
  const reach = NEAR[event.pointerType] ?? NEAR.mouse;
  return dotAt(scene.image.dots, scene.view, event.clientX - edge.left, event.clientY - edge.top, reach);
}

function began(event) {
  if (!scene.image) return;
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (fingers.size > 1) {
    abandon();
    gesture = { kind: "pinch", ...spread() };
    return;
  }
  const at = { x: event.clientX, y: event.clientY };
  if (space || event.button === 1) gesture = { kind: "pan", ...at };
  else gesture = aimed(event, at);
  aim();
}

/** The gesture that a press begins with the chosen tool. */
function aimed(event, at) {
  const negative = event.button === 2 || event.shiftKey;
  const touch = event.pointerType === "touch";
  const index = nearest(event);
  const place = pixelOf(event);
  if (index >= 0) return { kind: "drag", index, fresh: false, meant: negative ? 0 : page.label, ...at };
  const start = clamped(place, scene.image);
  if (page.tool !== "dot") return { kind: page.tool, label: labelFor(negative), start, ...at };
  if (!inside(place, scene.image)) return { kind: "pan", ...at };
  if (touch) return { kind: "press", place, ...at, timer: setTimeout(pressed, LONG, place) };
  leave();
  return { kind: "drag", index: placeDot(place, negative), fresh: true, ...at };
}

/** A long press is a negative dot. */
function pressed(place) {
  navigator.vibrate?.(12);
  placeDot(place, true);
  gesture = { kind: "done" };
}

function moved(event) {
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (!gesture) return hovered(event);
  const [x, y] = [event.clientX - gesture.x, event.clientY - gesture.y];
  const far = gesture.far || Math.hypot(x, y) > STILL;
  if (gesture.kind === "pinch") return pinched();
  if (gesture.kind === "press" && far) {
    clearTimeout(gesture.timer);
    gesture.kind = "pan";
  }
  gesture.far = far;
  if (gesture.kind === "pan") {
    pan(x, y);
    Object.assign(gesture, { x: event.clientX, y: event.clientY });
  } else if (gesture.kind === "drag" && far && gesture.index >= 0) {
    scene.held = { index: gesture.index, at: clamped(pixelOf(event), scene.image) };
  } else if (gesture.kind === "scribble" || gesture.kind === "box") {
    draw(event);
  }
  return invalidate();
}

function draw(event) {
  const { kind, label, start } = gesture;
  if (kind === "box") {
    scene.drawing = { kind, label, box: boxOf(start, clamped(pixelOf(event), scene.image)) };
    return;
  }
  const points = scene.drawing?.points ?? [start];
  for (const each of event.getCoalescedEvents?.() ?? [event]) {
    const [row, column] = clamped(pixelOf(each), scene.image);
    const [lastRow, lastColumn] = points.at(-1);
    if (row !== lastRow || column !== lastColumn) points.push([row, column]);
  }
  scene.drawing = { kind: "line", label, points };
}

function ended(event) {
  fingers.delete(event.pointerId);
  if (!gesture) return;
  if (gesture.kind === "pinch") {
    gesture = fingers.size ? { kind: "pan", ...fingers.values().next().value } : null;
    return;
  }
  const { drawing, held } = scene;
  const done = gesture;
  abandon();
  aim();
  if (done.kind === "press") placeDot(done.place, false);
  if (done.kind === "drag") dropped(done, held);
  if (drawing?.kind === "box") drawBox(drawing.box, drawing.label);
  if (drawing?.kind === "line") scribble(drawing.points, drawing.label);
  // a click with a drawing tool is a dot: a line or a box of one pixel says nothing more
  if (!drawing && (done.kind === "scribble" || done.kind === "box")) placeDot(done.start, done.label === 0);
}

function dropped({ index, fresh, meant }, held) {
  const dot = scene.image.dots[index];
  if (!dot) return;
  if (held) moveDot(dot.slice(0, 2), held.at);
  else if (!fresh) removeDot(dot, meant);
}

function hovered(event) {
  if (!scene.image || event.pointerType === "touch") return;
  const index = nearest(event);
  if (index !== scene.hovered) {
    scene.hovered = index;
    aim();
    invalidate();
  }
  const place = pixelOf(event);
  const empty = index < 0 && page.tool === "dot" && inside(place, scene.image);
  rest(empty ? place : null, event.shiftKey);
}

/** The middle of two fingers and how far apart they are. */
function spread() {
  const [one, two] = [...fingers.values()];
  return { x: (one.x + two.x) / 2, y: (one.y + two.y) / 2, apart: Math.hypot(one.x - two.x, one.y - two.y) };
}

function pinched() {
  const now = spread();
  const edge = canvas.getBoundingClientRect();
  pan(now.x - gesture.x, now.y - gesture.y);
  zoom(now.apart / Math.max(gesture.apart, 1), now.x - edge.left, now.y - edge.top);
  Object.assign(gesture, now);
}

function wheeled(event) {
  event.preventDefault();
  const edge = canvas.getBoundingClientRect();
  const lines = event.deltaMode === 0 ? 1 : 24;
  const speed = event.ctrlKey ? 0.01 : 0.0015; // browsers report a pinch on a touchpad as a wheel with Ctrl
  zoom(Math.exp(-event.deltaY * lines * speed), event.clientX - edge.left, event.clientY - edge.top);
}

/** The shape of the pointer says what a press would do. */
function aim() {
  const shape = gesture?.kind === "pan" ? "grabbing" : space ? "grab" : scene.hovered >= 0 ? "pointer" : "crosshair";
  canvas.style.cursor = shape;
}

/** Listen to the pointer. */
export function usePointer() {
  canvas.addEventListener("pointerdown", began);
  canvas.addEventListener("pointermove", moved);
  canvas.addEventListener("pointerup", ended);
  canvas.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    abandon();
  });
  canvas.addEventListener("pointerleave", () => {
    scene.hovered = -1;
    leave();
  });
  canvas.addEventListener("wheel", wheeled, { passive: false });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("auxclick", (event) => event.preventDefault());
  listen("shown", abandon);
  aim();
}
