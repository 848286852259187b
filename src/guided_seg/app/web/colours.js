// Colours: of labels, of confidence, and of maps. Pure functions, tested by tests/app/web.

/** The colour of negative dots, [r, g, b]. */
export const NEGATIVE = [239, 68, 68];

/** [r, g, b] as CSS; with an alpha of 0..1. */
export function css([red, green, blue], alpha = 1) {
  return alpha === 1 ? `rgb(${red} ${green} ${blue})` : `rgb(${red} ${green} ${blue} / ${alpha})`;
}

/** [r, g, b] and an alpha of 0..255 as one pixel of an ImageData seen as Uint32Array (little-endian machines). */
export function packed([red, green, blue], alpha = 255) {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** The colour between two, at a share of 0..1. */
export function mixed(from, to, share) {
  return from.map((value, channel) => Math.round(value + (to[channel] - value) * share));
}

/** Black or white, whichever reads better on a colour. */
export function inkOn([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#101214" : "#ffffff";
}

/** 256 packed pixels, one a label: transparent for label 0, else its colour with that alpha of 0..255. */
export function labelPixels(labels, alpha) {
  const pixels = new Uint32Array(256);
  labels.forEach(({ colour }, index) => {
    pixels[index + 1] = packed(colour, alpha);
  });
  return pixels;
}

const SCALES = {
  // dark violet to pale yellow, even in lightness
  heat: [
    [0, 0, 4],
    [59, 15, 112],
    [140, 41, 129],
    [222, 73, 104],
    [254, 159, 109],
    [252, 253, 191],
  ],
  // blue for unlike, grey for neither, orange for like
  similarity: [
    [33, 82, 156],
    [92, 145, 196],
    [200, 204, 210],
    [240, 160, 84],
    [214, 84, 20],
  ],
  // amber, then blue: distinguishable with any colour vision
  confidence: [
    [224, 92, 60],
    [234, 179, 8],
    [86, 180, 233],
  ],
};

/** The colour of a value of 0..1 on the scale "heat", "similarity" or "confidence". */
export function onScale(name, value) {
  const stops = SCALES[name];
  const place = Math.min(Math.max(value, 0), 1) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  return mixed(stops[below], stops[below + 1], place - below);
}

/** 256 packed pixels: the colours of 0..255 on a scale. */
export function scalePixels(name) {
  return Uint32Array.from({ length: 256 }, (_, value) => packed(onScale(name, value / 255)));
}

/** A scale as a CSS gradient from left to right. */
export function gradient(name) {
  return `linear-gradient(90deg, ${SCALES[name].map((stop) => css(stop)).join(", ")})`;
}
