/** Copies a link, or shows it if the browser does not allow copying. */

import { html, LitElement } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { copyText } from "./clipboard.ts";

const ICON = html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
  <path d="M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.4-2.4a2.6 2.6 0 0 0-3.7-3.7L8.4 3.9" />
  <path d="M9.2 6.8a2.6 2.6 0 0 0-3.7 0L3.1 9.2a2.6 2.6 0 0 0 3.7 3.7l.8-.8" />
</svg>`;
const STATUS_MS = 2000;

@customElement("leaf-copy-link")
export class LeafCopyLink extends LitElement {
  @property({ attribute: false }) link: () => string = () => "";
  @state() private isCopied = false;
  @state() private shown = "";

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): unknown {
    return html`<button
        type="button"
        data-testid="copy-link"
        title="Copy a link to this view"
        @click=${this.press}
      >
        <span aria-hidden="true">${this.isCopied ? "copied ✓" : html`${ICON} link`}</span>
        <span class="visually-hidden">${this.isCopied ? "" : "Copy a link to this view"}</span>
        <span class="visually-hidden" role="status">${this.isCopied ? "Link copied" : ""}</span>
      </button>
      ${
        this.shown
          ? html`<label class="popup" data-testid="copy-manually">
              The browser does not allow copying here. Press Ctrl+C or ⌘C:
              <input
                readonly
                class="link"
                data-testid="link"
                .value=${this.shown}
                @focus=${(event: Event) => (event.target as HTMLInputElement).select()}
                @blur=${() => (this.shown = "")}
                @keydown=${this.leave}
              />
            </label>`
          : ""
      }`;
  }

  private leave(event: KeyboardEvent): void {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    this.querySelector("button")?.focus();
  }

  private async press(): Promise<void> {
    const link = this.link();
    this.isCopied = copyText(link);
    this.shown = this.isCopied ? "" : link;
    await this.updateComplete;
    if (this.isCopied) setTimeout(() => (this.isCopied = false), STATUS_MS);
    else this.querySelector("input")?.focus();
  }
}
