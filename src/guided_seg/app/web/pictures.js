// The images themselves: loaded when they are shown, and the last few kept.

import { imageAddress } from "./state.js";

const MOST = 12;

const loaded = new Map(); // address -> promise of a decoded image, oldest first

/**
 * An image or frame, decoded and ready to draw.
 *
 * @param {string} id
 * @returns {Promise<HTMLImageElement>} rejects with an Error that has a sentence
 */
export function picture(id) {
  const address = imageAddress(id);
  const known = loaded.get(address) ?? load(id, address);
  loaded.delete(address);
  loaded.set(address, known);
  for (const oldest of loaded.keys()) {
    if (loaded.size <= MOST) break;
    loaded.delete(oldest);
  }
  return known;
}

async function load(id, address) {
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
  } catch {
    loaded.delete(address);
    const reply = await fetch(address).catch(() => null); // an image element does not say why
    const { text } = reply && !reply.ok ? await reply.json().catch(() => ({})) : {};
    throw new Error(text ?? `The image ${id} could not be loaded.`);
  }
  return image;
}
