/** The card around a chart: what it shows, what can be done with it, the chart, its legend. */

import { html } from "lit";

export interface ChartCard {
  id: string;
  title: string;
  subtitle: string;
  /** For those who cannot see the chart. */
  description: string;
  actions: unknown;
  /** The chart, and what is below it. */
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

/** Leads back from a zoomed chart; nothing if it is not. */
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
    title="Double-click, 0 or Escape do the same"
    @click=${() => onZoom(null)}
  >
    ${name}
  </button>`;
}
