/** The card around a chart: title, actions, chart and legend. */

import { html } from "lit";

export interface ChartCard {
  id: string;
  title: string;
  subtitle: string;
  /** A description for screen readers. */
  description: string;
  actions: unknown;
  /** The chart and its legend. */
  content: unknown;
}

export function chartCard(card: ChartCard): unknown {
  return html`<figure class="card" data-testid=${card.id} aria-label=${card.description}>
    <div class="chart-header">
      <h3>${card.title} <span class="secondary">${card.subtitle}</span></h3>
      <div class="actions">${card.actions}</div>
    </div>
    ${card.content}
  </figure>`;
}

/** A button that resets the zoom, if the chart is zoomed. */
export function unzoomButton(
  isZoomed: boolean,
  name: string,
  onZoom: (steps: null) => void,
): unknown {
  if (!isZoomed) return "";
  return html`<button
    type="button"
    class="small"
    data-testid="unzoom"
    title="Reset the zoom (double-click, 0 or Escape)"
    @click=${() => onZoom(null)}
  >
    ${name}
  </button>`;
}
