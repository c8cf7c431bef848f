/** The colours of a difference between two images, with their values. */

import { html } from "lit";
import { formatValue } from "../text/numbers.ts";

/** @param scale The difference with the strongest colours, in units of 1/255. */
export function colourBar(scale: number): unknown {
  const largest = formatValue(scale / 255, 2);
  return html`<span class="colour-bar" data-testid="colour-bar">
    <span class="colours" aria-hidden="true"></span>
    <span>darker by ${largest}</span>
    <span>brighter by ${largest}</span>
  </span>`;
}
