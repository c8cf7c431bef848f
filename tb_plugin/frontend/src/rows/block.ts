/** Several paths as aligned rows: over training, of one snapshot, or across runs. */

import { html, LitElement } from "lit";
import { customElement, property } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import type { Cursor } from "../cursor/cursor.ts";
import type { Run } from "../data/api.ts";
import type { PathStore } from "../data/path_store.ts";
import { ListLengths } from "../lists/more.ts";
import { type Opened, type RowsTab, sameKey } from "../view/view.ts";
import { type Row, rowsFor, tabDescription } from "./rows.ts";

const TABS: readonly [RowsTab, string][] = [
  ["training", "Over training"],
  ["pairs", "All pairs"],
  ["runs", "Compare runs"],
];
const MAX_COLUMNS = 13;
const ROW_STEP = 500;

@customElement("leaf-rows")
export class LeafRows extends LitElement {
  @property({ attribute: false }) opened: Opened | null = null;
  @property({ attribute: false }) drawn: readonly Run[] = [];
  @property({ attribute: false }) tab: RowsTab = "training";
  @property({ attribute: false }) cursor: Cursor | null = null;
  @property({ attribute: false }) store: PathStore | null = null;
  @property({ attribute: false }) onTab: (tab: RowsTab) => void = () => {};
  @property({ attribute: false }) onOpen: (row: Row) => void = () => {};

  private readonly lists = new ListLengths(ROW_STEP, () => this.requestUpdate());

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): unknown {
    const { opened } = this;
    if (!opened) return "";
    const rows = rowsFor(this.tab, opened, this.drawn);
    const frames = this.cursor?.frameSteps.length ?? MAX_COLUMNS;
    const columns = Math.min(Math.max(frames, 1), MAX_COLUMNS);
    return html`<section class="card rows" aria-label="Path comparison" data-testid="rows">
      <h2 class="visually-hidden">Path comparison</h2>
      <header>
        <div class="tabs" role="group" aria-label="Rows">
          ${TABS.map(
            ([tab, name]) =>
              html`<button
                type="button"
                data-testid="tab-${tab}"
                aria-pressed=${tab === this.tab}
                @click=${() => this.onTab(tab)}
              >
                ${name}
              </button>`,
          )}
        </div>
        <p class="secondary">${tabDescription(this.tab)}</p>
      </header>
      ${repeat(
        this.lists.first("rows", rows),
        ({ key }) => JSON.stringify(key),
        (row) =>
          html`<leaf-row
            .row=${row}
            .store=${this.store}
            .cursor=${this.cursor}
            .columns=${columns}
            .isOpen=${sameKey(row.key, opened.key)}
            .onOpen=${this.onOpen}
          ></leaf-row>`,
      )}
      ${this.lists.more("rows", rows.length)}
    </section>`;
  }
}
