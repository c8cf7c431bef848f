/** A signal as a line in a view box of 100 × 100. */

import type { Values } from "../data/api.ts";
import type { Range } from "../numeric/range.ts";

const MAX_POINTS = 400;

/** An SVG path with gaps at missing values. Long signals keep the extremes of each segment. */
export function signalPath(values: Values, [low, high]: Range): string {
  const height = high - low || 1;
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
    const y = (96 - (92 * (value - low)) / height).toFixed(2);
    commands.push(`${isGap ? "M" : "L"}${x} ${y}`);
    isGap = false;
  }
  return commands.join("");
}

function sampledIndices(values: Values): number[] {
  if (values.length <= MAX_POINTS) return values.map((_, i) => i);
  const part = Math.ceil((2 * values.length) / MAX_POINTS);
  const kept: number[] = [];
  for (let start = 0; start < values.length; start += part) {
    const positions = values.slice(start, start + part).map((_, i) => start + i);
    const bySize = positions.sort((one, other) => (values[one] ?? 0) - (values[other] ?? 0));
    const extremes = new Set([bySize[0] ?? start, bySize.at(-1) ?? start]);
    kept.push(...[...extremes].sort((one, other) => one - other));
  }
  return kept;
}
