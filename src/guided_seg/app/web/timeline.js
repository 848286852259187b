// The timeline of a video: a tick for each frame with its confidence, marks for dots, and play, pause and stop.

import { css, onScale } from "./colours.js";
import { send } from "./connection.js";
import { frameOf } from "./coordinates.js";
import { answerTo } from "./masks.js";
import { listen, page, tell, visibleFrame } from "./state.js";

const [ANSWERED, WAITING] = ["#6b7684", "#333942"]; // frames whose confidence is not known, and without an answer
const get = (id) => document.getElementById(id);
const canvas = get("ticks");
const context = canvas.getContext("2d");
const grown = new Map(); // video -> frames known so far, for a stream whose length is not known

let playing = 0; // the number of the play message; 0 if nothing plays
let began = 0; // the frame where it began
let waiting = 0;

/** Whether a video is being segmented frame by frame, by the message of that number if one is given. */
export function isPlaying(n = playing) {
  return playing > 0 && n === playing;
}

function frames(video) {
  return Math.max(page.videos.get(video)?.frames ?? 1, grown.get(video) ?? 1);
}

/** A frame was answered: the timeline of a stream grows. */
export function reached(id) {
  const frame = frameOf(id, page.videos);
  if (frame) grown.set(frame.video, Math.max(frame.index + 1, grown.get(frame.video) ?? 1));
  redraw();
}

/** Play from the visible frame, forwards or backwards, or pause. */
export function play(backward = false) {
  const frame = visibleFrame();
  if (!frame) return;
  if (playing) {
    pause();
    return;
  }
  const last = frames(frame.video) - 1;
  const atEnd = frame.index === (backward ? 0 : last);
  began = atEnd ? last - frame.index : frame.index;
  const [memory, corrections] = [get("memory").value, get("corrections").value];
  playing = send("play", { video: frame.video, start: began, memory, corrections, backward });
  if (!playing) tell("notice", { text: "Not connected: the video cannot play." });
  shown();
}

/** Stay at the visible frame. */
export function pause() {
  send("stop");
  ended();
  tell("paused");
}

/** Go back to where playing began. */
function stop() {
  const frame = visibleFrame();
  if (playing) pause();
  if (frame) tell("go", `${frame.video}#${began}`);
}

/** The server reached the end, or stopped. */
export function ended() {
  playing = 0;
  shown();
}

/** Show the frame some steps further. */
export function stepFrame(by) {
  const frame = visibleFrame();
  if (frame) seek(frame.video, frame.index + by);
}

function seek(video, index) {
  if (playing) pause();
  const within = Math.min(Math.max(index, 0), frames(video) - 1);
  tell("go", `${video}#${within}`);
}

function shown() {
  const frame = visibleFrame();
  get("timeline").hidden = !frame;
  get("play").dataset.playing = isPlaying();
  get("play").setAttribute("aria-label", isPlaying() ? "Pause" : "Play");
  get("play").title = isPlaying() ? "Pause (K)" : "Segment frame by frame from here (K)";
  get("play-back").disabled = isPlaying();
  if (!frame) return;
  const [number, count] = [frame.index + 1, frames(frame.video)]; // as the progress counts
  get("frame-number").textContent = `${number} / ${count}`;
  canvas.setAttribute("aria-valuemax", count);
  canvas.setAttribute("aria-valuenow", number);
  canvas.setAttribute("aria-valuetext", `Frame ${number} of ${count}`);
  redraw();
}

function redraw() {
  waiting ||= requestAnimationFrame(draw);
}

function draw() {
  waiting = 0;
  const frame = visibleFrame();
  if (!frame) return;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * devicePixelRatio, height * devicePixelRatio];
  context.scale(devicePixelRatio, devicePixelRatio);
  const count = frames(frame.video);
  const wide = width / count;
  const gap = wide > 5 ? 1 : 0;
  for (let index = 0; index < count; index++) {
    const answer = answerTo(`${frame.video}#${index}`);
    const value = answer?.confidence;
    context.globalAlpha = answer?.stale ? 0.35 : 0.85;
    context.fillStyle = value === null ? ANSWERED : answer ? css(onScale("confidence", value)) : WAITING;
    const tall = answer ? 6 + (height - 20) * (value ?? 0.5) : 6;
    context.fillRect(index * wide, height - tall, Math.max(wide - gap, 0.5), tall);
  }
  context.globalAlpha = 1;
  marks(frame.video, wide);
  head(frame.index, wide, height);
}

/** A mark over each frame with dots. */
function marks(video, wide) {
  context.fillStyle = "#ffffff";
  for (const [id, { dots }] of page.images) {
    const frame = dots.length ? frameOf(id, page.videos) : null;
    if (frame?.video !== video) continue;
    context.beginPath();
    context.arc((frame.index + 0.5) * wide, 5, 3, 0, 2 * Math.PI);
    context.fill();
  }
}

/** The line at the visible frame. */
function head(index, wide, height) {
  const x = Math.round((index + 0.5) * wide);
  context.fillStyle = "#0e1013";
  context.fillRect(x - 2, 10, 4, height);
  context.fillStyle = "#ffffff";
  context.fillRect(x - 1, 10, 2, height);
}

function scrub(event) {
  const frame = visibleFrame();
  if (!frame || event.buttons === 0) return;
  canvas.setPointerCapture(event.pointerId);
  const edge = canvas.getBoundingClientRect();
  const index = Math.floor(((event.clientX - edge.left) / edge.width) * frames(frame.video));
  if (index !== frame.index) seek(frame.video, index);
}

canvas.addEventListener("pointerdown", scrub);
canvas.addEventListener("pointermove", scrub);
get("play").onclick = () => play();
get("play-back").onclick = () => play(true);
get("stop").onclick = stop;
get("back").onclick = () => stepFrame(-1);
get("on").onclick = () => stepFrame(1);
new ResizeObserver(redraw).observe(canvas);

/** The choices of memory, as the server has them. */
function memories() {
  const select = get("memory");
  const before = select.value;
  select.replaceChildren(...page.memories.map((name) => new Option(name, name)));
  if ([...select.options].some(({ value }) => value === before)) select.value = before;
}

listen("state", () => {
  memories();
  shown();
});
listen("shown", shown);
listen("dots", redraw);
listen("aged", redraw);
listen("connection", ({ state }) => {
  if (state !== "open" && playing) ended();
});
