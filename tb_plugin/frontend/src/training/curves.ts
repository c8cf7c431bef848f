/** Training curves of several runs: trace, effective ranks, tangent dimension. */

import type { ChartSpec, Curve, Marker, Rule } from "../charts/spec.ts";
import type { Run, Scalar, Snapshot } from "../data/api.ts";
import { extent } from "../numeric/range.ts";
import { spacedName } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import { dashOf, faded, runColour } from "../theme/palette.ts";
import { smooth } from "./smoothing.ts";

export interface TrainingRun {
  run: Run;
  /** Its position among all runs, which determines its colour. */
  position: number;
}

export interface CurveSettings {
  smoothing: number;
  log: boolean;
  dark: boolean;
}

const MAX_LABELLED_RULES = 3;
/** A bound is drawn if it is at most this many times the maximum of the curves. */
const MAX_BOUND_RATIO = 6;

export type GetScalar = (run: string, tag: string) => Scalar | null;

export function traceSpec(runs: TrainingRun[], get: GetScalar, settings: CurveSettings): ChartSpec {
  const curves: Curve[] = [];
  const rules: Rule[] = [];
  for (const { run, position } of runs) {
    const colour = runColour(position, settings.dark);
    for (const tag of tagsOf(run, /\/trace_mean$/)) {
      const style = { colour: faded(colour, 0.5), width: 1.5 };
      curves.push(...curvesOf(run, tag, "mean", get(run.run, tag), settings, style));
    }
    for (const tag of tagsOf(run, /\/trace_median$/)) {
      const median = get(run.run, tag);
      curves.push(...curvesOf(run, tag, "median", median, settings, { colour, width: 2 }));
      const initial = median?.values.find((value) => value !== null);
      if (typeof initial === "number") {
        rules.push({ value: initial, label: "initial median", colour });
      }
    }
  }
  if (rules.length > MAX_LABELLED_RULES) {
    for (const [i, rule] of rules.entries()) rule.label = i === 0 ? "initial medians" : "";
  }
  return {
    curves,
    rules,
    xLabel: "optimizer step",
    left: { label: "trace", log: settings.log },
  };
}

export function rankSpec(runs: TrainingRun[], get: GetScalar, settings: CurveSettings): ChartSpec {
  const kinds = rankKinds(runs);
  const curves = runs.flatMap(({ run, position }) =>
    kinds.flatMap((kind, i) => {
      const style = { colour: runColour(position, settings.dark), width: 2, dash: dashOf(i) };
      return tagsOf(run, /\/effective_rank_\w+$/)
        .filter((tag) => rankKind(tag) === kind)
        .flatMap((tag) => curvesOf(run, tag, spacedName(kind), get(run.run, tag), settings, style));
    }),
  );
  return {
    curves,
    rules: boundRules(runs, curves, settings.dark),
    xLabel: "optimizer step",
    left: { label: "effective rank", fromZero: true },
  };
}

export function dimensionSpec(
  runs: TrainingRun[],
  get: GetScalar,
  settings: CurveSettings,
): ChartSpec {
  const curves = runs.flatMap(({ run, position }) =>
    tagsOf(run, /\/tangent_dimension$/).flatMap((tag) => {
      const style = { colour: runColour(position, settings.dark), width: 2 };
      return curvesOf(run, tag, "dimension", get(run.run, tag), settings, style);
    }),
  );
  return {
    curves,
    rules: boundRules(runs, curves, settings.dark),
    xLabel: "optimizer step",
    left: { label: "dimension", fromZero: true },
  };
}

export function sameRuns(one: readonly TrainingRun[], other: readonly TrainingRun[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ run, position }, i) => run === other[i]?.run && position === other[i]?.position)
  );
}

/** The kinds of effective rank that at least one run logged. */
export function rankKinds(runs: TrainingRun[]): string[] {
  const tags = runs.flatMap(({ run }) => tagsOf(run, /\/effective_rank_\w+$/));
  return [...new Set(tags.map(rankKind))].sort();
}

/** One marker per run and step with snapshots. The marker of the open snapshot is current. */
export function snapshotMarkers(
  runs: TrainingRun[],
  open: { run: string; step: number } | null,
  dark: boolean,
): Marker[] {
  return runs.flatMap(({ run, position }) => {
    const names = new Map<number, Set<string>>();
    for (const { step, name } of run.snapshots) {
      names.set(step, (names.get(step) ?? new Set()).add(spacedName(name)));
    }
    return [...names].map(([step, ofStep]) => ({
      x: step,
      run: run.run,
      label: `${run.run}, step ${formatCount(step)}: open ${[...ofStep].join(", ")}`,
      colour: runColour(position, dark),
      isCurrent: open?.run === run.run && open.step === step,
    }));
  });
}

function tagsOf({ scalars }: Run, pattern: RegExp): string[] {
  return scalars.filter((tag) => pattern.test(tag));
}

function rankKind(tag: string): string {
  return tag.replace(/^.*\/effective_rank_/, "");
}

function curvesOf(
  run: Run,
  tag: string,
  statistic: string,
  scalar: Scalar | null,
  { smoothing, log }: CurveSettings,
  style: Pick<Curve, "colour" | "width" | "dash">,
): Curve[] {
  if (!scalar) return [];
  const { steps } = scalar;
  // Values of 0 cannot be drawn on a logarithmic axis.
  const values = log ? scalar.values.map((v) => (v !== null && v > 0 ? v : null)) : scalar.values;
  const prefix = tag.slice(0, tag.lastIndexOf("/"));
  const name = [run.run, ...(prefix === "leaf" ? [] : [prefix]), statistic].join(" · ");
  const curve = { ...style, name, steps, values: smooth(values, smoothing) };
  if (smoothing <= 0) return [curve];
  const raw = { ...style, name, steps, values, colour: faded(style.colour.slice(0, 7), 0.22) };
  return [{ ...raw, width: 1, isBackground: true }, curve];
}

export interface RankBound {
  value: number;
  /** The bound as an equation: "C−1 = 9". */
  text: string;
}

/** The bounds of the rank of the local data matrix, in ascending order. */
export function rankBounds(runs: TrainingRun[]): RankBound[] {
  const all = runs.flatMap(({ run }) => run.snapshots.map(rankBound));
  const unique = new Map(all.map((bound) => [bound.text, bound]));
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
function boundRules(runs: TrainingRun[], curves: Curve[], dark: boolean): Rule[] {
  const highest = extent(curves.map(({ values }) => values))?.[1] ?? Infinity;
  const colour = dark ? "#9aa0a6" : "#6b7278";
  return rankBounds(runs)
    .filter(({ value }) => value <= MAX_BOUND_RATIO * highest)
    .map(({ value, text }) => ({ value, label: `bound ${text}`, colour }));
}
