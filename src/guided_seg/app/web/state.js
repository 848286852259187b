// What the page knows: the session as the server tells it, and what is chosen here. Modules listen for changes.

import { frameOf } from "./coordinates.js";
import { NEGATIVE } from "./colours.js";

const search = new URLSearchParams(location.search);

export const page = {
  id: decodeURIComponent(location.pathname.split("/")[2] ?? "main"),
  model: "",
  other: null, // the name of a second network
  labels: [], // {name, colour}; label number k is at k - 1, and 0 is the background
  versions: {}, // id -> what changes with the file of an image or video
  images: new Map(), // id -> {id, height, width, dots}
  videos: new Map(), // id -> {id, frames, height, width}
  formats: [],
  memories: [],
  undo: false,
  redo: false,
  image: null, // the id of the visible image or frame
  label: 1, // the chosen label; 0 is the background
  tool: "dot", // or scribble, box
  view: "overlay", // or outline, cutout, heat, similarity
  opacity: 0.5,
  compare: false, // whether the second network's answer is shown beside
  preview: true,
  refine: true,
  fill: true,
};

const listeners = new Map();

/** Call a function whenever something of this name is told. */
export function listen(name, heard) {
  listeners.set(name, [...(listeners.get(name) ?? []), heard]);
}

/** Tell all who listen for this name. */
export function tell(name, detail) {
  for (const heard of listeners.get(name) ?? []) heard(detail);
}

/** Change choices, and tell "chosen" with the names of those that differ. */
export function choose(changes) {
  const changed = Object.keys(changes).filter((name) => page[name] !== changes[name]);
  Object.assign(page, changes);
  if (changed.length) tell("chosen", new Set(changed));
}

/** Image or frame by its id, as {id, height, width, dots}; a frame that was never opened has no dots. */
export function imageOf(id) {
  const known = page.images.get(id);
  if (known || id === null) return known ?? null;
  const frame = frameOf(id, page.videos);
  if (!frame) return null;
  const { height, width } = page.videos.get(frame.video);
  return { id, height, width, dots: [] };
}

/** The video and number of the visible frame; null if an image is visible. */
export function visibleFrame() {
  return page.image === null ? null : frameOf(page.image, page.videos);
}

/** What the filmstrip shows: images, and videos as one entry each, as {id, video, image}. */
export function entries() {
  const images = [...page.images.keys()].filter((id) => !frameOf(id, page.videos));
  const videos = [...page.videos.keys()].map((id) => ({ id, video: true, image: `${id}#0` }));
  return [...images.map((id) => ({ id, video: false, image: id })), ...videos];
}

/** The colour of a label as [r, g, b]; red for the background. */
export function colourOf(label) {
  return label === 0 ? NEGATIVE : (page.labels[label - 1]?.colour ?? [148, 163, 184]);
}

/** The name of a label, by its number. */
export function nameOf(label) {
  return page.labels[label - 1]?.name ?? "background";
}

/** An address below this session, with the token if there is one. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams(parameters);
  if (search.has("token")) query.set("token", search.get("token"));
  const asked = query.toString();
  return `/s/${encodeURIComponent(page.id)}/${path}${asked ? `?${asked}` : ""}`;
}

/** The address of an image or frame, at most `width` pixels wide if given. It is another one once the file changed. */
export function imageAddress(id, width) {
  const version = page.versions[frameOf(id, page.videos)?.video ?? id] ?? "0";
  return address(`image/${encodeURIComponent(id)}`, { ...(width && { w: width }), v: version });
}
