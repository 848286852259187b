// The visible image with what lies over it: answer, preview, map, dots, and what is being drawn.

import { labelPixels, mixed, packed, scalePixels } from "./colours.js";
import { fitted, held, pixelAt, placeOf, zoomed } from "./coordinates.js";
import { layerOf, paintDifference, paintLabels, paintMap, spread } from "./layers.js";
import { drawDots, drawTool } from "./marks.js";
import { page, tell } from "./state.js";

const NEAREST = 6; // from this scale on, single pixels are shown
const WHITE = [255, 255, 255];
const LOST = packed([15, 17, 20], 215);

const canvas = document.getElementById("stage");
const context = canvas.getContext("2d", { alpha: false });
const ring = document.getElementById("ring");

/** A canvas of its own for pixels that are painted one by one. */
class Layer {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.shown = false;
  }

  /** Let `paint` write all pixels of a layer of that size; it returns false if there is nothing to show. */
  paint({ height, width }, paint) {
    if (this.data?.height !== height || this.data?.width !== width) {
      [this.canvas.height, this.canvas.width] = [height, width];
      this.data = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.data.data.buffer);
    }
    this.shown = paint(this.pixels) !== false;
    if (this.shown) this.context.putImageData(this.data, 0, 0);
  }
}

const layers = { answer: new Layer(), other: new Layer(), preview: new Layer(), map: new Layer() };

/** What is visible. `drawing` is what a tool draws: {kind: "line" or "box", points or box, label}. */
const scene = {
  image: null, // {id, height, width, dots}
  picture: null, // HTMLImageElement
  labels: null, // Uint8Array, the label map shown
  refined: false, // whether that is a refined answer to the annotations as they are
  other: null, // the one of the second network
  split: 0.5, // where the divider is, as a share of the width
  map: null, // {what, values, height, width}
  view: { scale: 1, x: 0, y: 0 },
  fit: true, // whether the whole image stays in view when the window changes
  held: null, // the dot that is dragged: {index, at: [row, column]}
  hovered: -1, // the dot under the pointer
  drawing: null,
  place: null, // {row, column} of the ring
};
let waiting = 0;

export { canvas, scene };

/** The size of the canvas in CSS pixels. */
export function size() {
  return { width: canvas.clientWidth, height: canvas.clientHeight };
}

/** Show an image, without answers at first. */
export function show(image, picture) {
  const same = scene.image?.height === image.height && scene.image?.width === image.width;
  Object.assign(scene, { image, picture, labels: null, refined: false, other: null, map: null });
  Object.assign(scene, { held: null, hovered: -1, drawing: null });
  for (const layer of Object.values(layers)) layer.shown = false;
  if (!same) fit();
  invalidate();
}

/** Bring the whole image into view. */
export function fit() {
  scene.fit = true;
  if (scene.image) scene.view = fitted(scene.image, size());
  invalidate();
}

/** Zoom by a factor about a point of the canvas, its middle by default. */
export function zoom(factor, x = size().width / 2, y = size().height / 2) {
  if (!scene.image) return;
  scene.fit = false;
  scene.view = zoomed(scene.view, factor, x, y, scene.image, size());
  paintAnswer(); // borders are as wide at every scale
  invalidate();
}

/** Move the image by CSS pixels. */
export function pan(x, y) {
  if (!scene.image) return;
  scene.fit = false;
  const { scale, x: left, y: top } = scene.view;
  scene.view = held({ scale, x: left + x, y: top + y }, scene.image, size());
  invalidate();
}

/** The [row, column] under a pointer event. */
export function pixelOf(event) {
  const edge = canvas.getBoundingClientRect();
  return pixelAt(scene.view, event.clientX - edge.left, event.clientY - edge.top);
}

/** Show a label map of the second network, beside the answer. */
export function showOther(labels) {
  scene.other = labels;
  paintOn(layers.other, labels);
}

/** Show a label map: the quick answer or a refined one. */
export function showAnswer(labels, refined = false) {
  Object.assign(scene, { labels, refined });
  paintOn(layers.answer, labels);
}

/** Paint the answers again, as after a change of view, opacity or colours. */
export function paintAnswer() {
  paintOn(layers.answer, scene.labels);
  paintOn(layers.other, page.compare ? scene.other : null);
}

function paintOn(target, labels) {
  const { image, view } = scene;
  target.shown = false;
  if (!labels || !image) return;
  const layer = layerOf(image.height, image.width);
  const cutout = page.view === "cutout";
  const fill = page.view === "overlay" || cutout ? Math.round(255 * (cutout ? 1 : page.opacity)) : 0;
  const fills = labelPixels(page.labels, fill);
  const edges = cutout ? fills : labelPixels(page.labels, page.view === "outline" ? 255 : Math.min(255, fill + 110));
  const reach = Math.max(1, Math.round((page.view === "outline" ? 2 : 1.2) / (view.scale * layer.step)));
  target.paint(layer, (pixels) => paintLabels(labels, image, fills, edges, reach, pixels));
}

