/** Zooms a chart by dragging and by keys. */

import type uPlot from "uplot";
import type { Range } from "../numeric/range.ts";
import { scaleZoom, stepsBetween } from "../numeric/step_range.ts";

/** A shorter drag counts as a click. */
const MIN_PIXELS = 6;

/**
 * Call `select` with the steps over which the pointer is dragged.
 *
 * @param selectsByTouch Whether touch selects steps. It does not if touch moves a cursor.
 * @returns A function that cancels the current drag and returns whether there was one.
 */
export function selectByDrag(
  chart: uPlot,
  selectsByTouch: boolean,
  select: (steps: Range) => void,
): () => boolean {
  const { over } = chart;
  const box = document.createElement("div");
  box.className = "selection";
  let start: number | null = null;
  const at = (event: PointerEvent) =>
    Math.min(Math.max(event.clientX - over.getBoundingClientRect().left, 0), over.clientWidth);
  const cancel = () => {
    const wasDragging = start !== null;
    start = null;
    box.remove();
    return wasDragging;
  };
  over.addEventListener("pointerdown", (event) => {
    if (event.target !== over || event.button !== 0 || !event.isPrimary) return;
    if (event.pointerType === "touch" && !selectsByTouch) return;
    start = at(event);
    over.setPointerCapture(event.pointerId);
  });
  over.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const end = at(event);
    box.style.left = `${Math.min(start, end)}px`;
    box.style.width = `${Math.abs(end - start)}px`;
    if (Math.abs(end - start) >= MIN_PIXELS) over.append(box);
  });
  over.addEventListener("pointerup", (event) => {
    const [from, to] = [start ?? 0, at(event)];
    if (!cancel() || Math.abs(to - from) < MIN_PIXELS) return;
    const steps = stepsBetween(chart.posToVal(from, "x"), chart.posToVal(to, "x"));
    if (steps) select(steps);
  });
  over.addEventListener("pointercancel", cancel);
  return cancel;
}

/** The steps shown after a key press; undefined if the key is not a zoom key. */
export function zoomByKey(
  key: string,
  shown: Range,
  centre: number,
  whole: Range,
): Range | null | undefined {
  switch (key) {
    case "+":
    case "=":
      return scaleZoom(shown, 0.5, centre, whole);
    case "-":
      return scaleZoom(shown, 2, centre, whole);
    case "0":
    case "Escape":
      return null;
    default:
      return undefined;
  }
}
