/** The frames of a loaded path: images from its sprite sheet, signals from its arrays. */

import type { ImageFrames, SignalFrames, Values } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { extent, type Range } from "../numeric/range.ts";
import { channelMeanDifference } from "./difference.ts";

const CHANNELS_DRAWN = 8;

/** Index of the destination, which follows the last frame; null if the path has none. */
export function destinationFrame({ path }: LoadedPath): number | null {
  const { frames } = path;
  const hasOne = frames.type === "image" ? frames.destination : frames.destination !== null;
  return hasOne ? path.frame_steps.length : null;
}

/** Position of a tile in the sprite sheet: left, top, width, height. */
export function tileBox(
  { width, height, columns }: ImageFrames,
  frame: number,
): [number, number, number, number] {
  return [(frame % columns) * width, Math.floor(frame / columns) * height, width, height];
}

/** Draw one tile of the sprite sheet at its original size. */
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

/** Frame `to` − frame `from` of an image path, averaged over channels, in units of 1/255. */
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

/** The channels of one frame; the index after the last frame is the destination. */
export function signalAt(frames: SignalFrames, frame: number): Values[] {
  return frames.values[frame] ?? frames.destination ?? [];
}

/** The first channels of one frame, at most 8. */
export function drawnChannels(frames: SignalFrames, frame: number): Values[] {
  return signalAt(frames, frame).slice(0, CHANNELS_DRAWN);
}

/** Minimum and maximum over all frames and the destination. */
export function signalRange({ values, destination }: SignalFrames): Range {
  return extent([...values.flat(), ...(destination ?? [])]) ?? [0, 1];
}

/** Frame `to` − frame `from` of a signal path, per channel. */
export function signalDifference(frames: SignalFrames, from: number, to: number): Values[] {
  const start = signalAt(frames, from);
  return drawnChannels(frames, to).map((channel, c) =>
    channel.map((value, i) => (value === null ? null : value - (start[c]?.[i] ?? NaN))),
  );
}
