/** One path as a row of small frames. A row fetches its path when it scrolls into view. */

import { html, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { FollowsCursor } from "../cursor/follows_cursor.ts";
import { ApiError } from "../data/api.ts";
import type { LoadedPath, PathStore } from "../data/path_store.ts";
import type { Sheet } from "../data/sheet.ts";
import { frameInColumn } from "../frames/columns.ts";
import { releaseTouchCapture } from "../frames/touch.ts";
import { sameKey } from "../view/view.ts";
import { drawRow } from "./canvas.ts";
import { type Cell, type RowContent, type RowShape, rowContent, rowShape } from "./content.ts";
import type { Row } from "./rows.ts";

@customElement("leaf-row")
export class LeafRow extends FollowsCursor {
  @property({ attribute: false }) row: Row | null = null;
  @property({ attribute: false }) store: PathStore | null = null;
  @property({ attribute: false }) isOpen = false;
  @property({ attribute: false }) onOpen: (row: Row) => void = () => {};
  /** Frames per row, the same in all rows, so that they are aligned. */
  @property({ attribute: false }) columns = 1;

  /** Null out of view, where nothing is drawn. */
  @state() private content: RowContent | null = null;
  @state() private shape: RowShape | null = null;
  @state() private error: string | null = null;
  private isVisible = false;
  private version = "";
  /** Counts requests: the result of an older one is ignored. */
  private request = 0;
  /** The images until they are drawn. */
  private sheet: Sheet | null = null;
  private drawnWidth = 0;
  private readonly visibility = new IntersectionObserver(
    (entries) => {
      const wasVisible = this.isVisible;
      this.isVisible = entries.at(-1)?.isIntersecting ?? false;
      if (this.isVisible && !wasVisible) void this.load();
      if (!this.isVisible) this.empty();
    },
    { rootMargin: "200px" },
  );
  private readonly resizes = new ResizeObserver(() => {
    if (this.content && !this.shape?.isSignal && this.clientWidth !== this.drawnWidth)
      void this.load();
  });

  override connectedCallback(): void {
    super.connectedCallback();
    this.visibility.observe(this);
    this.resizes.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.visibility.disconnect();
    this.resizes.disconnect();
    this.isVisible = false;
    this.empty();
  }

  protected override shouldUpdate(changed: PropertyValues): boolean {
    // A cursor move changes no property. Rows out of view need no update for it.
    return changed.size > 0 || this.isVisible;
  }

  protected override willUpdate(changed: PropertyValues): void {
    super.willUpdate(changed as PropertyValues<this>);
    const before = changed.get("row") as Row | null | undefined;
    const isOther = changed.has("row") && !sameKey(before?.key ?? null, this.row?.key ?? null);
    if (isOther) {
      this.empty();
      this.shape = null;
      this.error = null;
    }
    if (!this.isVisible || !this.row) return;
    const isOutdated = changed.has("row") && this.store?.version(this.row.key) !== this.version;
    if (isOther || isOutdated || changed.has("columns")) void this.load();
  }

  /** Fetch the path and draw it. Paths in the cache arrive before the browser paints. */
  private async load(): Promise<void> {
    const { row, store } = this;
    if (!row || !store) return;
    this.request += 1;
    const { request } = this;
    this.version = store.version(row.key);
    try {
      const loaded = await store.load(row.key);
      if (request === this.request) this.show(loaded);
      else loaded.sheet?.release();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (request === this.request) this.error = error.message;
    }
  }

  private show({ path, sheet }: LoadedPath): void {
    this.error = null;
    this.shape = rowShape(path);
    this.content = rowContent(path, this.columns);
    this.sheet?.release();
    this.sheet = sheet;
  }

  private empty(): void {
    this.request += 1;
    this.content = null;
    this.sheet?.release();
    this.sheet = null;
  }

  protected override updated(): void {
    const canvas = this.querySelector<HTMLCanvasElement>(".row-picture");
    if (!this.sheet || !this.content || !canvas) return;
    drawRow(canvas, [...this.querySelectorAll(".cell")], this.sheet, this.content.frames);
    this.drawnWidth = this.clientWidth;
    this.sheet.release();
    this.sheet = null;
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
              ${this.content ? this.frames(this.content) : this.cell(null)}
            </div>`
      }
    </div>`;
  }

  private frames({ cells }: RowContent): unknown {
    const current = this.currentColumn();
    return [
      cells.map(
        (cell, column) =>
          html`<div
            class="cell ${column === current ? "current" : ""}"
            data-testid="row-frame"
            title=${cell.title}
            @pointermove=${() => this.moveToColumn(column)}
          >
            ${this.space(cell)}
          </div>`,
      ),
      this.shape?.isSignal ? "" : html`<canvas class="row-picture"></canvas>`,
    ];
  }

  /** One empty cell gives a row its height. */
  private cell(cell: Cell | null): unknown {
    return html`<div class="cell">${this.space(cell)}</div>`;
  }

  private space(cell: Cell | null): unknown {
    if (cell?.lines) return cell.lines;
    if (this.shape?.isSignal) return html`<div class="tile signal"></div>`;
    const style = `aspect-ratio: ${this.shape?.aspectRatio ?? 1}`;
    return html`<div class="tile placeholder" style=${style}></div>`;
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

declare global {
  interface HTMLElementTagNameMap {
    "leaf-row": LeafRow;
  }
}
