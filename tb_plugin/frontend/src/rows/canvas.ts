/** Draws all frames of a row of images on one canvas. */

import type { Sheet } from "../data/sheet.ts";
import { frameInColumn } from "../frames/columns.ts";

const CORNER_PIXELS = 4;

/**
 * Draw the frames of a path at the positions of the cells of its row.
 *
 * Browsers composite each canvas separately. With one canvas per frame, scrolling past many rows
 * is not smooth.
 */
export function drawRow(
  canvas: HTMLCanvasElement,
  cells: readonly Element[],
  sheet: Sheet,
  frames: number,
): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const whole = canvas.getBoundingClientRect();
  const scale = devicePixelRatio;
  canvas.width = Math.round(scale * whole.width);
  canvas.height = Math.round(scale * whole.height);
  const boxes = cells.map((cell) => boxWithin(whole, cell.getBoundingClientRect(), scale));
  for (const box of boxes) context.roundRect(...box, CORNER_PIXELS * scale);
  context.clip();
  boxes.forEach((box, column) => {
    // Enlarged pixels stay sharp squares. Reduced images are averaged.
    context.imageSmoothingEnabled = sheet.tile.width > box[2];
    sheet.draw(context, frameInColumn(column, cells.length, frames), ...box);
  });
}

/** Left, top, width and height of a part in whole device pixels, for sharp edges. */
function boxWithin(whole: DOMRect, part: DOMRect, scale: number): [number, number, number, number] {
  const pixel = (length: number) => Math.round(scale * length);
  const left = pixel(part.left - whole.left);
  const top = pixel(part.top - whole.top);
  const right = pixel(part.right - whole.left);
  const bottom = pixel(part.bottom - whole.top);
  return [left, top, right - left, bottom - top];
}
