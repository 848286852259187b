// The page: starts everything, and hands each message of the server to what shows it.

import { ask, compared } from "./compare.js";
import { connect, send } from "./connection.js";
import { useControls } from "./controls.js";
import "./files.js";
import { answered as mayRefine, previewed, refined, refused } from "./hover.js";
import { useKeys } from "./keys.js";
import "./labels.js";
import { age, decoded, keep, retain } from "./masks.js";
import { farewell, notice, progress, saved, took } from "./notices.js";
import { usePointer } from "./pointer.js";
import { painted } from "./probe.js";
import { draw, invalidate, paintAnswer, scene, showAnswer, showPreview } from "./stage.js";
import { choose, entries, imageOf, listen, page, tell } from "./state.js";
import { refresh } from "./strip.js";
import { ended, isPlaying, play, reached } from "./timeline.js";
import { answered, askForMap, firstOf, follow, go, goToNext, mapped, ofVisibleVideo, quickAnswer } from "./visit.js";

let buffer = null; // the label map of a preview or refined answer
let pending = null; // what to go to once the server says it is there
let step = { n: 0, changed: [] }; // the last undo or redo, and the images whose dots it changed
let guided = false; // whether there were ever annotations
let filling = false; // whether the server fills after each edit by itself

/** Draw a mask that came. */
function paint(header) {
  draw();
  painted(header);
}

const masks = {
  answer(header, payload) {
    keep(header, payload);
    const { n, image, ms } = header;
    if (scene.image?.id === image) {
      answered({ ...header, payload });
      showPreview(null);
      marked(false);
      paint(header);
      took(ms);
      mayRefine(n);
      askForMap();
      ask();
      if (!filling) fill();
    } else if (isPlaying(n) && ofVisibleVideo(image)) follow(image);
    refresh(image);
    reached(image);
    if (n === step.n) show(step.changed);
  },
  other(header, payload) {
    if (compared(header, payload)) paint(header);
  },
  preview(header, payload) {
    if (!previewed(header.n) || scene.image?.id !== header.image) return;
    buffer = decoded({ ...header, payload }, buffer);
    showPreview(buffer, quickAnswer());
    paint(header);
  },
  refined(header, payload) {
    if (!refined(header.n) || scene.image?.id !== header.image) return;
    showAnswer(decoded({ ...header, payload }));
    marked(true);
    paint(header);
    took(header.ms);
  },
};

/** Go to what an undo or redo changed, unless it is visible. */
function show(changed) {
  if (changed.length && !changed.includes(page.image)) go(changed[0]);
  step = { n: 0, changed: [] };
}

/** Mark the answer as refined, or not. */
function marked(better) {
  document.getElementById("refined").hidden = !better;
}

/** Give an image the dots that the server says it has. */
function hold(id, dots) {
  if (!page.images.has(id)) page.images.set(id, imageOf(id));
  const image = page.images.get(id);
  image.dots = dots.map((each) => [...each]);
  image.said = dots; // to go back to if an edit is refused
  tell("dots", id);
}

const messages = {
  state({ model, other, labels, images, videos, formats, memories, undo, redo }) {
    Object.assign(page, { model, other, labels, formats, memories, undo, redo });
    page.videos = new Map(videos.map((video) => [video.id, video]));
    page.images = new Map(images.map((image) => [image.id, image]));
    for (const { id, dots } of images) hold(id, dots);
    retain((id) => imageOf(id) !== null);
    tell("state");
    tell("history");
    const there = [pending && firstOf(pending), page.image, entries()[0]?.image].find((id) => id && imageOf(id));
    if (there) go(there);
    else tell("shown");
    pending = null;
    guided ||= images.some(({ dots }) => dots.length > 0);
  },
  dots({ n, image, dots, undo, redo }) {
    if (n === step.n && `${imageOf(image)?.dots}` !== `${dots}`) step.changed.push(image);
    hold(image, dots);
    Object.assign(page, { undo, redo });
    tell("history");
  },
  labels({ labels }) {
    page.labels = labels;
    tell("labels");
    paintAnswer();
    invalidate();
  },
  progress(message) {
    const late = message.what === "play" ? !isPlaying(message.n) : !page.fill; // it was stopped here meanwhile
    progress({ ...message, ended: message.ended || late });
    if (message.what !== "play" || !message.ended || late) return;
    ended();
    fill(); // playing stopped it
  },
  next: goToNext,
  frame({ id, height, width, dots }) {
    page.images.set(id, { id, height, width, dots });
    hold(id, dots);
  },
  saved: ({ at }) => saved(at),
  notice: ({ text }) => notice(text),
  error({ n, text }) {
    if (refused(n)) return;
    notice(text, true);
    const image = page.images.get(page.image);
    if (image?.said) hold(image.id, image.said);
    if (page.label > page.labels.length) choose({ label: Math.max(1, page.labels.length) });
  },
  bye: ({ text }) => farewell(text),
};

/** Let the server answer the other images too, unless there are none, nothing guides them, or a video plays. */
function fill() {
  if (page.fill && guided && !isPlaying() && entries().length > 1) filling = send("fill") > 0;
}

listen("message", (message) => messages[message.type]?.(message));
listen("binary", ({ header, payload }) => {
  if (header.type === "mask") masks[header.of]?.(header, payload);
  if (header.type === "map") mapped(header, payload);
});
listen("edited", ({ n, image, what }) => {
  step = { n: what ? n : 0, changed: [] };
  guided = true;
  marked(false);
  age(image);
  tell("aged");
});
listen("connection", () => {
  filling = false;
});
listen("dots", () => {
  if (scene.image) scene.image = imageOf(scene.image.id) ?? scene.image;
  invalidate();
});
listen("next", () => send("next"));
listen("paused", fill);
listen("cancel", () => {
  if (isPlaying()) play(); // pauses
  else choose({ fill: false });
});
listen("chosen", (changed) => {
  if (changed.has("compare")) {
    showAnswer(quickAnswer()); // a refined one is not compared with a quick one
    marked(false);
    draw();
  }
  if (!changed.has("fill")) return;
  if (page.fill) fill();
  else {
    filling = false;
    send("stop");
  }
});
listen("added", ([first]) => {
  const id = firstOf(first);
  if (imageOf(id)) go(id);
  else pending = first;
});

useControls();
usePointer();
useKeys();
connect();
