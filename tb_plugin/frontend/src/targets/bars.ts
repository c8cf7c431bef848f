/** One bar for each target: the size of the change after which the model first predicts it. */

import { html } from "lit";
import type { Likelihood, PathKey } from "../data/api.ts";
import { statusText } from "../text/labels.ts";
import { formatValue } from "../text/numbers.ts";
import { judgement, shortReason } from "../text/verdict.ts";
import { type Opened, sameKey } from "../view/view.ts";
import { switchChange, type Target } from "./targets.ts";

/** The largest change of all targets, the length of a bar of full width. */
export function longest(targets: readonly Target[]): number {
  return targets.reduce((most, target) => Math.max(most, size(target) ?? 0), 0);
}

/** The change that switches the prediction, or else that of the whole path. */
function size({ path }: Target): number | null {
  return switchChange(path) ?? path.change;
}

/** The length of a bar, from 0 to 1. */
export function share(target: Target, largest: number): number {
  return largest > 0 ? Math.max(size(target) ?? 0, 0) / largest : 0;
}

/** The size of the change, and what is to be known of it: "4.21 · blocked: valid range". */
export function barText(target: Target, likelihood: Likelihood): string {
  const { path } = target;
  const isDoubted = judgement(path, likelihood)?.tone === "partial";
  const doubt = isDoubted ? `another network: ${path.judged}` : "";
  return [formatValue(size(target)), shortReason(path), doubt].filter(Boolean).join(" · ");
}

export function bar(
  target: Target,
  largest: number,
  { key: open, snapshot }: Opened,
  onOpen: (key: PathKey) => void,
): unknown {
  const { key, path } = target;
  const switches = switchChange(path) !== null;
  return html`<li>
    <button
      type="button"
      class="bar-row"
      data-testid="target"
      data-target=${path.destination}
      aria-current=${sameKey(key, open)}
      title=${statusText("prediction", path)}
      @click=${() => onOpen(key)}
    >
      <span class="name">${path.destination}</span>
      <span class="bar" aria-hidden="true">
        <span
          class=${switches ? "arrived" : "stopped"}
          style="width: ${100 * share(target, largest)}%"
        ></span>
      </span>
      <span class="value">${barText(target, snapshot.likelihood)}</span>
    </button>
  </li>`;
}
