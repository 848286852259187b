// Where things are: image pixels and the screen. Pure functions, tested by tests/app/web.
//
// A view is {scale, x, y}: the image's corner lies at (x, y) of the canvas, in CSS pixels, and a pixel of the image is
// `scale` of them wide.

const LARGEST = 40; // CSS pixels for one pixel of the image
const KEPT = 48; // this much of the image stays in sight, in CSS pixels

/** The view that shows the whole image in the middle, with a margin. */
export function fitted(image, canvas, margin = 16) {
  const room = { width: Math.max(canvas.width - 2 * margin, 1), height: Math.max(canvas.height - 2 * margin, 1) };
  const scale = Math.min(room.width / image.width, room.height / image.height, LARGEST);
  return { scale, x: (canvas.width - scale * image.width) / 2, y: (canvas.height - scale * image.height) / 2 };
}

/** The view zoomed by a factor, with the point (x, y) of the canvas in place. */
export function zoomed(view, factor, x, y, image, canvas) {
  const least = Math.min(fitted(image, canvas).scale / 2, 1);
  const scale = Math.min(Math.max(view.scale * factor, least), LARGEST);
  const share = scale / view.scale;
  return held({ scale, x: x - (x - view.x) * share, y: y - (y - view.y) * share }, image, canvas);
}

/** The view, moved so that some of the image stays in sight. */
export function held(view, image, canvas) {
  const within = (place, length, room) => Math.min(Math.max(place, KEPT - length), room - KEPT);
  return {
    scale: view.scale,
    x: within(view.x, view.scale * image.width, canvas.width),
    y: within(view.y, view.scale * image.height, canvas.height),
  };
}

/** The [row, column] of the pixel at (x, y) of the canvas; it may lie outside the image. */
export function pixelAt(view, x, y) {
  return [Math.floor((y - view.y) / view.scale), Math.floor((x - view.x) / view.scale)];
}

/** Where the middle of the pixel [row, column] is on the canvas, as [x, y]. */
export function placeOf(view, row, column) {
  return [view.x + (column + 0.5) * view.scale, view.y + (row + 0.5) * view.scale];
}

/** Whether [row, column] is a pixel of the image. */
export function inside([row, column], image) {
  return row >= 0 && column >= 0 && row < image.height && column < image.width;
}

/** The pixel of the image that is nearest to [row, column]. */
export function clamped([row, column], image) {
  const within = (value, length) => Math.min(Math.max(value, 0), length - 1);
  return [within(row, image.height), within(column, image.width)];
}

/** The index of the dot nearest to (x, y) of the canvas, at most `reach` CSS pixels away; -1 if there is none. */
export function dotAt(dots, view, x, y, reach) {
  let [best, nearest] = [-1, reach];
  dots.forEach(([row, column], index) => {
    const [left, top] = placeOf(view, row, column);
    const distance = Math.hypot(left - x, top - y);
    if (distance <= nearest) [best, nearest] = [index, distance];
  });
  return best;
}

/** The [top, left, bottom, right] of two corners, inclusive. */
export function boxOf([row, column], [toRow, toColumn]) {
  return [Math.min(row, toRow), Math.min(column, toColumn), Math.max(row, toRow), Math.max(column, toColumn)];
}

/** At most `most` points of a line, evenly chosen, with both ends. */
export function thinned(points, most) {
  if (points.length <= most) return points;
  return Array.from({ length: most }, (_, at) => points[Math.round((at * (points.length - 1)) / (most - 1))]);
}

/** The video and number in the id of a frame, such as clip#12; null if it is not a frame of one of these videos. */
export function frameOf(id, videos) {
  const cut = id.lastIndexOf("#");
  const [video, index] = [id.slice(0, cut), id.slice(cut + 1)];
  return cut > 0 && videos.has(video) && /^\d+$/.test(index) ? { video, index: Number(index) } : null;
}
