/** Draws one frame of a path on a picture: an image or a line plot. */

import type { Values } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import type { Size } from "../data/sheet.ts";
import type { Range } from "../numeric/range.ts";
import type { Picture } from "../save/picture.ts";
import type { Colours } from "../theme/colours.ts";
import { channelColour } from "../theme/palette.ts";
import {
  differenceRange,
  drawDifference,
  drawnChannels,
  LARGEST_SIDE,
  signalDifference,
  signalRange,
} from "./frames.ts";
import { signalPath } from "./signal_line.ts";

/** A size of about `side` pixels. Small images are enlarged by a whole number. */
export function frameSize({ path: { frames } }: LoadedPath, side: number): Size {
  if (frames.type === "signal") return { width: side, height: Math.round(side / 1.2) };
  const { width, height } = frames;
  const factor = side / Math.max(width, height);
  if (factor >= 1) {
    const times = Math.round(factor);
    return { width: times * width, height: times * height };
  }
  return { width: Math.ceil(factor * width), height: Math.ceil(factor * height) };
}

/**
 * @param x In CSS pixels.
 * @param y In CSS pixels.
 * @param size In pixels of the picture.
 */
export function drawFrame(
  picture: Picture,
  loaded: LoadedPath,
  frame: number,
  x: number,
  y: number,
  size: Size,
  colours: Colours,
): void {
  const { context, sharpness } = picture;
  const { frames } = loaded.path;
  const width = size.width / sharpness;
  const height = size.height / sharpness;
  if (frames.type === "image") {
    smooth(context, size.width < frames.width);
    loaded.sheet?.draw(context, frame, x, y, width, height);
    return;
  }
  drawLines(picture, drawnChannels(frames, frame), signalRange(frames), x, y, size, colours);
}

/** Draw the change from the first frame to another one. The arguments are those of `drawFrame`. */
export function drawChange(
  picture: Picture,
  loaded: LoadedPath,
  frame: number,
  x: number,
  y: number,
  size: Size,
  colours: Colours,
  dark: boolean,
): void {
  const { context, sharpness } = picture;
  const { frames } = loaded.path;
  if (frames.type === "signal") {
    const lines = signalDifference(frames, 0, frame);
    drawLines(picture, lines, differenceRange(frames), x, y, size, colours);
    return;
  }
  const canvas = document.createElement("canvas");
  drawDifference(canvas, loaded, 0, frame, LARGEST_SIDE, dark);
  smooth(context, size.width < canvas.width);
  context.drawImage(canvas, x, y, size.width / sharpness, size.height / sharpness);
}

/** Enlarged pixels stay sharp squares. Reduced images are averaged. */
function smooth(context: CanvasRenderingContext2D, isReduced: boolean): void {
  context.imageSmoothingEnabled = isReduced;
  context.imageSmoothingQuality = "high";
}

function drawLines(
  { context, sharpness }: Picture,
  channels: readonly Values[],
  range: Range,
  x: number,
  y: number,
  size: Size,
  colours: Colours,
): void {
  const width = size.width / sharpness;
  const height = size.height / sharpness;
  context.lineWidth = 1;
  context.strokeStyle = colours.line;
  context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  context.lineWidth = 1.5;
  for (const [channel, values] of channels.entries()) {
    const line = new Path2D();
    const transform = new DOMMatrix([width / 100, 0, 0, height / 100, x, y]);
    line.addPath(new Path2D(signalPath(values, range)), transform);
    context.strokeStyle = channelColour(channel, colours.accent);
    context.stroke(line);
  }
}
