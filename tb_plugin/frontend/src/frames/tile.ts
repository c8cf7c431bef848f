/** One frame of a path, or the difference between two frames: an image or a line plot. */

import { html, LitElement, type PropertyValues, svg } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Values } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import type { Range } from "../numeric/range.ts";
import { channelColour } from "../theme/palette.ts";
import { divergingColours, maxAbsolute, paintDifference } from "./difference.ts";
import {
  drawnChannels,
  drawTile,
  imageDifference,
  signalDifference,
  signalRange,
} from "./frames.ts";
import { signalHeight, signalPath } from "./signal_line.ts";

@customElement("leaf-tile")
export class LeafTile extends LitElement {
  @property({ attribute: false }) loaded: LoadedPath | null = null;
  @property({ attribute: false }) frame = 0;
  /** If given, the tile shows `frame` − `since`. */
  @property({ attribute: false }) since: number | null = null;
  @property({ attribute: false }) dark = false;

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): unknown {
    const frames = this.loaded?.path.frames;
    if (!frames) return html`<div class="tile placeholder"></div>`;
    if (frames.type === "image") {
      return html`<canvas class="tile" style="aspect-ratio: ${frames.width} / ${frames.height}">
      </canvas>`;
    }
    if (this.since === null) {
      return this.lines(drawnChannels(frames, this.frame), signalRange(frames));
    }
    const difference = signalDifference(frames, this.since, this.frame);
    const [low, high] = signalRange(frames);
    const size = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return this.lines(difference, [-size, size]);
  }

  protected override updated(_: PropertyValues<this>): void {
    const canvas = this.querySelector("canvas");
    const frames = this.loaded?.path.frames;
    const sheet = this.loaded?.sheet;
    if (!canvas || !sheet || frames?.type !== "image") return;
    if (this.since === null) {
      drawTile(canvas, frames, sheet, this.frame);
      return;
    }
    // All differences of a path share one scale, so that they can be compared.
    const lastFrame = this.loaded?.path.frame_steps.length ?? 1;
    const end = frames.destination ? lastFrame : lastFrame - 1;
    const scale = maxAbsolute(imageDifference(frames, sheet, 0, end));
    const difference = imageDifference(frames, sheet, this.since, this.frame);
    canvas.width = frames.width;
    canvas.height = frames.height;
    const image = new ImageData(frames.width, frames.height);
    image.data.set(paintDifference(difference, scale, divergingColours(this.dark)));
    canvas.getContext("2d")?.putImageData(image, 0, 0);
  }

  private lines(channels: Values[], range: Range): unknown {
    const zero = signalHeight(0, range);
    return html`<svg class="tile signal" viewBox="0 0 100 100" preserveAspectRatio="none">
      ${this.since === null ? "" : svg`<line x1="2" x2="98" y1=${zero} y2=${zero} class="zero" />`}
      ${channels.map((values, i) => {
        const style = `stroke: ${channelColour(i, "var(--accent)")}`;
        return svg`<path d=${signalPath(values, range)} style=${style} />`;
      })}
    </svg>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "leaf-tile": LeafTile;
  }
}
