/** The frames of a loaded path: images from its sprite sheet, signals from its arrays. */

import type { ImageFrames, SignalFrames, Values } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import type { Sheet, Size } from "../data/sheet.ts";
import { extent, type Range } from "../numeric/range.ts";
import {
  channelMeanDifference,
  divergingColours,
  maxAbsolute,
  paintDifference,
} from "./difference.ts";

const CHANNELS_DRAWN = 8;
const MAX_ASPECT = 8;
const signalRanges = new WeakMap<SignalFrames, Range>();
const differenceScales = new WeakMap<Sheet, number>();
/** The largest side of a picture, in pixels. */
export const LARGEST_SIDE = 512;

/** Index of the destination, which follows the last frame; null if the path has none. */
export function destinationFrame({ path }: LoadedPath): number | null {
  const { frames } = path;
  const hasOne = frames.type === "image" ? frames.destination : frames.destination !== null;
  return hasOne ? path.frame_steps.length : null;
}

/** Width / height of the box of an image. Extreme images are stretched, so that both sides show. */
export function aspectRatio({ width, height }: ImageFrames): number {
  return Math.min(Math.max(width / height, 1 / MAX_ASPECT), MAX_ASPECT);
}

/** Draw one tile on a canvas with at most `side` pixels in each dimension. */
export function drawTile(
  canvas: HTMLCanvasElement,
  sheet: Sheet,
  frame: number,
  side: number,
): void {
  const { width, height } = reduced(sheet.tile, side);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context) sheet.draw(context, frame, 0, 0, width, height);
}

/** The size of a picture of a tile with at most `side` pixels in each dimension. */
export function reduced({ width, height }: Size, side: number): Size {
  return { width: Math.min(width, side), height: Math.min(height, side) };
}

/** Frame `to` − frame `from` of an image path, averaged over channels, in units of 1/255. */
export function imageDifference(
  sheet: Sheet,
  from: number,
  to: number,
  side: number,
): Float32Array {
  return channelMeanDifference(pixels(sheet, from, side), pixels(sheet, to, side));
}

/** Draw frame `to` − frame `from` of an image path on a canvas. */
export function drawDifference(
  canvas: HTMLCanvasElement,
  loaded: LoadedPath,
  from: number,
  to: number,
  side: number,
  dark: boolean,
): void {
  const { sheet } = loaded;
  if (!sheet) return;
  const difference = imageDifference(sheet, from, to, side);
  const { width, height } = reduced(sheet.tile, side);
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  image.data.set(paintDifference(difference, differenceScale(loaded), divergingColours(dark)));
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

/**
 * The largest difference between the first frame and the end, in units of 1/255.
 *
 * All differences of a path share this scale, so that they can be compared.
 */
export function differenceScale(loaded: LoadedPath): number {
  const { path, sheet } = loaded;
  if (!sheet) return 0;
  const known = differenceScales.get(sheet);
  if (known !== undefined) return known;
  const end = destinationFrame(loaded) ?? path.frame_steps.length - 1;
  const scale = maxAbsolute(imageDifference(sheet, 0, end, LARGEST_SIDE));
  differenceScales.set(sheet, scale);
  return scale;
}

/** The largest change of a signal between two frames. */
export function signalScale(frames: SignalFrames, from: number, to: number): number {
  const sizes = signalDifference(frames, from, to).map((values) => values.map(size));
  return extent(sizes)?.[1] ?? 0;
}

function size(value: number | null): number | null {
  return value === null ? null : Math.abs(value);
}

function pixels(sheet: Sheet, frame: number, side: number): Uint8ClampedArray {
  const canvas = document.createElement("canvas");
  drawTile(canvas, sheet, frame, side);
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  return context?.getImageData(0, 0, width, height).data ?? new Uint8ClampedArray();
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
export function signalRange(frames: SignalFrames): Range {
  const known = signalRanges.get(frames);
  if (known) return known;
  const range = extent([...frames.values.flat(), ...(frames.destination ?? [])]) ?? [0, 1];
  signalRanges.set(frames, range);
  return range;
}

/** The range in which differences of a signal are drawn: that of the signal and of its change. */
export function differenceRange(frames: SignalFrames): Range {
  const [low, high] = signalRange(frames);
  const end = frames.destination ? frames.values.length : frames.values.length - 1;
  const size = Math.max(Math.abs(low), Math.abs(high), signalScale(frames, 0, end)) || 1;
  return [-size, size];
}

/** Frame `to` − frame `from` of a signal path, per channel. */
export function signalDifference(frames: SignalFrames, from: number, to: number): Values[] {
  const start = signalAt(frames, from);
  return drawnChannels(frames, to).map((channel, c) =>
    channel.map((value, i) => (value === null ? null : value - (start[c]?.[i] ?? NaN))),
  );
}
