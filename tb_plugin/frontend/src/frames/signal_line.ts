/** A signal as a line in a view box of 100 × 100. */

import type { Values } from "../data/api.ts";
import type { Range } from "../numeric/range.ts";

const MAX_POINTS = 400;

/**
 * The height of a value in the view box: 96 at the low end of the range, 4 at the high end.
 *
 * The halves of all finite numbers have a finite difference.
 */
export function signalHeight(value: number, [low, high]: Range): number {
  const length = high / 2 - low / 2;
  const share = length > 0 ? (value / 2 - low / 2) / length : value - low;
  // Positions far outside are not visible.
  return 96 - 92 * Math.min(Math.max(share, -10), 10);
}

/** An SVG path with gaps at missing values. Long signals keep the extremes of each segment. */
export function signalPath(values: Values, range: Range): string {
  const last = Math.max(values.length - 1, 1);
  let isGap = true;
  const commands: string[] = [];
  for (const i of sampledIndices(values)) {
    const value = values[i];
    if (value === null || value === undefined || !Number.isFinite(value)) {
      isGap = true;
      continue;
    }
    const x = (2 + (96 * i) / last).toFixed(2);
    const y = signalHeight(value, range).toFixed(2);
    commands.push(`${isGap ? "M" : "L"}${x} ${y}`);
    isGap = false;
  }
  return commands.join("");
}

/** All positions, or the smallest and the largest value of each segment. Missing values break lines. */
function sampledIndices(values: Values): Iterable<number> {
  if (values.length <= MAX_POINTS) return values.keys();
  const part = Math.ceil((2 * values.length) / MAX_POINTS);
  const kept: number[] = [];
  for (let start = 0; start < values.length; start += part) {
    const end = Math.min(start + part, values.length);
    let least = start;
    let most = start;
    for (let i = start + 1; i < end; i++) {
      const value = values[i] ?? 0;
      if (value < (values[least] ?? 0)) least = i;
      if (value >= (values[most] ?? 0)) most = i;
    }
    kept.push(Math.min(least, most));
    if (least !== most) kept.push(Math.max(least, most));
  }
  return kept;
}
