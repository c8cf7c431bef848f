/** Draws the horizontal lines of a chart, with labels that avoid its curves. */

import type uPlot from "uplot";
import { FONT } from "../theme/colours.ts";
import { type Box, leastCoveredBox, type Polyline } from "./rule_labels.ts";
import type { ChartSpec } from "./spec.ts";

const FONT_PIXELS = 11;
/** Labels avoid the first curves. Among more curves, nothing is free. */
const MAX_AVOIDED = 100;
const LABEL_POSITIONS = [1, 0.5, 0.02, 0.75, 0.25];

/** @param scale Canvas pixels per CSS pixel, relative to the screen. */
export function drawRules(chart: uPlot, spec: ChartSpec, surface: string, scale: number): void {
  if (spec.rules.length === 0) return;
  const { ctx, bbox } = chart;
  const pixel = devicePixelRatio * scale;
  const polylines = curvePolylines(chart, spec);
  const occupied: Box[] = [];
  ctx.save();
  ctx.font = `${FONT_PIXELS * pixel}px ${FONT}`;
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.lineJoin = "round";
  for (const { value, label, colour } of spec.rules) {
    const y = chart.valToPos(value, "left", true);
    // In a zoomed chart, a line may be out of range.
    if (!(y >= bbox.top && y <= bbox.top + bbox.height)) continue;
    ctx.strokeStyle = colour;
    ctx.lineWidth = pixel;
    ctx.setLineDash([4 * pixel, 3 * pixel]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();

    if (!label) continue;
    const boxes = labelBoxes(chart, ctx.measureText(label).width, y, pixel);
    const free = boxes.filter((box) => !occupied.some((other) => overlap(box, other)));
    const box = leastCoveredBox(free, polylines);
    // Labels that overlap are unreadable.
    if (!box) continue;
    occupied.push(box);
    ctx.setLineDash([]);
    ctx.lineWidth = 4 * pixel;
    ctx.strokeStyle = surface;
    ctx.fillStyle = colour;
    ctx.strokeText(label, box.left, box.bottom - 2 * pixel);
    ctx.fillText(label, box.left, box.bottom - 2 * pixel);
  }
  ctx.restore();
}

/** Possible boxes of a label: above the line, and below it if there is room. */
function labelBoxes({ bbox }: uPlot, width: number, y: number, pixel: number): Box[] {
  const height = (FONT_PIXELS + 4) * pixel;
  const above = y - 2 * pixel;
  const below = y + height + pixel;
  const bottoms = [above, below].filter(
    (bottom) => bottom - height >= bbox.top && bottom <= bbox.top + bbox.height,
  );
  return (bottoms.length ? bottoms : [above]).flatMap((bottom) =>
    LABEL_POSITIONS.map((position) => {
      const left = bbox.left + position * (bbox.width - width - 4 * pixel);
      return { left, right: left + width, top: bottom - height, bottom };
    }),
  );
}

function curvePolylines(chart: uPlot, { curves }: ChartSpec): Polyline[] {
  return curves.slice(0, MAX_AVOIDED).map(({ steps, values, axis = "left" }) => ({
    xs: steps.map((step) => chart.valToPos(step, "x", true)),
    ys: values.map((value) => (value === null ? null : chart.valToPos(value, axis, true))),
  }));
}

function overlap(one: Box, other: Box): boolean {
  return (
    one.left < other.right &&
    other.left < one.right &&
    one.top < other.bottom &&
    other.top < one.bottom
  );
}
