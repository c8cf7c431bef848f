/** One frame of a path, or the difference between two frames: an image or a line plot. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { LoadedPath } from "../data/path_store.ts";
import {
  aspectRatio,
  differenceRange,
  drawDifference,
  drawnChannels,
  drawTile,
  LARGEST_SIDE,
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
  @property({ attribute: false }) side = LARGEST_SIDE;

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
    const lines = signalDifference(frames, this.since, this.frame);
    return signalLines(lines, differenceRange(frames), true);
  }

  protected override updated(_: PropertyValues<this>): void {
    const canvas = this.querySelector("canvas");
    if (!canvas || !this.loaded?.sheet) return;
    if (this.since === null) {
      drawTile(canvas, this.loaded.sheet, this.frame, this.side);
      return;
    }
    drawDifference(canvas, this.loaded, this.since, this.frame, this.side, this.dark);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "leaf-tile": LeafTile;
  }
}
