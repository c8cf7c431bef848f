/** One frame of a path, or the difference between two frames: an image or a line plot. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { LoadedPath } from "../data/path_store.ts";
import type { Sheet } from "../data/sheet.ts";
import { divergingColours, maxAbsolute, paintDifference } from "./difference.ts";
import {
  aspectRatio,
  drawnChannels,
  drawTile,
  imageDifference,
  reduced,
  signalDifference,
  signalRange,
} from "./frames.ts";
import { signalLines } from "./signal_lines.ts";

@customElement("leaf-tile")
export class LeafTile extends LitElement {
  @property({ attribute: false }) loaded: LoadedPath | null = null;
  @property({ attribute: false }) frame = 0;
  /** If given, the tile shows `frame` − `since`. */
  @property({ attribute: false }) since: number | null = null;
  @property({ attribute: false }) dark = false;
  /** The largest side of the picture in pixels; larger images are reduced. */
  @property({ attribute: false }) side = 512;

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): unknown {
    const frames = this.loaded?.path.frames;
    if (!frames) return html`<div class="tile placeholder"></div>`;
    if (frames.type === "image") {
      return html`<canvas class="tile" style="aspect-ratio: ${aspectRatio(frames)}"></canvas>`;
    }
    if (this.since === null) {
      return signalLines(drawnChannels(frames, this.frame), signalRange(frames));
    }
    const [low, high] = signalRange(frames);
    const size = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return signalLines(signalDifference(frames, this.since, this.frame), [-size, size], true);
  }

  protected override updated(_: PropertyValues<this>): void {
    const canvas = this.querySelector("canvas");
    const { path, sheet } = this.loaded ?? {};
    if (!canvas || !sheet || path?.frames.type !== "image") return;
    if (this.since === null) {
      drawTile(canvas, sheet, this.frame, this.side);
      return;
    }
    const lastFrame = path.frame_steps.length;
    const end = path.frames.destination ? lastFrame : lastFrame - 1;
    const scale = differenceScale(sheet, end, this.side);
    const difference = imageDifference(sheet, this.since, this.frame, this.side);
    const { width, height } = reduced(sheet.tile, this.side);
    canvas.width = width;
    canvas.height = height;
    const image = new ImageData(width, height);
    image.data.set(paintDifference(difference, scale, divergingColours(this.dark)));
    canvas.getContext("2d")?.putImageData(image, 0, 0);
  }
}

const scales = new WeakMap<Sheet, number>();

/** All differences of a path share one scale, so that they can be compared. */
function differenceScale(sheet: Sheet, end: number, side: number): number {
  const known = scales.get(sheet);
  if (known !== undefined) return known;
  const scale = maxAbsolute(imageDifference(sheet, 0, end, side));
  scales.set(sheet, scale);
  return scale;
}

declare global {
  interface HTMLElementTagNameMap {
    "leaf-tile": LeafTile;
  }
}