/** Show in stripes how a label map differs from the answer; null takes the stripes away. */
export function showPreview(labels, answer) {
  const { image, view } = scene;
  layers.preview.shown = false;
  if (!labels || !answer || !image) return;
  const layer = layerOf(image.height, image.width);
  const colours = labelPixels(page.labels.map(({ colour }) => ({ colour: mixed(colour, WHITE, 0.35) })), 235);
  const stripe = Math.max(2, Math.round(5 / (view.scale * layer.step)));
  layers.preview.paint(layer, (pixels) => paintDifference(answer, labels, image, colours, LOST, stripe, pixels));
}

/** Show a map of values, {what, values, height, width}; null takes it away. */
export function showMap(map) {
  scene.map = map;
  layers.map.shown = false;
  if (!map) return;
  // similarities are close to each other: what counts is where they are greater
  const values = map.what === "similarity" ? spread(map.values) : map.values;
  layers.map.paint(map, (pixels) => paintMap(values, scalePixels(map.what), pixels));
}

/** Draw at the next frame of the screen. */
export function invalidate() {
  waiting ||= requestAnimationFrame(draw);
}

/** Draw now. */
export function draw() {
  cancelAnimationFrame(waiting);
  waiting = 0;
  const dense = devicePixelRatio;
  const { width, height } = size();
  const [across, down] = [Math.round(width * dense), Math.round(height * dense)];
  if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
  context.setTransform(dense, 0, 0, dense, 0, 0);
  fillAround();
  if (scene.image) drawImages();
  drawTool(context, scene);
  if (scene.image) drawDots(context, scene);
  placeRing();
  tell("drawn");
}

function fillAround() {
  const { width, height } = size();
  context.fillStyle = "#0e1013";
  context.fillRect(0, 0, width, height);
}

/** Draw the image with its answer, or its two halves with an answer each. */
function drawImages() {
  if (!page.compare) {
    drawImage(layers.answer);
    return;
  }
  const { width, height } = size();
  const middle = scene.split * width;
  for (const [answer, left, right] of [
    [layers.answer, 0, middle],
    [layers.other, middle, width],
  ]) {
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, height);
    context.clip();
    drawImage(answer);
    context.restore();
  }
}

function drawImage(answer) {
  const { view, image, picture } = scene;
  const first = answer === layers.answer; // maps and previews are those of the first network
  const box = [view.x, view.y, view.scale * image.width, view.scale * image.height];
  const over = (layer) => {
    if (layer.shown) context.drawImage(layer.canvas, ...box);
  };
  context.imageSmoothingEnabled = view.scale < NEAREST;
  if (page.view === "cutout" && answer.shown) {
    cutOut(box, answer);
  } else {
    if (picture) context.drawImage(picture, ...box);
    if (first && layers.map.shown) {
      context.globalAlpha = 0.35 + 0.6 * page.opacity;
      over(layers.map);
      context.globalAlpha = 1;
    }
    if (!first || page.view === "overlay" || page.view === "outline") over(answer);
  }
  if (first) over(layers.preview);
}

const cut = document.createElement("canvas").getContext("2d");

/** The objects on a checkerboard. */
function cutOut(box, answer) {
  if (cut.canvas.width !== canvas.width || cut.canvas.height !== canvas.height) {
    [cut.canvas.width, cut.canvas.height] = [canvas.width, canvas.height];
  }
  cut.setTransform(1, 0, 0, 1, 0, 0);
  cut.clearRect(0, 0, cut.canvas.width, cut.canvas.height);
  cut.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  cut.imageSmoothingEnabled = context.imageSmoothingEnabled;
  cut.drawImage(answer.canvas, ...box);
  cut.globalCompositeOperation = "source-in";
  if (scene.picture) cut.drawImage(scene.picture, ...box);
  cut.globalCompositeOperation = "source-over";
  context.save();
  context.beginPath();
  context.rect(...box);
  context.clip();
  context.fillStyle = checkers;
  context.fillRect(...box);
  context.restore();
  context.drawImage(cut.canvas, 0, 0, size().width, size().height);
}

const checkers = (() => {
  const tile = document.createElement("canvas").getContext("2d");
  [tile.canvas.width, tile.canvas.height] = [20, 20];
  tile.fillStyle = "#5b6068";
  tile.fillRect(0, 0, 20, 20);
  tile.fillStyle = "#6c7179";
  tile.fillRect(0, 0, 10, 10);
  tile.fillRect(10, 10, 10, 10);
  return context.createPattern(tile.canvas, "repeat");
})();

/** The ring is an element, so that it pulses without drawing the image again. */
function placeRing() {
  const { place, view, image } = scene;
  ring.hidden = !place || !image;
  if (ring.hidden) return;
  const [x, y] = placeOf(view, place.row, place.column);
  ring.style.transform = `translate(${x}px, ${y}px)`;
}

new ResizeObserver(() => {
  if (scene.fit) fit();
  draw();
}).observe(canvas);
