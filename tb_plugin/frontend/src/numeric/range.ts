/** Ranges of values. */

export type Range = [number, number];

/** Minimum and maximum of all finite values; null if there are none. */
export function extent(series: Iterable<readonly (number | null)[]>): Range | null {
  let low = Infinity;
  let high = -Infinity;
  for (const values of series) {
    for (const value of values) {
      if (value === null || !Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? [low, high] : null;
}
