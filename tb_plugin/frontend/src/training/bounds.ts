/** The bounds of the rank of the local data matrix. */

import type { Curve, Rule } from "../charts/spec.ts";
import type { Snapshot } from "../data/api.ts";
import { extent } from "../numeric/range.ts";
import { formatCount } from "../text/numbers.ts";
import type { TrainingRun } from "./runs.ts";

/** A bound is drawn if it is at most this many times the maximum of the curves. */
const MAX_BOUND_RATIO = 6;
const MAX_BOUNDS_DRAWN = 8;

export interface RankBound {
  value: number;
  /** The bound as an equation: "C−1 = 9". */
  text: string;
}

/** The bounds of the rank of the local data matrix, in ascending order. */
export function rankBounds(runs: TrainingRun[]): RankBound[] {
  const unique = new Map<string, RankBound>();
  for (const { run } of runs) {
    for (const snapshot of run.snapshots) {
      const bound = rankBound(snapshot);
      unique.set(bound.text, bound);
    }
  }
  return [...unique.values()].sort((one, other) => one.value - other.value);
}

/** C − 1 for C exclusive classes and C for C independent labels; at most d numbers in an input. */
function rankBound({ class_count, input_shape, likelihood }: Snapshot): RankBound {
  const [name, ofScores] =
    likelihood === "categorical" ? ["C−1", class_count - 1] : ["C", class_count];
  const size = input_shape.reduce((product, side) => product * side, 1);
  const value = Math.min(ofScores, size);
  return { value, text: `${value < ofScores ? "d" : name} = ${formatCount(value)}` };
}

/** Bounds near the curves. A bound far above them (1000 classes) would flatten the curves. */
export function boundRules(runs: TrainingRun[], curves: Curve[], dark: boolean): Rule[] {
  const highest = extent(curves.map(({ values }) => values))?.[1] ?? Infinity;
  const colour = dark ? "#9aa0a6" : "#6b7278";
  return rankBounds(runs)
    .filter(({ value }) => value <= MAX_BOUND_RATIO * highest)
    .slice(0, MAX_BOUNDS_DRAWN)
    .map(({ value, text }) => ({ value, label: `bound ${text}`, colour }));
}
