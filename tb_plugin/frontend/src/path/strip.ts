/** The frames of the shown range of a path side by side, each with its label and probability. */

import { html, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { FollowsCursor } from "../cursor/follows_cursor.ts";
import type { Path } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { releaseTouchCapture } from "../frames/touch.ts";
import { frameProbability, predictionText } from "../text/labels.ts";
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
    if (changed.has("loaded") || changed.has("cursor")) this.fit();
  }

  /** Break the frames into as few lines as possible, of about equal length. */
  private fit(): void {
    const [first, last] = this.cursor?.frames ?? [0, 0];
    const labels = this.loaded?.path.frame_labels.slice(first, last + 1) ?? [];
    const count = Math.max(labels.length, 1);
    const longest = Math.max(0, ...labels.map((label) => label.length));
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
    const [first, last] = cursor.frames;
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
      ${path.frame_steps.map((step, frame) =>
        first <= frame && frame <= last ? this.frame(path, step, frame) : "",
      )}
    </div>`;
  }

  private frame(path: Path, step: number, frame: number): unknown {
    const isCurrent = frame === this.cursor?.frame;
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
    this.cursor.moveToFrame(this.cursor.frame + move);
    void this.updateComplete.then(() => this.querySelector<HTMLElement>(".current")?.focus());
  }
}
