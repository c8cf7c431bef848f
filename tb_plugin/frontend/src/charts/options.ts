/** Converts a chart specification to options of uPlot. */

import type uPlot from "uplot";
import { extent, type Range } from "../numeric/range.ts";
import { clipZoom, valuesWithin } from "../numeric/step_range.ts";
import { formatCount, formatValue } from "../text/numbers.ts";
import { type Colours, FONT } from "../theme/colours.ts";
import { lineWidth, travel } from "./line_width.ts";
import { drawRules } from "./rules.ts";
import { type Axis, type ChartSpec, type Curve, wholeRange } from "./spec.ts";
import { fromZero, linearTicks, logTicks, padded, stepAxis } from "./ticks.ts";

const FONT_PIXELS = 11;
const LABEL_SIZE = 16;
const PIXELS_PER_TICK = { x: 70, y: 34 };

/** In CSS pixels. `scale` enlarges the whole drawing. */
export interface ChartSize {
  width: number;
  height: number;
  scale?: number;
}

/**
 * @param steps The steps that are shown; null for all.
 * @param drawn Called after each drawing, when positions on the chart are defined.
 */
export function chartOptions(
  spec: ChartSpec,
  steps: Range | null,
  colours: Colours,
  { width, height, scale = 1 }: ChartSize,
  drawn: (chart: uPlot) => void,
): uPlot.Options {
  const whole = wholeRange(spec);
  const zoom = clipZoom(steps, whole);
  const [first, last] = zoom ?? whole;
  const x = stepAxis([first, last]);
  const left = valueRange(spec, "left", spec.left, zoom);
  const right = spec.right && valueRange(spec, "right", spec.right, zoom);
  const lengths =
    travel(curvesOn(spec, "left"), spec.left, left, x) +
    (spec.right && right ? travel(curvesOn(spec, "right"), spec.right, right, x) : 0);
  const axes = new AxisOptions(colours, scale);
  return {
    width: width * scale,
    height: height * scale,
    // Leave room for half of the last label of an axis.
    padding: [10 * scale, spec.right ? 0 : 22 * scale, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: () => x },
      left: { distr: spec.left.log ? 3 : 1, range: () => left },
      ...(right && { right: { range: () => right } }),
    },
    series: [
      {},
      ...spec.curves.map(
        (curve): uPlot.Series => ({
          label: curve.name,
          scale: curve.axis ?? "left",
          stroke: curve.colour,
          width: lineWidth(curve.width, scale, lengths),
          ...(curve.dash?.length && { dash: curve.dash.map((length) => length * scale) }),
          points: { show: curve.steps.length === 1 },
        }),
      ),
    ],
    axes: [
      axes.ofSteps(spec.xLabel, x),
      axes.ofValues("left", spec.left, left),
      ...(spec.right && right ? [axes.ofValues("right", spec.right, right)] : []),
    ],
    hooks: { draw: [(chart) => drawRules(chart, spec, colours.surface, scale), drawn] },
  };
}

/** The range of an axis: that of the zoomed values, or else of all values and rules. */
function valueRange(
  spec: ChartSpec,
  side: "left" | "right",
  axis: Axis,
  zoom: Range | null,
): Range {
  if (axis.range) return axis.range;
  const shown = curvesOn(spec, side);
  const ruled = side === "left" && !zoom ? spec.rules.map(({ value }) => value) : [];
  const all = [
    ...shown.map(({ steps, values }) => (zoom ? valuesWithin(steps, values, zoom) : values)),
    ruled,
  ];
  const positive = all.map((values) => values.filter((value) => !axis.log || (value ?? 0) > 0));
  const [low, high] = extent(positive) ?? (axis.log ? [0.1, 1] : [0, 1]);
  if (axis.fromZero && !zoom) return fromZero(high);
  return padded([low, high], axis.log ?? false);
}

function curvesOn({ curves }: ChartSpec, side: "left" | "right"): Curve[] {
  return curves.filter((curve) => (curve.axis ?? "left") === side);
}

class AxisOptions {
  private readonly font: string;

  constructor(
    private readonly colours: Colours,
    private readonly scale: number,
  ) {
    this.font = `${Math.round(FONT_PIXELS * scale)}px ${FONT}`;
  }

  ofSteps(label: string, range: Range): uPlot.Axis {
    return {
      ...this.style(label),
      grid: { show: false },
      // Leave a gap to the last labels of the value axes.
      size: 23 * this.scale,
      gap: 6 * this.scale,
      splits: (chart) => linearTicks(range, this.length(chart, "width") / PIXELS_PER_TICK.x, true),
      values: (_, splits) => splits.map(formatCount),
    };
  }

  ofValues(side: "left" | "right", axis: Axis, range: Range): uPlot.Axis {
    const ticks = axis.log ? logTicks : linearTicks;
    const letters = (texts: string[] | null) =>
      (texts ?? []).reduce((longest, { length }) => Math.max(longest, length), 2);
    return {
      ...this.style(axis.label),
      scale: side,
      side: side === "left" ? 3 : 1,
      grid: { show: side === "left", stroke: this.colours.grid, width: this.scale },
      gap: 6 * this.scale,
      // As wide as the widest label, so that no label is cut off.
      size: (_, texts) => (12 + 6.5 * letters(texts)) * this.scale,
      splits: (chart) => ticks(range, this.length(chart, "height") / PIXELS_PER_TICK.y),
      // By default, uPlot omits labels of logarithmic axes.
      filter: (_, splits) => splits,
      values: (_, splits) => splits.map((value) => formatValue(value)),
    };
  }

  private style(label: string): uPlot.Axis {
    return {
      label,
      labelSize: LABEL_SIZE * this.scale,
      labelGap: 0,
      labelFont: this.font,
      font: this.font,
      stroke: this.colours["text-secondary"],
      ticks: { show: false },
      border: { show: false },
    };
  }

  private length(chart: uPlot, side: "width" | "height"): number {
    return chart.bbox[side] / devicePixelRatio / this.scale;
  }
}
