/** Ranges and tick marks of chart axes, for any finite numbers. */

import type { Range } from "../numeric/range.ts";

const LARGEST = Number.MAX_VALUE;
/** Of steps, so that differences and sums of several are finite. */
const LARGEST_STEP = LARGEST / 8;
const SMALLEST = Number.MIN_VALUE;
/** The powers of ten of all positive numbers. */
const POWERS: Range = [-324, 308];

/** Add a margin to both sides of a range, so that curves do not touch the border. */
export function padded([low, high]: Range, log: boolean): Range {
  if (log) {
    const most = within(high, 2 * SMALLEST, LARGEST);
    const least = within(low, SMALLEST, most);
    // A quotient of the two may be infinite. The difference of their logarithms is not.
    const margin = Math.max(0.06 * (Math.log10(most) - Math.log10(least)), Math.log10(1.05));
    const factor = 10 ** margin;
    // Leave room at the bottom, so that curves do not overlap the markers.
    return [
      Math.max(least / factor / factor, SMALLEST),
      Math.min(Math.max(most * factor, 2 * SMALLEST), LARGEST),
    ];
  }
  // The length of an axis is finite, and so are the positions that are computed with it.
  const limit = Number.isFinite(high - low) ? LARGEST : LARGEST / 2;
  const least = within(low, -limit, limit);
  const most = within(high, least, limit);
  // A margin that is lost in rounding would leave an axis without length.
  const smallest = Math.max(2 ** -40 * Math.max(Math.abs(least), Math.abs(most)), SMALLEST);
  const margin = Math.max(0.06 * (most - least || Math.abs(most) || 1), smallest);
  // Non-negative values need no axis below zero.
  const first = Math.max(least - margin, Math.min(most - LARGEST, least), least >= 0 ? 0 : -limit);
  return [first, Math.max(Math.min(most + margin, first + LARGEST, limit), most)];
}

/** The range of an axis from zero, with a margin at the top. */
export function fromZero(high: number): Range {
  return [0, high > 0 ? Math.max(Math.min(high * 1.12, LARGEST), 2 * SMALLEST) : 1];
}

/** The range of an axis of steps. A single step is in its middle. */
export function stepAxis(steps: Range): Range {
  const first = within(steps[0], -LARGEST_STEP, LARGEST_STEP);
  const last = within(steps[1], first, LARGEST_STEP);
  if (first < last) return [first, last];
  // Large steps are further apart than 1.
  const margin = Math.max(1, Math.abs(first) * 2 ** -40);
  return [first - margin, first + margin];
}

/** About `count` round numbers inside a range: multiples of 1, 2 or 5 times a power of ten. */
export function linearTicks([low, high]: Range, count: number, whole = false): number[] {
  const wanted = Math.max(count, 1);
  const rough = (high - low) / wanted;
  if (!Number.isFinite(low)) return [];
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = powerOfTen(Math.floor(Math.log10(rough)));
  const unit = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10;
  let step = unit * power;
  if (whole) step = Math.max(1, Math.round(step));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  if (!Number.isFinite(first) || !Number.isFinite(last)) return [low];
  const length = within(last - first + 1, 0, Math.ceil(wanted) + 2);
  const ticks = Array.from({ length }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  const slack = 1e-6 * (high - low);
  const isInside = (tick: number) => tick >= low - slack && tick - high <= slack;
  return [...new Set(ticks)].filter(isInside);
}

/** Powers of ten inside a range, with 2 and 5 between them if there is room. */
export function logTicks([low, high]: Range, count: number): number[] {
  const firstPower = within(Math.floor(Math.log10(low)), ...POWERS);
  const lastPower = within(Math.ceil(Math.log10(high)), ...POWERS);
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const ticks: number[] = [];
    for (let power = firstPower; power <= lastPower; power++) {
      for (const factor of factors) {
        const tick = Number(`${factor}e${power}`);
        if (tick > 0 && tick >= low && tick <= high) ticks.push(tick);
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

/** 10 to the power of `exponent`, the smallest number instead of 0. */
function powerOfTen(exponent: number): number {
  return Math.max(Number(`1e${exponent}`), SMALLEST);
}

/** The nearest number in a range; its low end for NaN. */
function within(value: number, low: number, high: number): number {
  return value >= low ? Math.min(value, high) : low;
}
