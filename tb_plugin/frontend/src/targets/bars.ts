/** One bar for each target: the size of the change that leads to it. */

import { html } from "lit";
import type { Likelihood, PathKey } from "../data/api.ts";
import { statusText } from "../text/labels.ts";
import { formatValue } from "../text/numbers.ts";
import { judgement, shortReason } from "../text/verdict.ts";
import { type Opened, sameKey } from "../view/view.ts";
import type { Target } from "./targets.ts";

/** The largest change of all targets, the length of a bar of full width. */
export function longest(targets: readonly Target[]): number {
  return targets.reduce((most, { path }) => Math.max(most, path.change ?? 0), 0);
}

/** The length of a bar, from 0 to 1. */
export function share({ path }: Target, largest: number): number {
  return largest > 0 ? Math.max(path.change ?? 0, 0) / largest : 0;
}

/** The size of the change, and what is to be known of it: "4.21 · blocked: valid range". */
export function barText({ path }: Target, likelihood: Likelihood): string {
  const isDoubted = judgement(path, likelihood)?.tone === "partial";
  const doubt = isDoubted ? `another network: ${path.judged}` : "";
  return [formatValue(path.change), shortReason(path), doubt].filter(Boolean).join(" · ");
}

export function bar(
  target: Target,
  largest: number,
  { key: open, snapshot }: Opened,
  onOpen: (key: PathKey) => void,
): unknown {
  const { key, path } = target;
  const isReached = path.status === "reached";
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
          class=${isReached ? "arrived" : "stopped"}
          style="width: ${100 * share(target, largest)}%"
        ></span>
      </span>
      <span class="value">${barText(target, snapshot.likelihood)}</span>
    </button>
  </li>`;
}
