// Label maps as pixels, to be drawn over an image. Pure functions on typed arrays, tested by tests/app/web.
//
// A layer has one pixel for `step` x `step` pixels of the label map, so that a large photo costs no more than a
// small one.

const MOST = 2_000_000; // pixels of a layer

/** The step and size of the layer of a label map. */
export function layerOf(height, width) {
  const step = Math.max(1, Math.ceil(Math.sqrt((height * width) / MOST)));
  return { step, height: Math.ceil(height / step), width: Math.ceil(width / step) };
}

/**
 * Paint a label map: each label with its pixel of `fill`, and along its border, `reach` wide, with that of `edge`.
 *
 * @param {Uint8Array} labels height * width
 * @param {{height: number, width: number}} size of the label map
 * @param {Uint32Array} fill 256 packed pixels
 * @param {Uint32Array} edge 256 packed pixels
 * @param {number} reach in pixels of the layer, from 1
 * @param {Uint32Array} pixels the layer to paint
 */
export function paintLabels(labels, size, fill, edge, reach, pixels) {
  const { step, height, width } = layerOf(size.height, size.width);
  const [aside, below] = [reach * step, reach * step * size.width];
  const [last, end] = [size.width - aside, labels.length - below];
  for (let row = 0, at = 0; row < height; row++) {
    const start = row * step * size.width;
    for (let column = 0; column < width; column++, at++) {
      const from = start + column * step;
      const label = labels[from];
      if (label === 0) {
        pixels[at] = 0;
        continue;
      }
      const x = column * step;
      const border =
        (x >= aside && labels[from - aside] !== label) ||
        (x < last && labels[from + aside] !== label) ||
        (from >= below && labels[from - below] !== label) ||
        (from < end && labels[from + below] !== label);
      pixels[at] = border ? edge[label] : fill[label];
    }
  }
}

/**
 * Paint, in stripes, where a label map differs from another: gained pixels with `colours`, lost ones with `lost`.
 *
 * @param {Uint8Array} before what is shown
 * @param {Uint8Array} after what would be
 * @param {{height: number, width: number}} size of both
 * @param {Uint32Array} colours 256 packed pixels, for the label gained
 * @param {number} lost the packed pixel where a label would become background
 * @param {number} stripe the width of a stripe in pixels of the layer, from 1
 * @param {Uint32Array} pixels the layer to paint
 * @returns {boolean} whether anything differs
 */
export function paintDifference(before, after, size, colours, lost, stripe, pixels) {
  const { step, height, width } = layerOf(size.height, size.width);
  let differs = false;
  for (let row = 0, at = 0; row < height; row++) {
    const start = row * step * size.width;
    for (let column = 0; column < width; column++, at++) {
      const label = after[start + column * step];
      if (label === before[start + column * step]) {
        pixels[at] = 0;
        continue;
      }
      differs = true;
      const colour = label === 0 ? lost : colours[label];
      const faint = ((row + column) / stripe) & 1;
      pixels[at] = faint ? ((colour & 0xffffff) | 0x48000000) >>> 0 : colour;
    }
  }
  return differs;
}

/** Paint a small picture of a label map by nearest pixels, with `fill`; `pixels` is height * width of `small`. */
export function paintSmall(labels, size, fill, small, pixels) {
  for (let row = 0, at = 0; row < small.height; row++) {
    const start = Math.floor(((row + 0.5) * size.height) / small.height) * size.width;
    for (let column = 0; column < small.width; column++, at++) {
      pixels[at] = fill[labels[start + Math.floor(((column + 0.5) * size.width) / small.width)]];
    }
  }
}

/** Values of 0..255 spread so that the least is 0 and the greatest 255; all 0 if they are the same. */
export function spread(values) {
  const [least, most] = values.reduce(([low, high], each) => [Math.min(low, each), Math.max(high, each)], [255, 0]);
  return values.map((each) => Math.round((255 * (each - least)) / Math.max(most - least, 1)));
}

/** Paint a map of 0..255 with the 256 pixels of a scale. */
export function paintMap(values, scale, pixels) {
  for (let at = 0; at < values.length; at++) pixels[at] = scale[values[at]];
}
