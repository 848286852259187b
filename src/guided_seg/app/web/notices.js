// What the page says: errors and notices, progress, and the status line.

import { connect } from "./connection.js";
import { page, listen, tell } from "./state.js";

const MOST = 4; // notices at a time
const SHOWN = { notice: 6000, long: 15000 }; // milliseconds

const PATIENCE = 400; // milliseconds of work before its progress is shown

const get = (id) => document.getElementById(id);

let slow = 0; // the timer that shows progress

/**
 * Show a sentence for some seconds, or until it is dismissed.
 *
 * @param {string} text
 * @param {boolean} error whether something went wrong
 * @param {(() => void) | null} undo takes back what the sentence says, with a button until the next edit
 */
export function notice(text, error = false, undo = null) {
  const shown = [...get("notices").children];
  shown.filter((each) => each.firstChild.textContent === text).forEach((each) => each.remove());
  while (get("notices").children.length >= MOST) get("notices").firstChild.remove();
  const box = document.createElement("div");
  const words = document.createElement("span");
  const close = document.createElement("button");
  box.className = error ? "notice error" : "notice";
  box.setAttribute("role", error ? "alert" : "status");
  box.dataset.testid = error ? "error" : "notice";
  words.textContent = text;
  close.textContent = "×";
  close.type = "button";
  close.className = "close";
  close.setAttribute("aria-label", "Dismiss");
  close.onclick = () => box.remove();
  box.append(words);
  if (undo) {
    const back = document.createElement("button");
    back.type = "button";
    back.className = "undo";
    back.dataset.testid = "notice-undo";
    back.textContent = "Undo";
    back.title = "Bring it back (Ctrl Z)";
    back.onclick = undo;
    box.append(back);
  }
  box.append(close);
  get("notices").append(box);
  setTimeout(() => box.remove(), error || undo ? SHOWN.long : SHOWN.notice);
}

/** After another edit, Undo would take back that one. */
function outdated() {
  for (const button of get("notices").querySelectorAll(".undo")) button.parentElement.remove();
}

/** Show how far the server is with filling or playing. */
export function progress({ what, done, of, ended }) {
  if (ended) {
    quiet();
    return;
  }
  slow ||= setTimeout(() => (get("progress").hidden = false), PATIENCE);
  const [doing, things] = what === "play" ? ["Playing", "frames"] : ["Filling in", "images"];
  get("progress-text").textContent = `${doing}: ${done}${of ? ` of ${of}` : ""} ${things}`;
  const bar = get("progress-bar");
  if (of) [bar.max, bar.value] = [of, done];
  else bar.removeAttribute("value");
}

/** Show no progress any more. */
function quiet() {
  clearTimeout(slow);
  slow = 0;
  get("progress").hidden = true;
}

/** Say how long the last answer took. */
export function took(milliseconds) {
  if (Number.isFinite(milliseconds)) get("took").textContent = `${Math.round(milliseconds)} ms`;
}

/** Say when the session was saved. */
export function saved(at) {
  const time = new Date(at);
  const clock = Number.isNaN(time.valueOf()) ? at : time.toLocaleTimeString();
  get("saved").hidden = false;
  get("saved").title = `Saved at ${clock}`;
}

/** The server ended the page: say why, and offer to connect again. */
export function farewell(text) {
  get("farewell-text").textContent = text;
  get("farewell").hidden = false;
}

/** Say what state the connection is in. */
function connection({ state, wait }) {
  const words = {
    connecting: "Connecting…",
    open: "Connected",
    closed: `Not connected, trying again in ${Math.ceil((wait ?? 0) / 1000)} s`,
    ended: "Not connected",
  };
  get("connection").textContent = words[state];
  get("connection").dataset.state = state;
  get("waiting").textContent = words[state];
  get("waiting").hidden = state === "open" || page.image !== null;
  if (state === "open") get("farewell").hidden = true;
  if (state !== "open") quiet();
}

listen("connection", connection);
listen("notice", ({ text, error, undo }) => notice(text, error, undo));
listen("edited", () => {
  get("saved").hidden = true;
  outdated();
});
listen("labels", outdated);
get("cancel").onclick = () => {
  quiet();
  tell("cancel");
};
listen("paused", quiet);
get("farewell-connect").onclick = () => connect();
listen("state", () => {
  get("model").textContent = page.model;
  get("model").title = page.model;
});
