// Going to an image or frame: its pixels, its answer, and maps of it.

import { send } from "./connection.js";
import { frameOf, placeOf } from "./coordinates.js";
import { look } from "./edits.js";
import { answerTo, decoded } from "./masks.js";
import { picture } from "./pictures.js";
import { painted } from "./probe.js";
import { draw, fit, scene, show, showAnswer, showMap, size } from "./stage.js";
import { choose, imageOf, listen, page, tell } from "./state.js";
import { isPlaying, pause } from "./timeline.js";

const AHEAD = 6; // frames of a video that plays are loaded before it is their turn
const LATE = 30; // at most this many wait
const SETTLED = 120; // milliseconds on a frame before its answer is asked for, so that stepping through asks for few

let wanted = null; // the id that is being loaded
let coming = []; // frames of a video that plays, to be shown one after the other
let labels = null; // the label map of the visible image: the quick answer
let asking = 0; // the number of the last request for a map
let seeking = 0; // the number of the last request for the next place; 0 if the answer is no longer wanted
let timer = 0;

/** The label map of the quick answer to the visible image; null if it has none yet. */
export function quickAnswer() {
  return labels;
}

/** Go to an image or frame, and play no video any more; resolves to whether it is visible then. */
export async function go(id) {
  if (!imageOf(id)) return false;
  if (isPlaying() && id !== page.image) pause();
  wanted = id;
  coming = [];
  clearTimeout(timer);
  if (page.images.has(id)) look(id);
  else if (answerTo(id)?.stale !== false) timer = setTimeout(settle, SETTLED, id);
  const there = await load(id);
  if (there && page.images.has(id)) look(id); // again, if the image before was edited meanwhile
  return there;
}

function settle(id) {
  if (page.image !== id) return;
  look(id);
}

async function load(id) {
  try {
    const pixels = await picture(id);
    if (wanted === id) shown(id, pixels);
  } catch (error) {
    tell("notice", { text: error.message, error: true });
  }
  return page.image === id;
}

function shown(id, pixels) {
  page.image = id;
  show(imageOf(id), pixels);
  scene.place = null;
  labels = null;
  const answer = answerTo(id);
  if (answer) answered(answer);
  tell("shown");
  askForMap();
  draw();
  if (answer) painted(answer);
}

/** Show an answer that belongs to the visible image. */
export function answered(answer) {
  labels = decoded(answer, labels);
  showAnswer(labels);
}

/** Show a frame that was just segmented after those before it; the oldest are left out if they load too slowly. */
export async function follow(id) {
  if (coming.length >= LATE) coming.shift();
  coming.push(id);
  if (coming.length <= AHEAD) picture(id).catch(() => {}); // said when it is its turn
  if (coming.length > 1) return;
  for (const queue = coming; queue.length > 0 && queue === coming; queue.shift()) {
    wanted = queue[0];
    await load(wanted);
  }
}

/** Show no more frames that were segmented before. */
function unfollow() {
  coming = [];
}

/** Ask for the heat map or similarity of the visible image, if that is what is viewed. */
export function askForMap() {
  const what = page.view;
  if (what !== "heat" && what !== "similarity") showMap(null);
  else if (page.image !== null && page.labels.length) {
    asking = send("view", { image: page.image, what, label: page.label });
  }
}

/** A map came: show it if it is the one asked for last. */
export function mapped(header, values) {
  const { n, what, height, width } = header;
  if (n !== asking || what !== page.view) return;
  showMap({ what, values, height, width });
  draw();
}

/** A message was refused: if it asked for a map, leave the view, which would show the map from before. */
export function refusedMap(n) {
  if (n === asking) choose({ view: "overlay" });
}

/** Go to where the next dot helps most, and mark it, unless something else was done meanwhile; the page asks what is there. */
export async function goToNext({ n, image, row, column }) {
  if (n !== seeking) return;
  if (image === null) {
    tell("notice", { text: "The model is certain everywhere: no place needs a dot." });
    return;
  }
  if (image !== page.image && !(await go(image))) return;
  if (n !== seeking) return;
  scene.place = { row, column };
  const [x, y] = placeOf(scene.view, row, column);
  if (x < 0 || y < 0 || x > size().width || y > size().height) fit();
  draw();
}

/** The first image or frame of what has this id: an image, or a video. */
export function firstOf(id) {
  return page.videos.has(id) ? `${id}#0` : id;
}

/** Whether a frame belongs to the video that is visible. */
export function ofVisibleVideo(id) {
  const [frame, now] = [frameOf(id, page.videos), page.image && frameOf(page.image, page.videos)];
  return Boolean(frame && now && frame.video === now.video);
}

/** Ask for no place any more, and mark none. */
function unmark() {
  seeking = 0;
  scene.place = null;
}

listen("next", () => {
  seeking = send("next");
});
listen("go", (id) => {
  seeking = 0;
  go(id);
});
listen("paused", unfollow);
listen("chosen", (changed) => {
  if (changed.has("view") || changed.has("label")) askForMap();
});
listen("edited", unmark);
listen("dismissed", () => {
  unmark();
  draw();
});
