/** Colour-blind safe colours for light and dark backgrounds. */

const RUNS = {
  light: ["#0072b2", "#009e73", "#aa3377", "#56a5d6", "#8a7500", "#5d4fa2", "#117733", "#9b4f2d"],
  dark: ["#4ba3e0", "#2ec79a", "#e07ab4", "#9bd0f5", "#d6c23c", "#a99be8", "#6fbf73", "#d99a78"],
};

// The colours of Okabe and Ito, with yellow and black changed for contrast, and three more.
const CLASSES = {
  light: [
    "#56a5d6",
    "#d55e00",
    "#009e73",
    "#b2182b",
    "#0072b2",
    "#cc79a7",
    "#8c6d1f",
    "#a79a00",
  ].concat(["#7b52ab", "#44546a"]),
  dark: [
    "#7cc4f2",
    "#f28e4b",
    "#2ec79a",
    "#f0697a",
    "#4ba3e0",
    "#e5a0c6",
    "#c9a86a",
    "#d8cc3f",
  ].concat(["#b899e6", "#a9b7c9"]),
};

const DASHES: number[][] = [[], [6, 3], [2, 3]];

export interface Look {
  colour: string;
  /** Lengths of dashes and gaps in pixels; empty for a solid line. */
  dash: number[];
}

export function runColour(position: number, dark: boolean): string {
  return cyclic(dark ? RUNS.dark : RUNS.light, position);
}

/** Solid lines for the first ten classes, dashed lines for the next ones; "other" is grey. */
export function classLook(position: number, isOther: boolean, dark: boolean): Look {
  if (isOther) return { colour: dark ? "#9aa0a6" : "#80868b", dash: [2, 2] };
  const colours = dark ? CLASSES.dark : CLASSES.light;
  return { colour: cyclic(colours, position), dash: dashOf(Math.floor(position / colours.length)) };
}

/** Line styles for several curves in the colour of one run. */
export function dashOf(position: number): number[] {
  return cyclic(DASHES, position);
}

const CHANNELS = ["#d55e00", "#009e73", "#cc79a7"];

/** The colour of a signal channel: `accent` for the first channel and for those after the palette. */
export function channelColour(channel: number, accent: string): string {
  return CHANNELS[channel - 1] ?? accent;
}

/** The same colour, more transparent. */
export function faded(colour: string, alpha: number): string {
  return (
    colour +
    Math.round(alpha * 255)
      .toString(16)
      .padStart(2, "0")
  );
}

function cyclic<T>(items: readonly T[], position: number): T {
  const item = items[position % items.length];
  if (item === undefined) throw new RangeError(`No item at ${position}.`);
  return item;
}
