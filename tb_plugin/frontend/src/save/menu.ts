/** A menu of files to save. */

import { html, LitElement } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { download, type SavedFile } from "./files.ts";

const ICON = html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
  <path d="M8 2v8M4.5 6.8 8 10.2l3.5-3.4M3 13.5h10" />
</svg>`;

@customElement("leaf-save-menu")
export class LeafSaveMenu extends LitElement {
  /** Names the object whose files are saved. */
  @property({ attribute: false }) subject = "";
  /** Shown beside the icon. */
  @property({ attribute: false }) text = "";
  @property({ attribute: false }) files: readonly SavedFile[] = [];

  @state() private isOpen = false;
  @state() private status = "";

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): unknown {
    return html`<div class="save" @focusout=${this.leave} @keydown=${this.press}>
      <button
        type="button"
        class=${this.text ? "" : "small icon-button"}
        data-testid="save"
        aria-haspopup="menu"
        aria-expanded=${this.isOpen}
        aria-label="Save ${this.subject}"
        title="Save"
        ?disabled=${this.files.length === 0}
        @click=${() => this.toggle()}
      >
        ${ICON} ${this.text}
      </button>
      ${this.isOpen ? this.menu() : ""}
      <span role="status" class=${this.status ? "popup" : "visually-hidden"} data-testid="save-status">
        ${this.status}
      </span>
    </div>`;
  }

  private menu(): unknown {
    // Without this, some browsers move the focus out of the menu before the click.
    return html`<div
      role="menu"
      class="menu"
      aria-label="Save ${this.subject}"
      @mousedown=${(event: Event) => event.preventDefault()}
    >
      ${this.files.map(
        (file) =>
          html`<button
            type="button"
            role="menuitem"
            tabindex="-1"
            title=${file.name}
            @click=${() => this.save(file)}
          >
            ${file.label}
          </button>`,
      )}
    </div>`;
  }

  private async save(file: SavedFile): Promise<void> {
    this.close();
    this.status = `Saving ${file.label}…`;
    // Drawing takes time: show the status first.
    await new Promise((resolve) => setTimeout(resolve, 30));
    try {
      await download(file);
      this.status = "";
    } catch (error) {
      this.status = `${file.label} was not saved. ${error instanceof Error ? error.message : ""}`;
    }
  }

  private toggle(): void {
    this.status = "";
    this.isOpen = !this.isOpen;
    if (this.isOpen) void this.updateComplete.then(() => this.items()[0]?.focus());
  }

  private close(): void {
    this.querySelector<HTMLElement>("[data-testid=save]")?.focus();
    this.isOpen = false;
  }

  private items(): HTMLElement[] {
    return [...this.querySelectorAll<HTMLElement>("[role=menuitem]")];
  }

  private leave(event: FocusEvent): void {
    if (!this.contains(event.relatedTarget as Node | null)) this.isOpen = false;
  }

  private press(event: KeyboardEvent): void {
    if (!this.isOpen) return;
    const items = this.items();
    const at = items.indexOf(document.activeElement as HTMLElement);
    const moves = new Map([
      ["ArrowDown", at + 1],
      ["ArrowUp", at - 1],
      ["Home", 0],
      ["End", items.length - 1],
    ]);
    const move = moves.get(event.key);
    if (event.key === "Escape") this.close();
    else if (move !== undefined) items.at(move % items.length)?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
