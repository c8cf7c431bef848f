/** The views that a person has been to, as steps of the browser's history. */

import { onHistoryNavigation, readFragment, writeFragment } from "../host/location.ts";
import { fromFragment, toFragment } from "./fragment.ts";
import type { View } from "./view.ts";

// Browsers refuse more than a few changes of the address in a second.
const PAUSE_MS = 200;

/** What another view is; all else changes how the same one is looked at. */
const STEPS: readonly (keyof View)[] = ["open", "rows", "pathSteps", "trainingSteps"];

export class ViewHistory {
  private pause: ReturnType<typeof setTimeout> | undefined;
  private isStep = false;

  /**
   * @param current What is shown now.
   * @param revisit Called with the view to which the browser has gone back or forth.
   */
  constructor(
    private readonly current: () => View,
    revisit: (view: View) => void,
  ) {
    onHistoryNavigation(() => {
      clearTimeout(this.pause);
      this.isStep = false;
      revisit(fromFragment(readFragment()));
    });
  }

  /** Something of the view has changed, and will be in the address soon. */
  note(change: Partial<View> = {}): void {
    this.isStep ||= STEPS.some((name) => name in change);
    clearTimeout(this.pause);
    this.pause = setTimeout(() => {
      const fragment = toFragment(this.current());
      writeFragment(fragment, this.isStep && fragment !== readFragment());
      this.isStep = false;
    }, PAUSE_MS);
  }
}
