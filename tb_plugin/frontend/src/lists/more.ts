/** Long lists are shown in steps, so that the page stays small and fast for any log directory. */

import { html } from "lit";
import { formatCount } from "../text/numbers.ts";

/** How many items of each list are shown, by the name of the list. */
export class ListLengths {
  private readonly lengths = new Map<string, number>();

  /** @param changed Called when more items are to be shown. */
  constructor(
    private readonly step: number,
    private readonly changed: () => void,
  ) {}

  /** The items to show of a list. */
  first<T>(list: string, items: readonly T[]): readonly T[] {
    return items.slice(0, this.lengths.get(list) ?? this.step);
  }

  /** A sentence and a button below a list that is not complete. */
  more(list: string, total: number): unknown {
    const shown = this.lengths.get(list) ?? this.step;
    if (shown >= total) return "";
    return html`<p class="more secondary" data-testid="more-${list}">
      ${formatCount(shown)} of ${formatCount(total)} ${list} are listed.
      <button type="button" class="small" @click=${() => this.extend(list, shown)}>
        Show more ${list}
      </button>
    </p>`;
  }

  private extend(list: string, shown: number): void {
    this.lengths.set(list, shown + this.step);
    this.changed();
  }
}
