/** Ranges of whole steps that charts and paths are zoomed to. */

import type { Values } from "../data/api.ts";
import { nearest } from "./nearest.ts";
import type { Range } from "./range.ts";

/** The steps between two positions on an axis, in any order; null if less than one step apart. */
export function stepsBetween(one: number, other: number): Range | null {
  const from = Math.round(Math.min(one, other));
  const to = Math.round(Math.max(one, other));
  return from < to ? [from, to] : null;
}

/** The intersection of `range` with `whole`; null if it is empty or equal to `whole`. */
export function clipZoom(range: Range | null, [first, last]: Range): Range | null {
  if (!range) return null;
  const from = Math.max(range[0], first);
  const to = Math.min(range[1], last);
  const isEverything = from === first && to === last;
  return from < to && !isEverything ? [from, to] : null;
}

/** `shown` scaled by `factor` around `centre`; null if the result is `whole`. */
export function scaleZoom(
  shown: Range,
  factor: number,
  centre: number,
  whole: Range,
): Range | null {
  const before = shown[1] - shown[0];
  const length = Math.min(Math.max(Math.round(before * factor), 1), whole[1] - whole[0]);
  const share = before > 0 ? (centre - shown[0]) / before : 0;
  const centred = Math.round(centre - share * length);
  const from = Math.min(Math.max(centred, whole[0]), whole[1] - length);
  return clipZoom([from, from + length], whole);
}

/** The first and the last frame in a range; if it has none, twice the frame nearest to its middle. */
export function framesWithin(frameSteps: readonly number[], [from, to]: Range): Range {
  const first = frameSteps.filter((step) => step < from).length;
  const last = frameSteps.filter((step) => step <= to).length - 1;
  if (first <= last) return [first, last];
  const closest = nearest(frameSteps, (from + to) / 2);
  return [closest, closest];
}

/** The values of a curve in a range of steps, and their neighbours, to which the line leads. */
export function valuesWithin(steps: number[], values: Values, [from, to]: Range): Values {
  const before = steps.filter((step) => step < from).length;
  const until = steps.filter((step) => step <= to).length;
  return values.slice(Math.max(before - 1, 0), until + 1);
}
