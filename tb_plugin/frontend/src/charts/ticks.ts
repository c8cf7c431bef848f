/** Ranges and tick marks of chart axes. */

import type { Range } from "../numeric/range.ts";

/** Add a margin to both sides of a range, so that curves do not touch the border. */
export function padded([low, high]: Range, log: boolean): Range {
  if (log) {
    const factor = Math.max((high / low) ** 0.06, 1.05);
    // Leave room at the bottom, so that curves do not overlap the markers.
    return [low / factor ** 2, high * factor];
  }
  const margin = 0.06 * (high - low || Math.abs(high) || 1);
  // Non-negative values need no axis below zero.
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
}

/** About `count` round numbers inside a range: multiples of 1, 2 or 5 times a power of ten. */
export function linearTicks([low, high]: Range, count: number, whole = false): number[] {
  const rough = (high - low) / Math.max(count, 1);
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10;
  let step = unit * power;
  if (whole) step = Math.max(1, Math.round(step));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
}

/** Powers of ten inside a range, with 2 and 5 between them if there is room. */
export function logTicks([low, high]: Range, count: number): number[] {
  const firstPower = Math.floor(Math.log10(low));
  const lastPower = Math.ceil(Math.log10(high));
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const ticks: number[] = [];
    for (let power = firstPower; power <= lastPower; power++) {
      for (const factor of factors) {
        const tick = Number((factor * 10 ** power).toPrecision(6));
        if (tick >= low && tick <= high) ticks.push(tick);
      }
    }
    if (ticks.length <= Math.max(count, 2) || factors.length === 1) {
      if (ticks.length < 2) return linearTicks([low, high], count);
      const every = Math.ceil(ticks.length / Math.max(count, 2));
      return ticks.filter((_, i) => i % every === 0);
    }
  }
  return [];
}
