/** An element without shadow root that updates when its cursor moves. */

import { LitElement, type PropertyValues } from "lit";
import { property } from "lit/decorators.js";
import type { Cursor } from "./cursor.ts";

export class FollowsCursor extends LitElement {
  @property({ attribute: false }) cursor: Cursor | null = null;
  private unsubscribe = () => {};

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.follow();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.unsubscribe();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("cursor")) this.follow();
  }

  private follow(): void {
    this.unsubscribe();
    this.unsubscribe = this.cursor?.subscribe(() => this.requestUpdate()) ?? (() => {});
  }
}
