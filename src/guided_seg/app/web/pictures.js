// The images themselves: loaded when they are shown, and the last few kept.

import { imageAddress } from "./state.js";

const MOST = 12;

const loaded = new Map(); // id -> promise of a decoded image, oldest first

/**
 * An image or frame, decoded and ready to draw.
 *
 * @param {string} id
 * @returns {Promise<HTMLImageElement>} rejects with an Error that has a sentence
 */
export function picture(id) {
  const known = loaded.get(id) ?? load(id);
  loaded.delete(id);
  loaded.set(id, known);
  for (const oldest of loaded.keys()) {
    if (loaded.size <= MOST) break;
    loaded.delete(oldest);
  }
  return known;
}

async function load(id) {
  const image = new Image();
  image.src = imageAddress(id);
  try {
    await image.decode();
  } catch {
    loaded.delete(id);
    throw new Error(`The image ${id} could not be loaded.`);
  }
  return image;
}
