// What tests read, as window.guided: the masks painted, the last of them, the labels shown at a pixel, the dots, and the view.
// Refined answers come by themselves after others, so they are not counted.

import { scene } from "./stage.js";
import { listen } from "./state.js";

const guided = {
  painted: 0,
  edited: 0, // the number of the last edit
  lastPaint: null, // {n, of, image, stale, time}, time as performance.now() says it
  lastRefined: null, // the same of the last refined answer
  maskAt: (row, column) => scene.labels?.[row * scene.image.width + column] ?? 0,
  otherAt: (row, column) => scene.other?.[row * scene.image.width + column] ?? 0,
  get dots() {
    return scene.image?.dots.map((dot) => [...dot]) ?? [];
  },
  get view() {
    return { ...scene.view };
  },
};
window.guided = guided;
listen("edited", ({ n }) => {
  guided.edited = n;
});

/** A mask was painted: the answer to message `n`, as "answer", "preview", "refined" or "other"; or one from before. */
export function painted({ n, of, image, stale }) {
  const paint = { n, of, image, stale, time: performance.now() };
  if (of === "refined") guided.lastRefined = paint;
  else {
    guided.painted += 1;
    guided.lastPaint = paint;
  }
}
