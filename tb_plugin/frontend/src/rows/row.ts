/** One path as a row of small frames. A row fetches its path when it scrolls into view. */

import { html, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { FollowsCursor } from "../cursor/follows_cursor.ts";
import { ApiError } from "../data/api.ts";
import type { LoadedPath, PathStore } from "../data/path_store.ts";
import { frameInColumn } from "../frames/columns.ts";
import { releaseTouchCapture } from "../frames/touch.ts";
import { predictionText } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import { sameKey } from "../view/view.ts";
import { drawRow } from "./canvas.ts";
import type { Row } from "./rows.ts";

@customElement("leaf-row")
export class LeafRow extends FollowsCursor {
  @property({ attribute: false }) row: Row | null = null;
  @property({ attribute: false }) store: PathStore | null = null;
  @property({ attribute: false }) isOpen = false;
  @property({ attribute: false }) onOpen: (row: Row) => void = () => {};
  /** Frames per row, the same in all rows, so that they are aligned. */
  @property({ attribute: false }) columns = 1;

  @state() private loaded: LoadedPath | null = null;
  @state() private error: string | null = null;
  @state() private isVisible = false;
  private readonly visibility = new IntersectionObserver(
    (entries) => {
      this.isVisible = entries.at(-1)?.isIntersecting ?? false;
      if (this.isVisible) void this.load();
    },
    { rootMargin: "200px" },
  );
  private readonly resizes = new ResizeObserver(() => this.draw());

  override connectedCallback(): void {
    super.connectedCallback();
    this.visibility.observe(this);
    this.resizes.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.visibility.disconnect();
    this.resizes.disconnect();
  }

  protected override shouldUpdate(changed: PropertyValues): boolean {
    // A cursor move changes no property. Rows out of view need no update for it.
    return changed.size > 0 || this.isVisible;
  }

  protected override willUpdate(changed: PropertyValues): void {
    super.willUpdate(changed as PropertyValues<this>);
    const before = changed.get("row") as Row | null | undefined;
    if (!changed.has("row") || sameKey(before?.key ?? null, this.row?.key ?? null)) return;
    this.loaded = this.row ? (this.store?.peek(this.row.key) ?? null) : null;
    this.error = null;
    if (this.isVisible) void this.load();
  }

  private async load(): Promise<void> {
    const { row, store } = this;
    if (!row || !store || this.loaded) return;
    try {
      const loaded = await store.load(row.key);
      if (sameKey(row.key, this.row?.key ?? null)) this.loaded = loaded;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (sameKey(row.key, this.row?.key ?? null)) this.error = error.message;
    }
  }

  protected override render(): unknown {
    const { row } = this;
    if (!row) return "";
    return html`<div
      class="row ${this.isOpen ? "open" : ""}"
      data-testid="row"
      data-run=${row.key.run}
      data-tag=${row.key.tag}
      data-index=${row.key.index}
    >
      <button
        type="button"
        class="row-title"
        aria-current=${this.isOpen}
        aria-label="Open ${row.title}, ${row.note}"
        @click=${() => this.onOpen(row)}
      >
        <span class="title">${row.title}</span>
        <span class="secondary">${row.note}</span>
      </button>
      ${
        this.error
          ? html`<p class="secondary">${this.error}</p>`
          : html`<div
              class="row-frames"
              style="--columns: ${this.columns}"
              @click=${() => this.onOpen(row)}
              @pointerdown=${releaseTouchCapture}
            >
              ${this.frames()}
            </div>`
      }
    </div>`;
  }

  protected override updated(changed: PropertyValues): void {
    if (["loaded", "isVisible", "columns"].some((name) => changed.has(name))) this.draw();
  }

  private draw(): void {
    const canvas = this.querySelector<HTMLCanvasElement>(".row-picture");
    if (canvas && this.loaded) drawRow(canvas, [...this.querySelectorAll(".cell")], this.loaded);
  }

  private frames(): unknown {
    const { columns } = this;
    const { frames } = this.loaded?.path ?? {};
    // Frames out of view are not drawn, but keep their size.
    const shown = this.isVisible ? this.loaded : null;
    const hasPicture = shown !== null && frames?.type === "image";
    const space =
      frames?.type === "signal"
        ? html`<div class="tile signal"></div>`
        : html`<div
            class="tile placeholder"
            style="aspect-ratio: ${frames ? frames.width / frames.height : 1}"
          ></div>`;
    const current = this.currentColumn();
    const cells = Array.from({ length: columns }, (_, column) => {
      if (!shown) return html`<div class="cell">${space}</div>`;
      const { path } = shown;
      const frame = frameInColumn(column, columns, path.frame_steps.length);
      const step = formatCount(path.frame_steps[frame] ?? 0);
      return html`<div
        class="cell ${column === current ? "current" : ""}"
        data-testid="row-frame"
        title="step ${step}: ${predictionText(path, frame)}"
        @pointermove=${() => this.moveToColumn(column)}
      >
        ${hasPicture ? space : html`<leaf-tile .loaded=${shown} .frame=${frame}></leaf-tile>`}
      </div>`;
    });
    return [cells, hasPicture ? html`<canvas class="row-picture"></canvas>` : ""];
  }

  private currentColumn(): number {
    const frames = this.cursor?.frameSteps.length ?? 1;
    return frameInColumn(this.cursor?.frame ?? 0, frames, this.columns);
  }

  private moveToColumn(column: number): void {
    if (column === this.currentColumn() || !this.cursor) return;
    this.cursor.moveToFrame(frameInColumn(column, this.columns, this.cursor.frameSteps.length));
  }
}
