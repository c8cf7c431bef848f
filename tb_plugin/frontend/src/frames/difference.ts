/** The difference between two images as a diverging heat map. */

export type Rgb = readonly [number, number, number];

export interface DivergingColours {
  negative: Rgb;
  zero: Rgb;
  positive: Rgb;
}

const LIGHT: DivergingColours = {
  negative: [33, 102, 172],
  zero: [255, 255, 255],
  positive: [178, 24, 43],
};
const DARK: DivergingColours = {
  negative: [103, 169, 227],
  zero: [32, 33, 36],
  positive: [239, 108, 96],
};

export function divergingColours(dark: boolean): DivergingColours {
  return dark ? DARK : LIGHT;
}

type Pixels = Uint8ClampedArray;

/** Per pixel, the mean over the channels of `to` − `from`: RGBA in, one value per pixel out. */
export function channelMeanDifference(from: Pixels, to: Pixels): Float32Array {
  const difference = new Float32Array(from.length / 4);
  for (let i = 0; i < difference.length; i++) {
    let sum = 0;
    for (let channel = 0; channel < 3; channel++) {
      sum += (to[4 * i + channel] ?? 0) - (from[4 * i + channel] ?? 0);
    }
    difference[i] = sum / 3;
  }
  return difference;
}

export function maxAbsolute(difference: Float32Array): number {
  return difference.reduce((maximum, value) => Math.max(maximum, Math.abs(value)), 0);
}

/** RGBA pixels: colour `zero` at 0, `positive` at `scale`, `negative` at −`scale`. */
export function paintDifference(
  difference: Float32Array,
  scale: number,
  { negative, zero, positive }: DivergingColours,
): Pixels {
  const pixels = new Uint8ClampedArray(4 * difference.length);
  difference.forEach((value, i) => {
    const share = scale > 0 ? Math.min(1, Math.abs(value) / scale) : 0;
    const end = value < 0 ? negative : positive;
    for (let channel = 0; channel < 3; channel++) {
      const start = zero[channel] ?? 0;
      pixels[4 * i + channel] = start + share * ((end[channel] ?? 0) - start);
    }
    pixels[4 * i + 3] = 255;
  });
  return pixels;
}
