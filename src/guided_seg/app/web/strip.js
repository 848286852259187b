// The filmstrip: a small picture of each image and video, its mask, and how confident its answer is.

import { css, gradient, labelPixels, onScale } from "./colours.js";
import { paintSmall } from "./layers.js";
import { answerTo, glimpsed } from "./masks.js";
import { entries, imageAddress, imageOf, listen, page, tell, visibleFrame } from "./state.js";

const TALL = 64; // of a small picture, in CSS pixels
const WIDE = 200; // pixels asked for, enough for dense screens

const list = document.getElementById("strip");
const items = new Map(); // id of the image shown -> {button, canvas, bar, address, seen}

/** Build the filmstrip anew if the images are not the same. */
function rebuild() {
  const now = entries();
  document.body.dataset.many = now.length > 1 || page.videos.size > 0;
  const same = now.length === items.size && now.every(({ image }) => items.get(image)?.address === addressOf(image));
  if (same) return;
  items.clear();
  list.replaceChildren(...now.map(item));
}

const addressOf = (image) => imageAddress(image, WIDE);

function item({ id, image, video }) {
  const { height, width } = imageOf(image);
  const button = document.createElement("button");
  const picture = document.createElement("img");
  const canvas = document.createElement("canvas");
  const bar = document.createElement("span");
  const name = document.createElement("span");
  button.type = "button";
  button.className = video ? "shot video" : "shot";
  button.dataset.testid = "shot";
  button.dataset.image = image;
  button.setAttribute("aria-label", video ? `Video ${id}` : `Image ${id}`);
  button.title = id;
  button.onclick = () => tell("go", image);
  const shape = Math.min(Math.max(width / height, 0.6), 2);
  button.style.setProperty("--wide", `${Math.round(TALL * shape)}px`);
  picture.loading = "lazy";
  picture.alt = "";
  picture.src = addressOf(image);
  name.className = "name";
  name.textContent = id;
  bar.className = "confidence";
  bar.append(document.createElement("span"));
  button.append(picture, canvas, bar, name);
  button.dataset.dots = imageOf(image).dots.length > 0;
  items.set(image, { button, canvas, bar, address: addressOf(image), seen: false });
  watcher.observe(button);
  return button;
}

/** Small masks are painted only while they can be seen, and their memory is given back afterwards. */
const watcher = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) {
      const shown = items.get(target.dataset.image);
      if (shown?.button !== target) continue;
      shown.seen = isIntersecting;
      if (isIntersecting) refresh(target.dataset.image);
      else shown.canvas.width = 0;
    }
  },
  { root: list, rootMargin: "200px" },
);

/** Show the newest answer to an image. */
export function refresh(image) {
  const shown = items.get(image);
  if (!shown?.seen) return;
  const answer = answerTo(image);
  shown.button.dataset.stale = answer?.stale ?? false;
  if (!answer) {
    shown.canvas.width = 0;
    return;
  }
  const small = { height: TALL, width: Math.round((TALL * answer.width) / answer.height) };
  [shown.canvas.height, shown.canvas.width] = [small.height, small.width];
  const context = shown.canvas.getContext("2d");
  const data = context.createImageData(small.width, small.height);
  const pixels = new Uint32Array(data.data.buffer);
  paintSmall(glimpsed(answer), answer, labelPixels(page.labels, 165), small, pixels);
  context.putImageData(data, 0, 0);
  confidence(shown, answer.confidence);
}

function confidence({ button, bar }, value) {
  if (value === null) return;
  const percent = `${Math.round(100 * value)} %: how sure the answer is`;
  bar.firstChild.style.width = `${100 * value}%`;
  bar.firstChild.style.background = css(onScale("confidence", value));
  button.title = `${button.querySelector(".name").textContent}, confidence ${percent}`;
}

/** The image before or after the visible one in the filmstrip. */
export function neighbour(by) {
  const ids = [...items.keys()];
  const frame = visibleFrame();
  const now = ids.indexOf(frame ? `${frame.video}#0` : page.image);
  return ids[Math.min(Math.max(now + by, 0), ids.length - 1)] ?? null;
}

function mark() {
  const frame = visibleFrame();
  const now = frame ? `${frame.video}#0` : page.image;
  for (const [image, { button }] of items) {
    if (image === now) {
      button.setAttribute("aria-current", "true");
      button.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else button.removeAttribute("aria-current");
  }
}

document.querySelector("#strip-legend .scale").style.background = gradient("confidence");

const all = () => [...items.keys()].forEach(refresh);
listen("state", () => {
  rebuild();
  all();
});
listen("shown", mark);
listen("dots", (image) => {
  const shown = items.get(image);
  if (shown) shown.button.dataset.dots = imageOf(image).dots.length > 0;
});
listen("labels", all);
listen("aged", () => {
  for (const [image, { button, seen }] of items) if (seen) button.dataset.stale = answerTo(image)?.stale ?? false;
});
