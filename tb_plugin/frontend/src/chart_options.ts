/** A chart's specification as data and options of uPlot. */

import uPlot from "uplot";
import { drawRules } from "./chart_rules.ts";
import type { Axis, ChartSpec } from "./chart_spec.ts";
import { formatCount, formatValue } from "./numbers.ts";
import { extent, linearTicks, logTicks, padded, type Range } from "./ticks.ts";

export interface ChartColours {
  text: string;
  grid: string;
  surface: string;
}

const FONT = "11px Roboto, system-ui, sans-serif";
const LABEL_SIZE = 16;
const PIXELS_PER_TICK = { x: 70, y: 34 };

/**
 * Curves with steps of their own are joined over all steps. Lines pass over steps of others, which
 * come as undefined, and break where a value is missing, which is null.
 */
export function chartData({ curves }: ChartSpec): uPlot.AlignedData {
  const steps = curves[0]?.steps ?? [];
  if (curves.every((curve) => curve.steps === steps)) {
    return [steps, ...curves.map(({ values }) => values)];
  }
  const tables = curves.map((curve): uPlot.AlignedData => [curve.steps, curve.values]);
  return uPlot.join(tables);
}

/** @param drawn Called after each drawing, when positions on the chart are known. */
export function chartOptions(
  spec: ChartSpec,
  colours: ChartColours,
  size: { width: number; height: number },
  drawn: () => void,
): uPlot.Options {
  const xRange = extent(spec.curves.map(({ steps }) => steps)) ?? [0, 1];
  const x: Range = xRange[0] === xRange[1] ? [xRange[0] - 1, xRange[1] + 1] : xRange;
  const left = valueRange(spec, "left", spec.left);
  return {
    ...size,
    // Room for half of the last label of an axis.
    padding: [10, spec.right ? 0 : 22, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: () => x },
      left: { distr: spec.left.log ? 3 : 1, range: () => left },
      ...(spec.right && { right: { range: () => valueRange(spec, "right", spec.right ?? {}) } }),
    },
    series: [
      {},
      ...spec.curves.map((curve): uPlot.Series => ({
        label: curve.name,
        scale: curve.axis ?? "left",
        stroke: curve.colour,
        width: curve.width,
        ...(curve.dash?.length && { dash: curve.dash }),
        points: { show: curve.steps.length === 1 },
      })),
    ],
    axes: [
      xAxis(spec.xLabel, colours, x),
      yAxis("left", spec.left, colours, left),
      ...(spec.right
        ? [yAxis("right", spec.right, colours, valueRange(spec, "right", spec.right))]
        : []),
    ],
    hooks: { draw: [(chart) => drawRules(chart, spec, colours.surface), drawn] },
  };
}

function valueRange(
  { curves, rules }: ChartSpec,
  side: "left" | "right",
  axis: Partial<Axis>,
): Range {
  if (axis.range) return axis.range;
  const shown = curves.filter((curve) => (curve.axis ?? "left") === side);
  const ruled = side === "left" ? rules.map(({ value }) => value) : [];
  const all = [...shown.map(({ values }) => values), ruled];
  const positive = all.map((values) => values.filter((value) => !axis.log || (value ?? 0) > 0));
  const [low, high] = extent(positive) ?? (axis.log ? [0.1, 1] : [0, 1]);
  if (axis.fromZero) return [0, high > 0 ? high * 1.12 : 1];
  return padded([low, high], axis.log ?? false);
}

function xAxis(label: string, colours: ChartColours, range: Range): uPlot.Axis {
  return {
    ...axisStyle(label, colours),
    grid: { show: false },
    size: 20,
    gap: 3,
    splits: (chart) => linearTicks(range, plotSize(chart, "width") / PIXELS_PER_TICK.x, true),
    values: (_, splits) => splits.map(formatCount),
  };
}

function yAxis(
  scale: "left" | "right",
  axis: Axis,
  colours: ChartColours,
  range: Range,
): uPlot.Axis {
  const ticks = axis.log ? logTicks : linearTicks;
  return {
    ...axisStyle(axis.label, colours),
    scale,
    side: scale === "left" ? 3 : 1,
    grid: { show: scale === "left", stroke: colours.grid, width: 1 },
    gap: 6,
    // As wide as its widest label: none is cut.
    size: (_, values) => 12 + 6.5 * Math.max(2, ...(values ?? []).map((text) => text.length)),
    splits: (chart) => ticks(range, plotSize(chart, "height") / PIXELS_PER_TICK.y),
    // uPlot would leave out labels of logarithmic axes.
    filter: (_, splits) => splits,
    values: (_, splits) => splits.map((value) => formatValue(value)),
  };
}

function axisStyle(label: string, colours: ChartColours): uPlot.Axis {
  return {
    label,
    labelSize: LABEL_SIZE,
    labelGap: 0,
    labelFont: FONT,
    font: FONT,
    stroke: colours.text,
    ticks: { show: false },
    border: { show: false },
  };
}

function plotSize(chart: uPlot, side: "width" | "height"): number {
  return chart.bbox[side] / devicePixelRatio;
}
