/** Training curves of several runs: trace, effective ranks, tangent dimension. */

import type { ChartSpec, Curve, Rule } from "../charts/spec.ts";
import type { Run, Scalar } from "../data/api.ts";
import { shown } from "../data/untrusted_text.ts";
import { spacedName } from "../text/labels.ts";
import { dashOf, faded, runColour } from "../theme/palette.ts";
import { boundRules } from "./bounds.ts";
import type { TrainingRun } from "./runs.ts";
import { smooth } from "./smoothing.ts";

export interface CurveSettings {
  smoothing: number;
  log: boolean;
  dark: boolean;
}

const MAX_LABELLED_RULES = 3;
/** Scalars in one chart. Each has a second curve if curves are smoothed. */
const MAX_SERIES = 300;

export type GetScalar = (run: string, tag: string) => Scalar | null;

/** A scalar of a run, and how its curve looks. */
interface Series {
  run: Run;
  tag: string;
  statistic: string;
  style: Pick<Curve, "colour" | "width" | "dash">;
}

export function traceSpec(runs: TrainingRun[], get: GetScalar, settings: CurveSettings): ChartSpec {
  const all = runs.flatMap(({ run, position }): Series[] => {
    const colour = runColour(position, settings.dark);
    const mean = { colour: faded(colour, 0.5), width: 1.5 };
    const median = { colour, width: 2 };
    return [
      ...tagsOf(run, /\/trace_mean$/).map((tag) => ({ run, tag, statistic: "mean", style: mean })),
      ...tagsOf(run, /\/trace_median$/).map((tag) => ({
        run,
        tag,
        statistic: "median",
        style: median,
      })),
    ];
  });
  const { series, omittedCurves } = drawnSeries(all);
  const rules = series.flatMap(({ run, tag, statistic, style: { colour } }): Rule[] => {
    if (statistic !== "median") return [];
    const initial = get(run.run, tag)?.values.find((value) => value !== null);
    return typeof initial === "number" ? [{ value: initial, label: "initial median", colour }] : [];
  });
  if (rules.length > MAX_LABELLED_RULES) {
    for (const [i, rule] of rules.entries()) rule.label = i === 0 ? "initial medians" : "";
  }
  return {
    curves: series.flatMap((one) => curvesOf(one, get, settings)),
    omittedCurves,
    rules,
    xLabel: "optimizer step",
    left: { label: "trace", log: settings.log },
  };
}

export function rankSpec(runs: TrainingRun[], get: GetScalar, settings: CurveSettings): ChartSpec {
  const kinds = new Map(rankKinds(runs).map((kind, i) => [kind, i]));
  const all = runs.flatMap(({ run, position }) => {
    const ofRun = tagsOf(run, RANK).map((tag) => ({ tag, kind: rankKind(tag) }));
    const order = ({ kind }: { kind: string }) => kinds.get(kind) ?? 0;
    return ofRun
      .sort((one, other) => order(one) - order(other))
      .map(({ tag, kind }): Series => {
        const dash = dashOf(kinds.get(kind) ?? 0);
        const style = { colour: runColour(position, settings.dark), width: 2, dash };
        return { run, tag, statistic: spacedName(kind), style };
      });
  });
  return boundedSpec(runs, all, "effective rank", get, settings);
}

export function dimensionSpec(
  runs: TrainingRun[],
  get: GetScalar,
  settings: CurveSettings,
): ChartSpec {
  const all = runs.flatMap(({ run, position }) =>
    tagsOf(run, /\/tangent_dimension$/).map((tag): Series => {
      const style = { colour: runColour(position, settings.dark), width: 2 };
      return { run, tag, statistic: "dimension", style };
    }),
  );
  return boundedSpec(runs, all, "dimension", get, settings);
}

/** A chart of ranks, with their bounds. */
function boundedSpec(
  runs: TrainingRun[],
  all: Series[],
  label: string,
  get: GetScalar,
  settings: CurveSettings,
): ChartSpec {
  const { series, omittedCurves } = drawnSeries(all);
  const curves = series.flatMap((one) => curvesOf(one, get, settings));
  const rules = boundRules(runs, curves, settings.dark);
  const left = { label, fromZero: true };
  return { curves, omittedCurves, rules, xLabel: "optimizer step", left };
}

const RANK = /\/effective_rank_\w+$/;

/** The kinds of effective rank that at least one run logged. */
export function rankKinds(runs: TrainingRun[]): string[] {
  const tags = runs.flatMap(({ run }) => tagsOf(run, RANK));
  return [...new Set(tags.map(rankKind))].sort();
}

function tagsOf({ scalars }: Run, pattern: RegExp): string[] {
  return scalars.filter((tag) => pattern.test(tag));
}

function rankKind(tag: string): string {
  return tag.replace(/^.*\/effective_rank_/, "");
}

function drawnSeries(all: Series[]): { series: Series[]; omittedCurves: number } {
  const series = all.slice(0, MAX_SERIES);
  return { series, omittedCurves: all.length - series.length };
}

function curvesOf(
  { run, tag, statistic, style }: Series,
  get: GetScalar,
  { smoothing, log }: CurveSettings,
): Curve[] {
  const scalar = get(run.run, tag);
  if (!scalar) return [];
  const { steps } = scalar;
  // Values of 0 cannot be drawn on a logarithmic axis.
  const values = log ? scalar.values.map((v) => (v !== null && v > 0 ? v : null)) : scalar.values;
  const prefix = tag.slice(0, tag.lastIndexOf("/"));
  const name = [shown(run.run), ...(prefix === "leaf" ? [] : [shown(prefix)]), statistic].join(
    " · ",
  );
  const curve = { ...style, name, steps, values: smooth(values, smoothing) };
  if (smoothing <= 0) return [curve];
  const raw = { ...style, name, steps, values, colour: faded(style.colour.slice(0, 7), 0.22) };
  return [{ ...raw, width: 1, isBackground: true }, curve];
}
