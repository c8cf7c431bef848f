/** A chart as a picture with title and legend. */

import uPlot from "uplot";
import type { Range } from "../numeric/range.ts";
import { Picture, type Text } from "../save/picture.ts";
import type { Colours } from "../theme/colours.ts";
import { chartData } from "./data.ts";
import { chartOptions } from "./options.ts";
import type { ChartSpec, Curve, Marker } from "./spec.ts";

export interface ShownChart {
  title: string;
  subtitle: string;
  /** Path and run of the chart; empty for training charts. */
  origin: string;
  spec: ChartSpec;
  steps: Range | null;
  markers: readonly Marker[];
}

const PLOT = { width: 720, height: 280 };
const MARGIN = 16;
const LINE = 18;
const WIDTH = PLOT.width + 2 * MARGIN;
const SWATCH = 18;
const GAP = 16;
const MAX_ENTRIES = 40;
/** Radius of a point. */
const POINT = 4;

export async function chartPicture(chart: ShownChart, colours: Colours): Promise<Blob> {
  const secondary: Text = { size: 12, colour: colours["text-secondary"] };
  const entries = legendEntries(chart.spec, new Picture(1, 1, colours), secondary);
  const header = MARGIN + LINE * (chart.origin ? 2 : 1) + 4;
  const lines = 1 + (entries.at(-1)?.line ?? -1);
  const picture = new Picture(WIDTH, header + PLOT.height + lines * LINE + MARGIN, colours);
  const title: Text = { size: 14, weight: 500, colour: colours.text, width: WIDTH - 2 * MARGIN };
  picture.write(chart.title, MARGIN, MARGIN + 11, title);
  const after = MARGIN + picture.measure(chart.title, title) + 8;
  const rest = Math.max(WIDTH - MARGIN - after, 40);
  picture.write(chart.subtitle, after, MARGIN + 11, { ...secondary, width: rest });
  picture.write(chart.origin, MARGIN, MARGIN + 11 + LINE, {
    ...secondary,
    width: WIDTH - 2 * MARGIN,
  });
  await drawPlot(picture, chart, header, colours);
  for (const { curve, text, left, line } of entries) {
    const y = header + PLOT.height + (line + 1) * LINE;
    if (curve) drawSwatch(picture.context, curve, MARGIN + left, y - 4);
    picture.write(text, MARGIN + left + SWATCH + 6, y, {
      ...secondary,
      width: PLOT.width - SWATCH,
    });
  }
  return picture.toPng();
}

/** Draw the plot in the size of the picture, independent of the screen. */
async function drawPlot(
  picture: Picture,
  { spec, steps, markers }: ShownChart,
  top: number,
  colours: Colours,
): Promise<void> {
  const scale = picture.sharpness / devicePixelRatio;
  const plot = await new Promise<uPlot>((drawn) => {
    const options = chartOptions(spec, steps, colours, { ...PLOT, scale }, drawn);
    new uPlot(options, chartData(spec, steps), document.createElement("div"));
  });
  for (const marker of markers) drawMarker(plot, marker, picture.sharpness, colours);
  picture.context.drawImage(plot.ctx.canvas, MARGIN, top, PLOT.width, PLOT.height);
  plot.destroy();
}

function drawMarker(plot: uPlot, marker: Marker, pixel: number, colours: Colours): void {
  const { ctx, bbox } = plot;
  const x = plot.valToPos(marker.x, "x", true);
  if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) return;
  if (marker.y !== undefined) {
    drawPoint(plot, x, plot.valToPos(marker.y, "left", true), marker, pixel, colours);
    return;
  }
  const foot = bbox.top + bbox.height - 2 * pixel;
  ctx.fillStyle = marker.isCurrent ? colours.cursor : marker.colour;
  ctx.beginPath();
  ctx.moveTo(x, foot - 9 * pixel);
  ctx.lineTo(x + 5 * pixel, foot);
  ctx.lineTo(x - 5 * pixel, foot);
  ctx.fill();
}

function drawPoint(
  { ctx }: uPlot,
  x: number,
  y: number,
  marker: Marker,
  pixel: number,
  colours: Colours,
): void {
  ctx.beginPath();
  ctx.arc(x, y, POINT * pixel, 0, 2 * Math.PI);
  const colour = marker.isCurrent ? colours.cursor : marker.colour;
  ctx.strokeStyle = colour;
  ctx.fillStyle = marker.isHollow ? colours.surface : colour;
  ctx.lineWidth = 2 * pixel;
  ctx.fill();
  ctx.stroke();
}

interface Entry {
  /** Null for the last entry, if it summarises further curves. */
  curve: Curve | null;
  text: string;
  left: number;
  line: number;
}

/** The names of the curves, arranged in lines. */
function legendEntries(
  { curves, omittedCurves = 0 }: ChartSpec,
  picture: Picture,
  style: Text,
): Entry[] {
  let left = 0;
  let line = 0;
  const named = curves.filter(({ isBackground, steps }) => !isBackground && steps.length > 0);
  const entries: (Curve | null)[] = named.slice(0, MAX_ENTRIES);
  const rest = named.length - entries.length + omittedCurves;
  if (rest > 0) entries.push(null);
  return entries.map((curve) => {
    const text = curve ? curveName(curve) : `and ${rest} more`;
    const width = SWATCH + 6 + picture.measure(text, style);
    if (left > 0 && left + width > PLOT.width) {
      left = 0;
      line += 1;
    }
    const entry = { curve, text, left, line };
    left += width + GAP;
    return entry;
  });
}

function curveName({ name, axis }: Curve): string {
  return axis === "right" ? `${name} (right axis)` : name;
}

function drawSwatch(context: CanvasRenderingContext2D, curve: Curve, x: number, y: number): void {
  context.strokeStyle = curve.colour;
  context.lineWidth = 3;
  context.setLineDash(curve.dash ?? []);
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + SWATCH, y);
  context.stroke();
  context.setLineDash([]);
}
