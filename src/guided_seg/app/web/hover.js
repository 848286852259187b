// Answers that nobody clicked for: what a dot under the pointer would do, and the refined answer after each edit and to
// an image with dots that is shown.

import { send } from "./connection.js";
import { opened } from "./edits.js";
import { invalidate, showPreview } from "./stage.js";
import { imageOf, listen, page } from "./state.js";
import { isPlaying } from "./timeline.js";

const PAUSE = 250; // milliseconds: edits and images that follow each other faster are refined after the last of them
const LATE = 1500; // milliseconds after which an unanswered hover no longer holds back the next

let asked = { n: 0, since: 0 }; // the hover in flight; n is 0 if none is
let wanted = null; // {place, negative}: where the pointer is now
let sent = ""; // the place asked for last
let edited = 0; // the number of the last edit
let editedAt = -PAUSE; // when it was made
let refinable = false; // whether it may still be refined
let refining = 0; // the number of the last request to refine
let timer = 0;

/** The pointer is over [row, column] of the image; null if a dot there is not possible. */
export function rest(place, negative) {
  wanted = place && { place, negative };
  if (!place) clearPreview();
  ask();
}

/** The pointer left the image, or is doing something. */
export function leave() {
  wanted = null;
  clearPreview();
}

function clearPreview() {
  asked = { n: 0, since: 0 };
  sent = "";
  showPreview(null);
  invalidate();
}

/** Ask for the preview at the newest place, unless one is in flight. */
function ask() {
  if (!wanted || !page.preview || page.image === null || page.labels.length === 0) return;
  if (asked.n && performance.now() - asked.since < LATE) return;
  const [row, column] = wanted.place;
  const label = wanted.negative ? 0 : page.label;
  const where = `${page.image} ${row} ${column} ${label} ${edited}`;
  if (where === sent) return;
  opened(page.image);
  asked = { n: send("hover", { image: page.image, row, column, label }), since: performance.now() };
  sent = where;
}

/** Whether a preview that came is the one asked for; the next one is asked for then. */
export function previewed(n) {
  if (n !== asked.n) return false;
  asked = { n: 0, since: 0 };
  ask();
  return true;
}

/** Whether a refined answer that came still belongs to the last edit. */
export function refined(n) {
  return n === refining && !page.compare;
}

/** Whether the message that was refused is one of these, which nobody clicked for; it holds nothing back then. */
export function refused(n) {
  const own = n !== null && (n === asked.n || n === refining);
  if (n === asked.n) asked = { n: 0, since: 0 };
  return own;
}

/** Ask for the refined answer after a while, or at once; the server gives the quick answer to the edit first. */
function refineIn(pause) {
  clearTimeout(timer);
  if (pause) timer = setTimeout(refine, pause);
  else refine();
}

function refine() {
  // side by side both networks show their quick answers, and a video that plays has no time for others
  if (!refinable || !page.refine || page.compare || page.image === null || isPlaying()) return;
  refinable = false;
  refining = send("refine", { image: page.image });
}

listen("edited", ({ n }) => {
  const pause = performance.now() - editedAt < PAUSE ? PAUSE : 0;
  edited = n;
  editedAt = performance.now();
  refinable = true;
  refining = 0;
  clearPreview();
  refineIn(pause);
});
listen("shown", () => {
  refinable = !isPlaying() && imageOf(page.image)?.dots.length > 0;
  refining = 0;
  leave();
  refineIn(PAUSE); // the server gives the quick answer first
});
listen("chosen", (changed) => {
  if (changed.has("preview") || changed.has("label")) clearPreview();
  if (changed.has("preview") || changed.has("label")) ask();
  if (changed.has("refine") || changed.has("compare")) refineIn(0);
});
