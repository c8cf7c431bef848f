/** The channels of a signal as lines. */

import { html, svg, type TemplateResult } from "lit";
import type { Values } from "../data/api.ts";
import type { Range } from "../numeric/range.ts";
import { channelColour } from "../theme/palette.ts";
import { signalHeight, signalPath } from "./signal_line.ts";

/** @param showsZero Whether a horizontal line is at zero. */
export function signalLines(
  channels: readonly Values[],
  range: Range,
  showsZero = false,
): TemplateResult {
  const zero = signalHeight(0, range);
  return html`<svg class="tile signal" viewBox="0 0 100 100" preserveAspectRatio="none">
    ${showsZero ? svg`<line x1="2" x2="98" y1=${zero} y2=${zero} class="zero" />` : ""}
    ${channels.map((values, i) => {
      const style = `stroke: ${channelColour(i, "var(--accent)")}`;
      return svg`<path d=${signalPath(values, range)} style=${style} />`;
    })}
  </svg>`;
}
