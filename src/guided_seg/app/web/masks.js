// The masks that came: for each image its runs and confidence, and the decoded label maps of the visible one.

import { decodeRuns } from "./runs.js";

const answers = new Map(); // id -> {n, of, image, payload, height, width, confidence, stale}
let scratch = new Uint8Array(0);

/**
 * Keep the answer to an image; its runs, not its pixels, so that thousands of images fit. It is stale if it was made
 * before the last edit.
 */
export function keep(header, payload, stale) {
  const { n, of, image, height, width, confidence } = header;
  answers.set(image, { n, of, image, payload, height, width, confidence: confidence ?? null, stale });
}

/** The answer to an image as it was kept, with whether it is stale; undefined if none came. */
export function answerTo(id) {
  return answers.get(id);
}

/** Mark all answers but one as older than the annotations. */
export function age(except) {
  for (const [id, answer] of answers) answer.stale ||= id !== except;
}

/** Forget the answers to images that are no longer there. */
export function retain(there) {
  for (const id of answers.keys()) if (!there(id)) answers.delete(id);
}

/**
 * The label map of runs.
 *
 * @param {{payload: Uint8Array, height: number, width: number}} answer
 * @param {Uint8Array | null} reused written into if it has the right length
 * @returns {Uint8Array} height * width labels
 */
export function decoded({ payload, height, width }, reused = null) {
  const labels = reused?.length === height * width ? reused : new Uint8Array(height * width);
  decodeRuns(payload, labels);
  return labels;
}

/** The label map of an answer for a moment: it is overwritten by the next call. */
export function glimpsed(answer) {
  scratch = decoded(answer, scratch);
  return scratch;
}
