/** Legend of the probability chart: name, colour and value at the cursor. A click hides a curve. */

import { html } from "lit";
import { customElement, property } from "lit/decorators.js";
import { FollowsCursor } from "../cursor/follows_cursor.ts";
import type { Path } from "../data/api.ts";
import { formatCount, formatProbability, formatValue } from "../text/numbers.ts";
import { type ClassCurve, type ClassCurves, valuesAt } from "./curves.ts";

@customElement("leaf-legend")
export class LeafLegend extends FollowsCursor {
  @property({ attribute: false }) path: Path | null = null;
  @property({ attribute: false }) classes: ClassCurves | null = null;
  @property({ attribute: false }) noun: "class" | "label" = "class";
  @property({ attribute: false }) hiddenNames: readonly string[] = [];
  @property({ attribute: false }) onToggle: (name: string) => void = () => {};

  protected override render(): unknown {
    if (!this.path || !this.cursor || !this.classes) return "";
    const { curves, omitted, omittedPeak } = this.classes;
    const hidden = new Set(this.hiddenNames);
    const { probabilities } = valuesAt(this.path, this.cursor.step);
    const names = this.noun === "class" ? "Classes" : "Labels";
    return html`<div class="legend" role="group" aria-label="${names} shown">
      ${curves.map(
        (curve) =>
          html`<button
            type="button"
            class="legend-entry ${curve.isFaint ? "faint" : ""}"
            data-testid="legend-entry"
            data-class=${curve.name}
            aria-pressed=${!hidden.has(curve.name)}
            title="Show or hide ${curve.name}"
            @click=${() => this.onToggle(curve.name)}
          >
            <span class="swatch" style=${swatchStyle(curve)}></span>
            <span class="name">${curve.name}</span>
            <span class="value">${formatProbability(probabilities[curve.position])}</span>
          </button>`,
      )}
      ${
        omitted > 0
          ? html`<p class="secondary" data-testid="classes-omitted">
              … and ${formatCount(omitted)} ${names.toLowerCase()} of at most
              ${formatValue(omittedPeak)}
            </p>`
          : ""
      }
    </div>`;
  }
}

function swatchStyle({ look: { colour, dash } }: ClassCurve): string {
  const [line = 1, gap = 0] = dash;
  return `background: repeating-linear-gradient(90deg, ${colour} 0 ${line}px,
    transparent ${line}px ${line + gap}px)`;
}
