// Masks on their way: binary messages, run lengths, and base64. Pure functions, tested by tests/app/web.

const LITTLE = true;
const text = new TextDecoder();

/**
 * Split a binary message into its header (JSON) and its payload.
 *
 * @param {ArrayBuffer} buffer u32 length of the header, the header, the payload
 * @returns {{header: object, payload: Uint8Array}} the payload is a view, not a copy
 */
export function readMessage(buffer) {
  const length = new DataView(buffer).getUint32(0, LITTLE);
  const header = JSON.parse(text.decode(new Uint8Array(buffer, 4, length)));
  return { header, payload: new Uint8Array(buffer, 4 + length) };
}

/**
 * Fill a label map from runs: k lengths as u32, then k labels as u8, row by row.
 *
 * @param {Uint8Array} payload 5 k bytes
 * @param {Uint8Array} labels the label map to fill, height * width
 * @throws {RangeError} the runs do not cover the label map exactly
 */
export function decodeRuns(payload, labels) {
  const count = payload.length / 5;
  const lengths = new DataView(payload.buffer, payload.byteOffset, payload.length);
  let start = 0;
  for (let run = 0; run < count; run++) {
    const end = start + lengths.getUint32(4 * run, LITTLE);
    labels.fill(payload[4 * count + run], start, end);
    start = end;
  }
  if (start !== labels.length) throw new RangeError(`runs of ${start} pixels for a mask of ${labels.length}`);
}

/**
 * The lengths of alternating runs of zero and nonzero pixels, beginning with zero.
 *
 * @param {Uint8Array} pixels
 * @returns {Uint32Array} the first length is 0 if the first pixel is nonzero
 */
export function encodeRuns(pixels) {
  const lengths = [];
  let start = 0;
  let on = false;
  for (let at = 0; at < pixels.length; at++) {
    if ((pixels[at] !== 0) === on) continue;
    lengths.push(at - start);
    start = at;
    on = !on;
  }
  lengths.push(pixels.length - start);
  return Uint32Array.from(lengths);
}

/** Numbers as base64 of u32, least significant byte first. */
export function base64(numbers) {
  const bytes = new Uint8Array(4 * numbers.length);
  const data = new DataView(bytes.buffer);
  numbers.forEach((number, at) => data.setUint32(4 * at, number, LITTLE));
  let letters = "";
  for (let at = 0; at < bytes.length; at += 8192) letters += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(letters);
}
