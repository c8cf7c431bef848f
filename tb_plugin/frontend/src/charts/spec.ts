/** The content of a chart, independent of how it is drawn. */

import type { Values } from "../data/api.ts";
import { extent, type Range } from "../numeric/range.ts";
import { formatCount, formatValue } from "../text/numbers.ts";

export interface Curve {
  name: string;
  steps: number[];
  values: Values;
  colour: string;
  width: number;
  dash?: number[];
  axis?: "left" | "right";
  /** Drawn in the background, without an entry in the tooltip. */
  isBackground?: boolean;
}

/** A horizontal dashed line; without label if `label` is empty. */
export interface Rule {
  value: number;
  label: string;
  colour: string;
}

/** A triangle at the bottom of the chart, or a point of a curve, which can be clicked. */
export interface Marker {
  x: number;
  /** The value of a point on the left axis. Triangles have none. */
  y?: number;
  /** A point is drawn as a ring. */
  isHollow?: boolean;
  run: string;
  label: string;
  colour: string;
  isCurrent: boolean;
}

export interface Axis {
  label: string;
  log?: boolean;
  /** The axis starts at zero for all values. */
  fromZero?: boolean;
  range?: Range;
}

export interface ChartSpec {
  curves: Curve[];
  /** Curves that are not drawn, because there are too many. */
  omittedCurves?: number;
  rules: Rule[];
  xLabel: string;
  left: Axis;
  right?: Axis;
}

/** The steps of all curves together. */
export function wholeRange({ curves }: ChartSpec): Range {
  return extent(curves.map(({ steps }) => steps)) ?? [0, 1];
}

/** Describe a chart in one sentence for screen readers. */
export function describeChart(title: string, spec: ChartSpec): string {
  const curves = spec.curves.filter((curve) => !curve.isBackground && curve.steps.length > 0);
  if (curves.length === 0) return `${title}: no curves.`;
  const shown = curves.slice(0, 12).map(({ name, steps, values }) => {
    const first = `${formatValue(values[0])} at ${formatCount(steps[0] ?? 0)}`;
    const last = `${formatValue(values.at(-1))} at ${formatCount(steps.at(-1) ?? 0)}`;
    return `${name} from ${first} to ${last}`;
  });
  const rest = curves.length > shown.length ? `; and ${curves.length - shown.length} more` : "";
  return `${title}, over ${spec.xLabel}s: ${shown.join("; ")}${rest}.`;
}
