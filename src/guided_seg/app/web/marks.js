// What is marked on an image: its dots, and the line or box that is being drawn.

import { NEGATIVE, css, inkOn } from "./colours.js";
import { placeOf } from "./coordinates.js";
import { colourOf } from "./state.js";

const RADIUS = 7; // of a dot, in CSS pixels

/** Draw the line or box that a tool is drawing. */
export function drawTool(context, { drawing: now, view }) {
  if (!now) return;
  context.lineJoin = context.lineCap = "round";
  context.beginPath();
  if (now.kind === "box") {
    const [top, left, bottom, right] = now.box;
    const { scale } = view;
    context.rect(view.x + left * scale, view.y + top * scale, (right - left + 1) * scale, (bottom - top + 1) * scale);
  } else {
    now.points.forEach(([row, column]) => context.lineTo(...placeOf(view, row, column)));
  }
  const wide = now.kind === "box" ? 2 : 5;
  [context.lineWidth, context.strokeStyle] = [wide + 3, "rgb(0 0 0 / 0.55)"];
  context.stroke();
  [context.lineWidth, context.strokeStyle] = [wide, css(colourOf(now.label))];
  context.stroke();
}

/** Draw all dots of the image. */
export function drawDots(context, scene) {
  scene.image.dots.forEach((dot, index) => drawDot(context, scene, dot, index));
}

function drawDot(context, scene, [row, column, label], index) {
  const at = scene.held?.index === index ? scene.held.at : [row, column];
  const [x, y] = placeOf(scene.view, ...at);
  const radius = RADIUS + (scene.hovered === index || scene.held?.index === index ? 2 : 0);
  const colour = colourOf(label);
  const disc = (wide, style) => {
    context.beginPath();
    context.arc(x, y, wide, 0, 2 * Math.PI);
    context.fillStyle = style;
    context.fill();
  };
  disc(radius + 1.5, "rgb(0 0 0 / .6)");
  disc(radius, "#ffffff");
  disc(radius - 1.75, css(colour));
  context.strokeStyle = label === 0 ? inkOn(NEGATIVE) : inkOn(colour);
  context.lineWidth = 1.75;
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(x - 2.75, y);
  context.lineTo(x + 2.75, y);
  if (label !== 0) {
    context.moveTo(x, y - 2.75);
    context.lineTo(x, y + 2.75);
  }
  context.stroke();
}
