/** The curves along one path as chart specifications. */

import type { ChartSpec, Curve, Rule } from "../charts/spec.ts";
import type { Likelihood, Path, Values } from "../data/api.ts";
import { nearest } from "../numeric/nearest.ts";
import { formatValue } from "../text/numbers.ts";
import { classLook, type Look } from "../theme/palette.ts";

/** A class or label with its curve. */
export interface ClassCurve {
  name: string;
  look: Look;
  values: Values;
  /** Its probability stays below 5 %. */
  isFaint: boolean;
}

const FAINT_PROBABILITY = 0.05;
/** Independent labels with a larger probability are predicted. */
const PREDICTED_ABOVE = 0.5;
const LINE_WIDTH = 1.6;
const END_WIDTH = 2.6;

export function classCurves(path: Path, likelihood: Likelihood, dark: boolean): ClassCurve[] {
  return path.classes.map((name, i) => {
    const values = path.probabilities[i] ?? [];
    const isLast = i === path.classes.length - 1;
    const isOther = likelihood === "categorical" && isLast && name === "other";
    const isFaint = values.every((value) => (value ?? 0) < FAINT_PROBABILITY);
    return { name, values, isFaint, look: classLook(i, isOther, dark) };
  });
}

/** One curve per class; the classes of source and destination are drawn thicker. */
export function probabilitySpec(
  path: Path,
  likelihood: Likelihood,
  classes: readonly ClassCurve[],
  hidden: readonly string[],
  dark: boolean,
): ChartSpec {
  const ends = [path.source, path.destination];
  const curves = classes
    .filter(({ name }) => !hidden.includes(name))
    .map(({ name, look, values }) => ({
      name,
      values,
      steps: path.curve_steps,
      width: ends.includes(name) ? END_WIDTH : LINE_WIDTH,
      ...look,
    }));
  const range: [number, number] = [0, 1.02];
  if (likelihood === "categorical") {
    return { curves, rules: [], xLabel: "path step", left: { label: "probability", range } };
  }
  const colour = distanceColours(dark).horizontality;
  const rule = { value: PREDICTED_ABOVE, label: "predicted above ½", colour };
  const left = { label: "probability of each label", range };
  return { curves, rules: [rule], xLabel: "path step", left };
}

export interface DistanceColours {
  distance: string;
  horizontality: string;
}

export function distanceColours(dark: boolean): DistanceColours {
  return dark
    ? { distance: "#4ba3e0", horizontality: "#a7adb5" }
    : { distance: "#0072b2", horizontality: "#7a828c" };
}

/** Distance on the left axis, horizontality on the right. */
export function distanceSpec(path: Path, dark: boolean): ChartSpec {
  const colours = distanceColours(dark);
  const steps = path.curve_steps;
  const curves: Curve[] = [
    {
      name: "horizontality",
      steps,
      values: path.horizontality,
      colour: colours.horizontality,
      width: 1.3,
      axis: "right",
    },
    { name: distanceName(path), steps, values: path.distance, colour: colours.distance, width: 2 },
  ];
  const rules: Rule[] = [];
  if (path.destination && path.threshold !== null) {
    const label = `threshold: ${formatValue(path.threshold)}`;
    rules.push({ value: path.threshold, label, colour: colours.distance });
  }
  return {
    curves,
    rules,
    xLabel: "path step",
    left: { label: "distance (L2)", fromZero: true },
    right: { label: "horizontality", range: [0, 1.02] },
  };
}

export function distanceName(path: Path): string {
  return path.destination ? "distance to destination" : "distance from start";
}

/** The values of all curves at one step. */
export interface PointValues {
  distance: number | null;
  horizontality: number | null;
  fisherRaoLength: number | null;
  entropy: number | null;
  probabilities: (number | null)[];
}

export function valuesAt(path: Path, step: number): PointValues {
  const i = nearest(path.curve_steps, step);
  return {
    distance: path.distance[i] ?? null,
    horizontality: path.horizontality[i] ?? null,
    fisherRaoLength: path.fisher_rao_length[i] ?? null,
    entropy: path.entropy[i] ?? null,
    probabilities: path.probabilities.map((values) => values[i] ?? null),
  };
}

/** The frame shown first: the first change of the prediction, or else the middle frame. */
export function initialFrame(path: Path): number {
  const change = path.frame_labels.findIndex((label) => label !== path.frame_labels[0]);
  return change >= 0 ? change : Math.floor(path.frame_labels.length / 2);
}
