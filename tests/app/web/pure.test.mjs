// The page's pure functions. Run by `node --test tests/app/web/`.

import assert from "node:assert/strict";
import { test } from "node:test";

const web = new URL("../../../src/guided_seg/app/web/", import.meta.url);
const [runs, colours, coordinates, layers] = await Promise.all(
  ["runs.js", "colours.js", "coordinates.js", "layers.js"].map((name) => import(new URL(name, web))),
);

/** Numbers of 0..1, the same at each run. */
function* random(seed = 1) {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

function payloadOf(labels) {
  const found = [];
  for (const label of labels) {
    if (found.at(-1)?.label === label) found.at(-1).length += 1;
    else found.push({ label, length: 1 });
  }
  const bytes = new Uint8Array(5 * found.length);
  const data = new DataView(bytes.buffer);
  found.forEach(({ label, length }, at) => {
    data.setUint32(4 * at, length, true);
    bytes[4 * found.length + at] = label;
  });
  return bytes;
}

test("a message is split into header and payload, wherever the payload begins", () => {
  for (const image of ["a", "ab", "Äpfel#3", "猫.jpg"]) {
    const header = new TextEncoder().encode(JSON.stringify({ type: "mask", image }));
    const bytes = new Uint8Array(4 + header.length + 3);
    new DataView(bytes.buffer).setUint32(0, header.length, true);
    bytes.set(header, 4);
    bytes.set([7, 8, 9], 4 + header.length);
    const message = runs.readMessage(bytes.buffer);
    assert.equal(message.header.image, image);
    assert.deepEqual([...message.payload], [7, 8, 9]);
  }
});

test("decoded runs are the labels they were made from", () => {
  const next = random();
  for (let round = 0; round < 50; round++) {
    const length = 1 + Math.floor(next.next().value * 300);
    const labels = Uint8Array.from({ length }, () => Math.floor(next.next().value * 3));
    const shifted = new Uint8Array([...new Uint8Array(round % 4), ...payloadOf(labels)]).subarray(round % 4);
    const out = new Uint8Array(length).fill(9);
    runs.decodeRuns(shifted, out);
    assert.deepEqual(out, labels);
  }
});

test("runs that do not cover the label map are refused", () => {
  for (const length of [3, 5]) assert.throws(() => runs.decodeRuns(payloadOf([1, 1, 0, 2]), new Uint8Array(length)), RangeError);
});

test("run lengths begin with zero pixels and add up", () => {
  assert.deepEqual([...runs.encodeRuns(Uint8Array.of(1, 1, 0, 1))], [0, 2, 1, 1]);
  assert.deepEqual([...runs.encodeRuns(Uint8Array.of(0, 0))], [2]);
  const next = random(2);
  for (let round = 0; round < 20; round++) {
    const pixels = Uint8Array.from({ length: 200 }, () => (next.next().value < 0.4 ? 3 : 0));
    const back = [...runs.encodeRuns(pixels)].flatMap((length, at) => Array(length).fill(at % 2));
    assert.deepEqual(back, [...pixels].map((value) => Math.sign(value)));
  }
});

test("base64 is little-endian u32, also beyond one chunk", () => {
  const numbers = Uint32Array.from({ length: 5000 }, (_, at) => at * 70001);
  const bytes = Buffer.from(runs.base64(numbers), "base64");
  assert.deepEqual([...numbers].map((_, at) => bytes.readUInt32LE(4 * at)), [...numbers]);
});

test("zooming keeps the point under the pointer, and fitting shows everything", () => {
  const [image, canvas] = [{ height: 480, width: 854 }, { height: 700, width: 1000 }];
  const view = coordinates.fitted(image, canvas);
  assert.deepEqual(coordinates.pixelAt(view, view.x + 0.01, view.y + 0.01), [0, 0]);
  assert.ok(view.x >= 0 && view.x + view.scale * image.width <= canvas.width);
  const closer = coordinates.zoomed(view, 3, 501.3, 350.7, image, canvas);
  assert.deepEqual(coordinates.pixelAt(closer, 501.3, 350.7), coordinates.pixelAt(view, 501.3, 350.7));
  assert.ok(coordinates.zoomed(view, 1e9, 500, 350, image, canvas).scale <= 40);
  assert.ok(coordinates.zoomed(view, 1e-9, 500, 350, image, canvas).scale > 0);
});

test("a pixel's place lies in that pixel", () => {
  const view = { scale: 1.7, x: -13.2, y: 40.5 };
  for (const [row, column] of [[0, 0], [11, 250], [479, 853]]) {
    assert.deepEqual(coordinates.pixelAt(view, ...coordinates.placeOf(view, row, column)), [row, column]);
  }
});

test("the nearest dot within reach is found", () => {
  const view = { scale: 2, x: 0, y: 0 };
  const dots = [[10, 10, 1], [10, 14, 0]];
  assert.equal(coordinates.dotAt(dots, view, 28, 21, 10), 1);
  assert.equal(coordinates.dotAt(dots, view, 200, 200, 10), -1);
});

test("boxes, clamping, thinning, and frames", () => {
  assert.deepEqual(coordinates.boxOf([9, 2], [3, 8]), [3, 2, 9, 8]);
  assert.deepEqual(coordinates.clamped([-4, 99], { height: 5, width: 7 }), [0, 6]);
  const line = Array.from({ length: 1000 }, (_, at) => [at, at]);
  const few = coordinates.thinned(line, 40);
  assert.deepEqual([few.length, few[0], few.at(-1)], [40, [0, 0], [999, 999]]);
  const videos = new Map([["a#b", {}]]);
  assert.deepEqual(coordinates.frameOf("a#b#12", videos), { video: "a#b", index: 12 });
  for (const id of ["a#b", "a#b#twelve", "c#1", "#1", "a#b#"]) assert.equal(coordinates.frameOf(id, videos), null);
});

test("labels are painted with a border, and background not at all", () => {
  const labels = Uint8Array.from([0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0]);
  const [fill, edge, pixels] = [new Uint32Array(256).fill(5), new Uint32Array(256).fill(9), new Uint32Array(16)];
  layers.paintLabels(labels, { height: 4, width: 4 }, fill, edge, 1, pixels);
  assert.deepEqual([...pixels], [0, 9, 5, 5, 0, 9, 5, 5, 0, 9, 9, 9, 0, 0, 0, 0]);
});

test("a difference is painted where labels differ only", () => {
  const [size, colours] = [{ height: 2, width: 2 }, new Uint32Array(256).fill(0xff000001)];
  const pixels = new Uint32Array(4);
  const paint = (before, after) =>
    layers.paintDifference(Uint8Array.from(before), Uint8Array.from(after), size, colours, 0xff000002, 1, pixels);
  assert.equal(paint([0, 1, 2, 0], [0, 1, 2, 0]), false);
  assert.deepEqual([...pixels], [0, 0, 0, 0]);
  assert.equal(paint([0, 1, 2, 0], [1, 1, 2, 0]), true);
  assert.deepEqual([...pixels], [0xff000001, 0, 0, 0]);
  paint([0, 1, 2, 0], [0, 1, 2, 3]);
  assert.deepEqual([...pixels], [0, 0, 0, 0xff000001]);
  paint([1, 0, 0, 0], [0, 0, 0, 0]);
  assert.deepEqual([...pixels], [0xff000002, 0, 0, 0]);
});

test("the layer of a large photo stays small and covers it", () => {
  for (const [height, width] of [[480, 854], [4000, 6000], [9000, 100], [1, 1]]) {
    const layer = layers.layerOf(height, width);
    assert.ok(layer.height * layer.width <= 2_100_000);
    assert.ok(layer.height * layer.step >= height && layer.width * layer.step >= width);
    const labels = new Uint8Array(height * width).fill(1);
    const pixels = new Uint32Array(layer.height * layer.width);
    layers.paintLabels(labels, { height, width }, new Uint32Array(256).fill(3), new Uint32Array(256).fill(3), 1, pixels);
    assert.ok(pixels.every((pixel) => pixel === 3));
  }
});

test("small pictures take the nearest pixels", () => {
  const labels = Uint8Array.from({ length: 16 }, (_, at) => (at % 4 < 2 ? 0 : 1));
  const pixels = new Uint32Array(4);
  layers.paintSmall(labels, { height: 4, width: 4 }, Uint32Array.of(0, 7), { height: 2, width: 2 }, pixels);
  assert.deepEqual([...pixels], [0, 7, 0, 7]);
});

test("spread values go from end to end and keep their order", () => {
  assert.deepEqual([...layers.spread(Uint8Array.of(100, 110, 120))], [0, 128, 255]);
  assert.deepEqual([...layers.spread(Uint8Array.of(9, 9))], [0, 0]);
  assert.deepEqual([...layers.spread(Uint8Array.of(0, 77, 255))], [0, 77, 255]);
});

test("colours: packed as ABGR, background transparent, scales from end to end", () => {
  assert.equal(colours.packed([1, 2, 3], 255), 0xff030201);
  const pixels = colours.labelPixels([{ colour: [1, 2, 3] }], 128);
  assert.deepEqual([pixels[0], pixels[1]], [0, 0x80030201]);
  for (const name of ["heat", "similarity", "confidence"]) {
    const scale = colours.scalePixels(name);
    assert.equal(scale.length, 256);
    assert.notEqual(scale[0], scale[255]);
    assert.deepEqual(colours.onScale(name, -1), colours.onScale(name, 0));
    assert.deepEqual(colours.onScale(name, 2), colours.onScale(name, 1));
  }
});
