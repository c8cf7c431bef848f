/** The frames of a loaded path: images out of its sheet, signals out of its lists. */

import type { ImageFrames, SignalFrames, Values } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { extent, type Range } from "../numeric/range.ts";
import { channelMeanDifference } from "./difference.ts";

const CHANNELS_DRAWN = 8;

/** The position of the destination, after all frames; null for a walk without one. */
export function destinationFrame({ path }: LoadedPath): number | null {
  const { frames } = path;
  const hasOne = frames.type === "image" ? frames.destination : frames.destination !== null;
  return hasOne ? path.frame_steps.length : null;
}

/** Where a tile is in the sheet: left, top, width, height. */
export function tileBox(
  { width, height, columns }: ImageFrames,
  frame: number,
): [number, number, number, number] {
  return [(frame % columns) * width, Math.floor(frame / columns) * height, width, height];
}

/** Draw one tile of the sheet, pixel by pixel. */
export function drawTile(
  canvas: HTMLCanvasElement,
  frames: ImageFrames,
  sheet: ImageBitmap,
  frame: number,
): void {
  const { width, height } = frames;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context?.drawImage(sheet, ...tileBox(frames, frame), 0, 0, width, height);
}

/** Frame `to` − frame `from` of an image path, channels averaged, in steps of 1/255. */
export function imageDifference(
  frames: ImageFrames,
  sheet: ImageBitmap,
  from: number,
  to: number,
): Float32Array {
  return channelMeanDifference(pixels(frames, sheet, from), pixels(frames, sheet, to));
}

function pixels(frames: ImageFrames, sheet: ImageBitmap, frame: number): Uint8ClampedArray {
  const canvas = document.createElement("canvas");
  drawTile(canvas, frames, sheet, frame);
  const context = canvas.getContext("2d");
  return context?.getImageData(0, 0, frames.width, frames.height).data ?? new Uint8ClampedArray();
}

/** The channels of one frame; of the destination after the last. */
export function signalAt(frames: SignalFrames, frame: number): Values[] {
  return frames.values[frame] ?? frames.destination ?? [];
}

/** The channels of one frame that there is room to draw. */
export function drawnChannels(frames: SignalFrames, frame: number): Values[] {
  return signalAt(frames, frame).slice(0, CHANNELS_DRAWN);
}

/** The least and the greatest value of all frames and the destination. */
export function signalRange({ values, destination }: SignalFrames): Range {
  return extent([...values.flat(), ...(destination ?? [])]) ?? [0, 1];
}

/** Frame `to` − frame `from` of a signal path, channel by channel. */
export function signalDifference(frames: SignalFrames, from: number, to: number): Values[] {
  const start = signalAt(frames, from);
  return drawnChannels(frames, to).map((channel, c) =>
    channel.map((value, i) => (value === null ? null : value - (start[c]?.[i] ?? NaN))),
  );
}
