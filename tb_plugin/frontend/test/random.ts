/** Random numbers and texts, the same in each run. */

/** A generator of 32-bit integers (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

export function choose<T>(next: () => number, items: readonly T[]): T {
  return items[next() % items.length] as T;
}

/** Doubles that programs often forget. */
export const EXTREMES: readonly number[] = [
  0,
  -0,
  1,
  -1,
  Number.MIN_VALUE,
  -Number.MIN_VALUE,
  2.2250738585072014e-308,
  1e-300,
  1e-45,
  1e300,
  Number.MAX_VALUE,
  -Number.MAX_VALUE,
  2 ** 53,
  -(2 ** 53),
  2 ** 63,
  1e21,
  0.1,
  1 / 3,
];

/** Any finite double: an extreme one, a small integer, or random bits. */
export function finiteDouble(next: () => number): number {
  const kind = next() % 4;
  if (kind === 0) return choose(next, EXTREMES);
  if (kind === 1) return (next() % 2001) - 1000;
  const view = new DataView(new ArrayBuffer(8));
  for (;;) {
    view.setUint32(0, next());
    view.setUint32(4, next());
    const value = view.getFloat64(0);
    if (Number.isFinite(value)) return value;
  }
}

/** Any double, also NaN and infinite, or a missing value. */
export function anyDouble(next: () => number): number | null {
  const kind = next() % 10;
  if (kind === 0) return choose(next, [NaN, Infinity, -Infinity]);
  return kind === 1 ? null : finiteDouble(next);
}
