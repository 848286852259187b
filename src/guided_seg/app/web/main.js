// The page: starts everything, and hands each message of the server to what shows it.

import { ask, compared } from "./compare.js";
import { connect, send } from "./connection.js";
import { step } from "./edits.js";
import { useControls } from "./controls.js";
import "./files.js";
import { previewed, refined, refused } from "./hover.js";
import { useKeys } from "./keys.js";
import "./labels.js";
import { age, decoded, keep, retain } from "./masks.js";
import { farewell, notice, progress, saved, took } from "./notices.js";
import { usePointer } from "./pointer.js";
import "./question.js";
import { painted } from "./probe.js";
import { draw, invalidate, paintAnswer, scene, showAnswer, showPreview } from "./stage.js";
import { choose, entries, imageOf, listen, page, tell } from "./state.js";
import { refresh } from "./strip.js";
import { ended, isPlaying, play, reached } from "./timeline.js";
import { answered, askForMap, firstOf, follow, go, goToNext, mapped } from "./visit.js";
import { ofVisibleVideo, quickAnswer, refusedMap } from "./visit.js";

let buffer = null; // the label map of a preview or refined answer
let pending = null; // what to go to once the server says it is there
let stepped = { n: 0, changed: [] }; // the last undo or redo, and the images whose dots it changed
let latest = 0; // the number of the last edit
let guided = false; // whether there were ever annotations
let filling = false; // whether the server fills after each edit by itself

/** Draw a mask that came. */
function paint(header) {
  draw();
  painted({ ...header, stale: header.n < latest });
}

const masks = {
  answer(header, payload) {
    const { n, image, ms } = header;
    keep(header, payload, n < latest && !isPlaying(n)); // one may come that was made before the last edit
    if (scene.image?.id === image) {
      answered({ ...header, payload });
      showPreview(null);
      paint(header);
      took(ms);
      askForMap();
      ask();
      if (!filling) fill();
    } else if (isPlaying(n) && ofVisibleVideo(image)) follow(image);
    refresh(image);
    reached(image);
    if (n === stepped.n) show(stepped.changed);
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
    showAnswer(decoded({ ...header, payload }), true);
    paint(header);
    took(header.ms);
  },
};

/** Go to what an undo or redo changed, unless it is visible. */
function show(changed) {
  if (changed.length && !changed.includes(page.image)) go(changed[0]);
  stepped = { n: 0, changed: [] };
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
  state({ model, other, labels, images, videos, versions, formats, memories, undo, redo }) {
    Object.assign(page, { model, other, labels, versions, formats, memories, undo, redo });
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
    if (n === stepped.n && `${imageOf(image)?.dots}` !== `${dots}`) stepped.changed.push(image);
    hold(image, dots);
    Object.assign(page, { undo, redo });
    tell("history");
  },
  labels({ labels, undo, redo }) {
    const chosen = page.labels[page.label - 1]?.name;
    const renamed = page.labels.filter(({ name }, at) => name !== labels[at]?.name);
    // one other name is a new name of a label; anything else means that others have its number now
    const moved = renamed.length > (page.labels.length === labels.length ? 1 : 0);
    Object.assign(page, { labels, undo, redo });
    if (moved) {
      tell("renumbered");
      const now = labels.findIndex(({ name }) => name === chosen);
      if (now >= 0) choose({ label: now + 1 });
    }
    tell("labels");
    tell("history");
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
  removed: ({ n, text, undo }) => notice(text, false, undo && n === latest ? () => step("undo") : null),
  frame({ id, height, width, dots }) {
    page.images.set(id, { id, height, width, dots });
    hold(id, dots);
  },
  saved({ n, at }) {
    if (n >= latest) saved(at); // else the last edit came while the one before was saved
  },
  notice: ({ text }) => notice(text),
  error({ n, text }) {
    if (refused(n)) return;
    notice(text, true);
    refusedMap(n);
    for (const { id, dots, said } of page.images.values()) if (said && `${said}` !== `${dots}`) hold(id, said);
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
  latest = n;
  stepped = { n: what ? n : 0, changed: [] };
  guided = true;
  scene.refined = false;
  invalidate();
  age(image);
  tell("aged");
});
listen("connection", () => {
  filling = false;
  latest = 0;
});
listen("dots", () => {
  if (scene.image) scene.image = imageOf(scene.image.id) ?? scene.image;
  invalidate();
});
listen("renumbered", () => retain(() => false)); // until they are answered with the new numbers
listen("paused", fill);
listen("cancel", () => {
  if (isPlaying()) play(); // pauses
  else choose({ fill: false });
});
listen("chosen", (changed) => {
  if (changed.has("compare")) {
    showAnswer(quickAnswer()); // a refined one is not compared with a quick one
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
