// The websocket: sends what is done on the page, and connects again by itself.

import { readMessage } from "./runs.js";
import { address, tell } from "./state.js";

const LONGEST = 15_000; // milliseconds

let socket = null;
let count = 0;
let attempts = 0;
let timer = 0;
let ended = false; // after bye: only the person connects again

/** How long to wait before an attempt, in milliseconds. */
function delay(attempt) {
  return Math.min(LONGEST, 400 * 2 ** attempt);
}

/** Connect, and again whenever the connection breaks. Messages are told as "message" and "binary". */
export function connect() {
  clearTimeout(timer);
  ended = false;
  const url = new URL(address("socket"), location.href);
  url.protocol = url.protocol.replace("http", "ws");
  // came by the printed address: another tab keeps its page
  if (new URLSearchParams(location.search).has("first")) url.searchParams.set("first", "");
  const opened = new WebSocket(url);
  socket = opened;
  opened.binaryType = "arraybuffer";
  tell("connection", { state: "connecting" });
  opened.onmessage = ({ data }) => {
    if (opened === socket) receive(data);
  };
  opened.onclose = () => {
    if (opened === socket) closed();
  };
}

function receive(data) {
  if (typeof data !== "string") {
    tell("binary", readMessage(data));
    return;
  }
  const message = JSON.parse(data);
  if (message.type === "elsewhere") {
    ended = true;
    location.replace(message.address);
    return;
  }
  if (message.type === "state") {
    attempts = 0;
    history.replaceState(null, "", location.pathname);
    tell("connection", { state: "open" });
  }
  if (message.type === "bye") ended = true;
  tell("message", message);
}

function closed() {
  socket = null;
  if (ended) {
    tell("connection", { state: "ended" });
    return;
  }
  const wait = delay(attempts++);
  tell("connection", { state: "closed", wait });
  timer = setTimeout(connect, wait);
}

addEventListener("online", () => {
  if (socket === null && !ended) connect();
});

/**
 * Send a message to the server.
 *
 * @param {string} what its name
 * @param {object} fields
 * @returns {number} its number; 0 if there is no connection
 */
export function send(what, fields = {}) {
  if (socket?.readyState !== WebSocket.OPEN) return 0;
  count += 1;
  socket.send(JSON.stringify({ n: count, do: what, ...fields }));
  return count;
}
