/** Widths of lines: thin ones where wide ones would take seconds to draw. */

import type { Range } from "../numeric/range.ts";
import type { Axis, Curve } from "./spec.ts";

/** The lengths of all lines together, in heights of the chart. Wide ones take about 0.1 ms each. */
const MAX_WIDE = 5000;

/** The sum of all changes of the shown values, in lengths of the axis. */
export function travel(
  curves: readonly Curve[],
  axis: Axis,
  [low, high]: Range,
  [first, last]: Range,
): number {
  const scaled = (value: number) => (axis.log ? Math.log10(value) : value);
  const [bottom, length] = [scaled(low), scaled(high) - scaled(low)];
  let sum = 0;
  for (const { steps, values } of curves) {
    let before: number | null = null;
    for (const [i, value] of values.entries()) {
      const step = steps[i] ?? NaN;
      const position = value === null ? NaN : (scaled(value) - bottom) / length;
      if (!(step >= first && step <= last) || Number.isNaN(position)) continue;
      const clipped = Math.min(Math.max(position, 0), 1);
      if (before !== null) sum += Math.abs(clipped - before);
      before = clipped;
    }
  }
  return sum;
}

/** The width of lines in CSS pixels: one pixel of the screen if all lines are very long together. */
export function lineWidth(width: number, scale: number, lengths: number): number {
  return lengths > MAX_WIDE ? 1 / devicePixelRatio : width * scale;
}
