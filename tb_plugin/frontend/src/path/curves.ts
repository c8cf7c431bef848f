/** The curves along one path as chart specifications. */

import type { ChartSpec, Curve, Rule } from "../charts/spec.ts";
import type { Kind, Likelihood, Path, Values } from "../data/api.ts";
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
  /** Its position among all classes of the path. */
  position: number;
}

export interface ClassCurves {
  curves: ClassCurve[];
  /** The number of classes without a curve. */
  omitted: number;
  /** The largest probability of such a class. */
  omittedPeak: number;
}

const MAX_CLASSES = 200;

const FAINT_PROBABILITY = 0.05;
/** Independent labels with a larger probability are predicted. */
const PREDICTED_ABOVE = 0.5;
const LINE_WIDTH = 1.6;
const END_WIDTH = 2.6;

/** The curves of all classes, or of the most probable ones if there are too many. */
export function classCurves(path: Path, likelihood: Likelihood, dark: boolean): ClassCurves {
  const peaks = path.classes.map((_, i) => peak(path.probabilities[i] ?? []));
  const last = path.classes.length - 1;
  const hasOther = likelihood === "categorical" && path.classes[last] === "other";
  const isEnd = (i: number) =>
    path.classes[i] === path.source || path.classes[i] === path.destination;
  const rank = (i: number) => (hasOther && i === last ? 3 : isEnd(i) ? 2 : (peaks[i] ?? 0));
  const byRank = [...peaks.keys()].sort((one, other) => rank(other) - rank(one) || one - other);
  const curves = byRank
    .slice(0, MAX_CLASSES)
    .sort((one, other) => one - other)
    .map(
      (position): ClassCurve => ({
        name: path.classes[position] ?? "",
        values: path.probabilities[position] ?? [],
        isFaint: (peaks[position] ?? 0) < FAINT_PROBABILITY,
        look: classLook(position, hasOther && position === last, dark),
        position,
      }),
    );
  const omitted = byRank.slice(MAX_CLASSES);
  return { curves, omitted: omitted.length, omittedPeak: peaks[omitted[0] ?? -1] ?? 0 };
}

function peak(values: Values): number {
  return values.reduce<number>((highest, value) => Math.max(highest, value ?? 0), 0);
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
  const hiddenNames = new Set(hidden);
  const curves = classes
    .filter(({ name }) => !hiddenNames.has(name))
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
export function distanceSpec(path: Path, kind: Kind, dark: boolean): ChartSpec {
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
    {
      name: distanceName(kind, path),
      steps,
      values: path.distance,
      colour: colours.distance,
      width: 2,
    },
  ];
  const rules: Rule[] = [];
  if (path.destination && path.threshold !== null) {
    const name = kind === "prediction" ? "tolerance" : "threshold";
    const label = `${name}: ${formatValue(path.threshold)}`;
    rules.push({ value: path.threshold, label, colour: colours.distance });
  }
  return {
    curves,
    rules,
    xLabel: "path step",
    left: { label: distanceAxis(kind), fromZero: true },
    right: { label: "horizontality", range: [0, 1.02] },
  };
}

function distanceAxis(kind: Kind): string {
  return kind === "prediction" ? "Fisher–Rao distance" : "distance (L2)";
}

export function distanceName(kind: Kind, path: Path): string {
  if (kind === "prediction") return "Fisher–Rao distance to the target";
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
