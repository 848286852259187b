// Keyboard shortcuts, and the dialog that lists them. Each is said once, here.

import { compare } from "./compare.js";
import { clear, step } from "./edits.js";
import { chooseLabel, retypeChosen } from "./labels.js";
import { abandon, holdSpace } from "./pointer.js";
import { neighbour } from "./strip.js";
import { fit, zoom } from "./stage.js";
import { choose, page, tell, visibleFrame } from "./state.js";
import { play, stepFrame } from "./timeline.js";

const VIEWS = ["overlay", "outline", "cutout", "heat", "similarity"];
const help = document.getElementById("help-dialog");

/** One step in time in a video, else one image. */
function along(by) {
  if (visibleFrame()) stepFrame(by);
  else if (neighbour(by)) tell("go", neighbour(by));
}

function giveUp() {
  abandon();
  tell("dismissed");
}

/** Show the list of shortcuts. */
function showHelp() {
  if (help.open) return;
  const possible = SHORTCUTS.filter(([, , , , there]) => there?.() ?? true);
  document.getElementById("key-list").replaceChildren(...possible.map(([, keys, about]) => row(keys, about)));
  help.showModal();
}

// [keys, how they are written, what they do, the function, whether the page has it if not always]
const SHORTCUTS = [
  [["1", "d"], "1 or D", "Dots", () => choose({ tool: "dot" })],
  [["2", "s"], "2 or S", "Scribble", () => choose({ tool: "scribble" })],
  [["3", "b"], "3 or B", "Box", () => choose({ tool: "box" })],
  [["ctrl+z"], "Ctrl Z", "Undo", () => step("undo")],
  [["ctrl+shift+z", "ctrl+y"], "Ctrl Shift Z or Ctrl Y", "Redo", () => step("redo")],
  [["delete"], "Delete", "Remove all dots of this image", () => clear(false)],
  [["n"], "N", "Show where a dot helps most, and ask what is there", () => tell("next")],
  [["l"], "L", "Type the name of a new label", () => document.getElementById("label-name").focus()],
  [["f2"], "F2", "Rename the chosen label", retypeChosen],
  [["v"], "V", "Next view", () => choose({ view: VIEWS[(VIEWS.indexOf(page.view) + 1) % VIEWS.length] })],
  [["p"], "P", "Preview under the pointer", () => choose({ preview: !page.preview })],
  [["r"], "R", "Refine after each edit", () => choose({ refine: !page.refine })],
  [["c"], "C", "Two networks side by side", compare, () => page.other !== null],
  [["f"], "F", "Fit the image", fit],
  [["+", "="], "+", "Zoom in", () => zoom(1.25)],
  [["-"], "−", "Zoom out", () => zoom(0.8)],
  [["arrowleft"], "←", "Frame or image before", () => along(-1)],
  [["arrowright"], "→", "Frame or image after", () => along(1)],
  [["pageup"], "Page up", "Image or video before", () => neighbour(-1) && tell("go", neighbour(-1))],
  [["pagedown"], "Page down", "Image or video after", () => neighbour(1) && tell("go", neighbour(1))],
  [["k"], "K", "Play or pause a video", () => play()],
  [["j"], "J", "Play a video backwards", () => play(true)],
  [["escape"], "Escape", "Give up a line, a box, a drag or a question", giveUp],
  [["?"], "?", "This list", showHelp],
];

const POINTER = [
  ["Click", "This is the object"],
  ["Right click or Shift", "This is not the object; on a touch screen press long"],
  ["Click on a dot", "Remove it"],
  ["Drag a dot", "Move it"],
  ["Wheel or pinch", "Zoom"],
  ["Space and drag, or middle button", "Pan; on a touch screen use two fingers"],
  ["Alt 1 to 9", "Choose a label; Alt 0 chooses the background"],
];

const bound = new Map(SHORTCUTS.flatMap(([keys, , , run]) => keys.map((key) => [key, run])));

/** The name of a key with what is held down, such as ctrl+shift+z. */
function combination({ key, ctrlKey, metaKey, shiftKey }) {
  const name = key.toLowerCase();
  if (!ctrlKey && !metaKey) return name;
  return `ctrl+${shiftKey ? "shift+" : ""}${name}`;
}

function typing(target) {
  return target.closest?.("input:not([type=range], [type=checkbox]), textarea, select, dialog") !== null;
}

function pressed(event) {
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const digit = event.altKey && /^Digit(\d)$/.exec(event.code);
  if (digit) {
    event.preventDefault();
    chooseLabel(Number(digit[1]));
    return;
  }
  if (event.key === " " && !event.target.closest("button, a, summary")) {
    event.preventDefault();
    holdSpace(true);
    return;
  }
  if (event.target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
  const run = event.altKey ? null : bound.get(combination(event));
  if (!run) return;
  event.preventDefault();
  run();
}

function row(keys, about) {
  const line = document.createElement("tr");
  const [left, right] = [document.createElement("th"), document.createElement("td")];
  left.textContent = keys;
  left.scope = "row";
  right.textContent = about;
  line.append(left, right);
  return line;
}

/** Listen to the keyboard. */
export function useKeys() {
  addEventListener("keydown", pressed);
  addEventListener("keyup", ({ key }) => key === " " && holdSpace(false));
  addEventListener("blur", () => holdSpace(false));
  document.getElementById("pointer-list").append(...POINTER.map(([keys, about]) => row(keys, about)));
  document.getElementById("help").onclick = showHelp;
  document.getElementById("help-close").onclick = () => help.close();
}
