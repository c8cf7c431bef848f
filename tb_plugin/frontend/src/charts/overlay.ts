/** Elements on top of a chart: cursor line, markers and tooltip. */

import type uPlot from "uplot";
import { nearest } from "../numeric/nearest.ts";
import { formatCount, formatValue } from "../text/numbers.ts";
import type { ChartSpec, Curve, Marker } from "./spec.ts";

const MARKER_PIXELS = 9;
const TOOLTIP_CURVES = 14;

export function cursorLine(): HTMLElement {
  const line = document.createElement("div");
  line.className = "cursor-line";
  line.dataset.testid = "cursor-line";
  return line;
}

/** Triangles at the bottom of the chart, or points. Of overlapping markers, only one is drawn. */
export function markerButtons(
  chart: uPlot,
  markers: readonly Marker[],
  named: boolean,
  open: (marker: Marker) => void,
): HTMLElement[] {
  const openRun = markers.find(({ isCurrent }) => isCurrent)?.run;
  const rank = ({ isCurrent, run }: Marker) => (isCurrent ? 0 : run === openRun ? 1 : 2);
  const occupied: number[] = [];
  const buttons: HTMLElement[] = [];
  for (const marker of [...markers].sort((one, other) => rank(one) - rank(other))) {
    const left = chart.valToPos(marker.x, "x");
    const isOutside = left < -1 || left > chart.over.clientWidth + 1;
    if (isOutside || occupied.some((other) => Math.abs(other - left) < MARKER_PIXELS)) continue;
    occupied.push(left);
    const button = markerButton(marker, left, named, open);
    if (marker.y !== undefined) placePoint(button, marker, chart.valToPos(marker.y, "left"));
    buttons.push(button);
  }
  // The order of keyboard focus.
  return buttons.sort((one, other) => Number(one.dataset.step) - Number(other.dataset.step));
}

function markerButton(
  marker: Marker,
  left: number,
  named: boolean,
  open: (marker: Marker) => void,
): HTMLElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "marker";
  button.title = marker.label;
  button.style.left = `${left}px`;
  button.style.setProperty("--colour", marker.colour);
  button.dataset.step = String(marker.x);
  button.dataset.run = marker.run;
  if (named) {
    button.dataset.testid = "snapshot-marker";
    button.setAttribute("aria-label", marker.label);
    if (marker.isCurrent) button.setAttribute("aria-current", "true");
  } else {
    button.tabIndex = -1;
    button.setAttribute("aria-hidden", "true");
  }
  button.classList.toggle("current", marker.isCurrent);
  button.addEventListener("click", () => open(marker));
  return button;
}

function placePoint(button: HTMLElement, { isHollow }: Marker, top: number): void {
  button.classList.add("point");
  button.classList.toggle("hollow", isHollow ?? false);
  button.style.top = `${top}px`;
  if (button.dataset.testid) button.dataset.testid = "point";
}

/** Add a tooltip with the values of all curves at the step under the pointer. */
export function tooltip(chart: uPlot, spec: ChartSpec): void {
  const box = document.createElement("div");
  box.className = "tooltip";
  box.dataset.testid = "tooltip";
  box.hidden = true;
  box.setAttribute("aria-hidden", "true");
  chart.over.append(box);
  chart.over.addEventListener("pointerleave", () => {
    box.hidden = true;
  });
  chart.over.addEventListener("pointermove", (event) => {
    if (event.target !== chart.over) return;
    const x = chart.posToVal(event.offsetX, "x");
    box.replaceChildren(...tooltipLines(spec, x));
    box.hidden = false;
    const isRight = event.offsetX > chart.over.clientWidth / 2;
    box.style.left = isRight ? "" : `${event.offsetX + 14}px`;
    box.style.right = isRight ? `${chart.over.clientWidth - event.offsetX + 14}px` : "";
  });
}

function tooltipLines(spec: ChartSpec, x: number): HTMLElement[] {
  const curves = spec.curves.filter((curve) => !curve.isBackground && covers(curve, x));
  const at = curves.map(({ steps }) => nearest(steps, x));
  const steps = curves.map((curve, i) => curve.steps[at[i] ?? 0] ?? 0);
  const [step = x] = [...steps].sort((one, other) => Math.abs(one - x) - Math.abs(other - x));
  const lines = curves.slice(0, TOOLTIP_CURVES).map((curve, i) => {
    const line = document.createElement("div");
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = curve.colour;
    const value = formatValue(curve.values[at[i] ?? 0], 4);
    line.append(swatch, `${curve.name} `, strong(value));
    return line;
  });
  const title = document.createElement("div");
  title.append(`${spec.xLabel} `, strong(formatCount(step)));
  return [title, ...lines];
}

/** Whether a curve has a value at x: not before its first and after its last step. */
function covers({ steps }: Curve, x: number): boolean {
  const [first = Infinity, second = first] = steps;
  const last = steps.at(-1) ?? -Infinity;
  const slack = Math.max(second - first, 1) / 2;
  return first - slack <= x && x <= last + slack;
}

function strong(text: string): HTMLElement {
  const element = document.createElement("strong");
  element.textContent = text;
  return element;
}
