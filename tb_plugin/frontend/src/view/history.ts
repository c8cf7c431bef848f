/** Records views in the history of the browser. */

import { onHistoryNavigation, readFragment, writeFragment } from "../host/location.ts";
import { fromFragment, toFragment } from "./fragment.ts";
import type { View } from "./view.ts";

// Browsers reject frequent changes of the URL.
const DELAY_MS = 200;

/** Changes of these fields add a history entry; other changes replace the current entry. */
const ENTRY_FIELDS: readonly (keyof View)[] = ["open", "rows", "pathSteps", "trainingSteps"];

export class ViewHistory {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isNewEntry = false;

  /**
   * @param current Returns the current view.
   * @param restore Called with the restored view after the browser has gone back or forward.
   */
  constructor(
    private readonly current: () => View,
    restore: (view: View) => void,
  ) {
    onHistoryNavigation(() => {
      clearTimeout(this.timer);
      this.isNewEntry = false;
      restore(fromFragment(readFragment()));
    });
  }

  /** Write the view to the URL after a short delay. */
  record(change: Partial<View> = {}): void {
    this.isNewEntry ||= ENTRY_FIELDS.some((name) => name in change);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const fragment = toFragment(this.current());
      writeFragment(fragment, this.isNewEntry && fragment !== readFragment());
      this.isNewEntry = false;
    }, DELAY_MS);
  }
}
