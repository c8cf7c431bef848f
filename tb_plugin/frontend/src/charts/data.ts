/** The curves of a chart as one table, which uPlot draws. */

import uPlot from "uplot";
import { nearest } from "../numeric/nearest.ts";
import type { Range } from "../numeric/range.ts";
import { type ChartSpec, type Curve, wholeRange } from "./spec.ts";

/** A larger table would take too much memory and time: 64 MiB. */
const MAX_CELLS = 2 ** 23;
/** More positions than a chart has pixels. */
const POSITIONS = 4096;

type Column = (number | null | undefined)[];

/**
 * Curves with different steps are joined over all steps. Steps of other curves are undefined, and
 * lines continue across them. Missing values are null, and lines break there.
 *
 * Very many curves with different steps are joined over a grid of the steps that are shown. It is
 * finer than the pixels of a chart.
 *
 * @param shown The steps that are shown; null for all.
 */
export function chartData(spec: ChartSpec, shown: Range | null): uPlot.AlignedData {
  const { curves } = spec;
  const steps = curves[0]?.steps ?? [];
  if (curves.every((curve) => curve.steps === steps)) {
    return [steps, ...curves.map(({ values }) => values)];
  }
  const lists = new Set(curves.map((curve) => curve.steps));
  const count = [...lists].reduce((sum, { length }) => sum + length, 0);
  if (count * curves.length > MAX_CELLS) return onGrid(curves, shown ?? wholeRange(spec));
  const tables = curves.map((curve): uPlot.AlignedData => [curve.steps, curve.values]);
  return uPlot.join(tables);
}

function onGrid(curves: readonly Curve[], [first, last]: Range): uPlot.AlignedData {
  const unit = (last - first) / (POSITIONS - 1) || 1;
  const grid = Array.from({ length: POSITIONS }, (_, i) => first + i * unit);
  const columns = curves.map(({ steps, values }) => {
    const column: Column = new Array(POSITIONS).fill(undefined);
    for (const [i, step] of steps.entries()) {
      const position = Math.round((step - first) / unit);
      if (!(position >= 0 && position < POSITIONS)) continue;
      column[position] = values[i] ?? column[position] ?? null;
    }
    // Lines lead to points that are not shown.
    column[0] ??= interpolated(steps, values, first);
    column[POSITIONS - 1] ??= interpolated(steps, values, last);
    return column;
  });
  return [grid, ...columns] as uPlot.AlignedData;
}

/** The value of a line between the points of a curve; undefined outside of the curve. */
function interpolated(
  steps: readonly number[],
  values: readonly (number | null)[],
  step: number,
): number | null | undefined {
  const closest = nearest(steps, step);
  const after = (steps[closest] ?? NaN) < step ? closest + 1 : closest;
  const [x0, x1] = [steps[after - 1], steps[after]];
  const [y0, y1] = [values[after - 1], values[after]];
  if (x0 === undefined || x1 === undefined) return undefined;
  if (typeof y0 !== "number" || typeof y1 !== "number") return null;
  const share = (step - x0) / (x1 - x0 || 1);
  return y0 * (1 - share) + y1 * share;
}
