/** The frames of the shown range of a path side by side, each with its label and probability. */

import { html, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { shownFrames } from "../cursor/cursor.ts";
import { FollowsCursor } from "../cursor/follows_cursor.ts";
import type { Path } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { releaseTouchCapture } from "../frames/touch.ts";
import { nearest } from "../numeric/nearest.ts";
import { frameProbability, framesText, predictionText } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";

/** Sharp on screens with twice the pixels. */
const TILE_PIXELS = 192;
const MIN_PIXELS = 50;
const MAX_PIXELS = 88;
const LETTER_PIXELS = 6.2;
const GAP_PIXELS = 4;

@customElement("leaf-strip")
export class LeafStrip extends FollowsCursor {
  @property({ attribute: false }) loaded: LoadedPath | null = null;
  @state() private columns = 1;
  /** The frames that are shown. */
  private frames: readonly number[] = [];
  private readonly resizes = new ResizeObserver(() => this.fit());

  override connectedCallback(): void {
    super.connectedCallback();
    this.resizes.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.resizes.disconnect();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (!changed.has("loaded") && !changed.has("cursor")) return;
    this.frames = this.cursor ? shownFrames(this.cursor) : [];
    this.fit();
  }

  /** Break the frames into as few lines as possible, of about equal length. */
  private fit(): void {
    const labels = this.loaded?.path.frame_labels ?? [];
    const count = Math.max(this.frames.length, 1);
    const longest = this.frames.reduce(
      (letters, frame) => Math.max(letters, labels[frame]?.length ?? 0),
      0,
    );
    const labelWidth = LETTER_PIXELS * (longest + " 0.00".length);
    const minWidth = Math.min(Math.max(labelWidth, MIN_PIXELS), MAX_PIXELS);
    const maxColumns = Math.floor((this.clientWidth + GAP_PIXELS) / (minWidth + GAP_PIXELS));
    const lines = Math.ceil(count / Math.max(1, maxColumns));
    this.columns = Math.ceil(count / lines);
  }

  protected override render(): unknown {
    const { cursor } = this;
    const path = this.loaded?.path;
    if (!path || !cursor) return "";
    const omitted = framesText(this.frames.length, cursor.frames);
    const current = this.frames[nearest(this.frames, cursor.frame)];
    return html`<div
      class="strip"
      data-testid="strip"
      role="listbox"
      aria-label="Frames of the path"
      aria-orientation="horizontal"
      style="--columns: ${this.columns}"
      @keydown=${this.press}
      @pointerdown=${releaseTouchCapture}
    >
      ${this.frames.map((frame) => this.frame(path, frame, frame === current))}
    </div>
    ${
      omitted
        ? html`<p class="secondary note" data-testid="frames-omitted">
            ${omitted} are shown. Zoom into a chart to see the frames between them.
          </p>`
        : ""
    }`;
  }

  private frame(path: Path, frame: number, isCurrent: boolean): unknown {
    const step = path.frame_steps[frame] ?? 0;
    const label = path.frame_labels[frame] ?? "";
    const text = `step ${formatCount(step)}: ${predictionText(path, frame)}`;
    return html`<div
      class="frame ${isCurrent ? "current" : ""}"
      data-testid="frame"
      data-step=${step}
      data-label=${label}
      role="option"
      aria-selected=${isCurrent}
      aria-label=${text}
      title=${text}
      tabindex=${isCurrent ? 0 : -1}
      @pointermove=${() => this.cursor?.moveTo(step)}
      @pointerdown=${() => this.cursor?.moveTo(step)}
    >
      <leaf-tile .loaded=${this.loaded} .frame=${frame} .side=${TILE_PIXELS}></leaf-tile>
      <div class="frame-label" data-testid="frame-label">
        <span class="name">${label}</span> ${frameProbability(path, frame)}
      </div>
    </div>`;
  }

  private press(event: KeyboardEvent): void {
    const moves = new Map([
      ["ArrowLeft", -1],
      ["ArrowRight", 1],
      ["ArrowUp", -this.columns],
      ["ArrowDown", this.columns],
      ["Home", -Infinity],
      ["End", Infinity],
    ]);
    const move = moves.get(event.key);
    if (move === undefined || !this.cursor) return;
    event.preventDefault();
    const last = this.frames.length - 1;
    const next = nearest(this.frames, this.cursor.frame) + move;
    this.cursor.moveToFrame(this.frames[Math.min(Math.max(next, 0), last)] ?? 0);
    void this.updateComplete.then(() => this.querySelector<HTMLElement>(".current")?.focus());
  }
}
