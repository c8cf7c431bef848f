/** A chart that fills its width, with a cursor, markers and a tooltip on top. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, property } from "lit/decorators.js";
import uPlot from "uplot";
import type { Cursor } from "../cursor/cursor.ts";
import type { Range } from "../numeric/range.ts";
import { clipZoom } from "../numeric/step_range.ts";
import { cssColours } from "../theme/colours.ts";
import { chartData } from "./data.ts";
import { chartOptions } from "./options.ts";
import { cursorLine, markerButtons, tooltip } from "./overlay.ts";
import { type ChartSpec, type Marker, wholeRange } from "./spec.ts";
import { selectByDrag, zoomByKey } from "./zoom.ts";

@customElement("leaf-chart")
export class LeafChart extends LitElement {
  @property({ attribute: false }) spec: ChartSpec | null = null;
  @property({ attribute: false }) height = 200;
  @property({ attribute: false }) dark = false;
  /** Shown as a vertical line. Hovering the chart moves it. */
  @property({ attribute: false }) cursor: Cursor | null = null;
  @property({ attribute: false }) markers: Marker[] = [];
  /** Whether markers are focusable and named; false on charts that repeat them. */
  @property({ attribute: false }) namesMarkers = false;
  @property({ attribute: false }) onMarker: (marker: Marker) => void = () => {};
  @property({ attribute: false }) hasTooltip = false;
  /** The steps that are shown; null for all. */
  @property({ attribute: false }) steps: Range | null = null;
  @property({ attribute: false }) onZoom: (steps: Range | null) => void = () => {};

  private chart: uPlot | null = null;
  private line: HTMLElement | null = null;
  private unsubscribe = () => {};
  private cancelDrag = () => false;
  private readonly resizes = new ResizeObserver(() => this.fit());

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.resizes.observe(this);
    if (this.hasUpdated) this.draw();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.resizes.disconnect();
    this.clear();
  }

  protected override render(): unknown {
    return html`<div
      class="plot"
      style="height: ${this.height}px"
      tabindex="0"
      role="group"
      aria-label="Curves. Press plus or minus to zoom, 0 to show all steps."
      @keydown=${this.press}
      @dblclick=${this.reset}
    ></div>`;
  }

  protected override updated(changed: PropertyValues<this>): void {
    const redrawn = ["spec", "dark", "height", "steps"] as const;
    if (redrawn.some((name) => changed.has(name))) this.draw();
    else if (changed.has("cursor")) this.followCursor();
    if (changed.has("markers")) this.drawMarkers();
  }

  private draw(): void {
    this.clear();
    const parent = this.querySelector<HTMLElement>(".plot");
    const width = parent?.clientWidth ?? 0;
    if (!parent || !this.spec || width === 0) return;
    const size = { width, height: this.height };
    const options = chartOptions(this.spec, this.steps, cssColours(this), size, () =>
      this.placeOverlay(),
    );
    this.chart = new uPlot(options, chartData(this.spec, this.steps), parent);
    this.chart.over.addEventListener("pointermove", (event) => this.hover(event));
    this.chart.over.addEventListener("pointerdown", (event) => this.hover(event));
    if (this.hasTooltip) tooltip(this.chart, this.spec);
    this.cancelDrag = selectByDrag(this.chart, !this.cursor, (steps) => this.onZoom(steps));
    this.followCursor();
  }

  private clear(): void {
    this.unsubscribe();
    this.chart?.destroy();
    this.chart = null;
    this.line = null;
  }

  private fit(): void {
    const width = this.querySelector(".plot")?.clientWidth ?? 0;
    if (width === 0 || width === this.chart?.width) return;
    if (this.chart) this.chart.setSize({ width, height: this.height });
    else this.draw();
  }

  private placeOverlay(): void {
    this.placeLine();
    this.drawMarkers();
  }

  private hover(event: PointerEvent): void {
    // Markers and the tooltip are children of the chart: their events have other offsets.
    if (!this.cursor || !this.chart || event.target !== this.chart.over) return;
    this.cursor.moveTo(this.chart.posToVal(event.offsetX, "x"));
  }

  private press(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.spec) return;
    const whole = wholeRange(this.spec);
    const shown = clipZoom(this.steps, whole) ?? whole;
    const centre = this.cursor?.step ?? (shown[0] + shown[1]) / 2;
    const steps = zoomByKey(event.key, shown, centre, whole);
    if (steps === undefined) return;
    event.preventDefault();
    if (event.key === "Escape" && this.cancelDrag()) return;
    this.onZoom(steps);
  }

  private reset(event: MouseEvent): void {
    if (event.target === this.chart?.over) this.onZoom(null);
  }

  private followCursor(): void {
    this.unsubscribe();
    this.line?.remove();
    if (!this.cursor || !this.chart) return;
    this.line = cursorLine();
    this.chart.over.append(this.line);
    this.unsubscribe = this.cursor.subscribe(() => this.placeLine());
    this.placeLine();
  }

  private placeLine(): void {
    if (!this.chart || !this.line || !this.cursor) return;
    this.line.style.left = `${this.chart.valToPos(this.cursor.step, "x")}px`;
    this.line.dataset.step = String(this.cursor.step);
  }

  private drawMarkers(): void {
    if (!this.chart) return;
    for (const old of this.chart.over.querySelectorAll(".marker")) old.remove();
    const open = (marker: Marker) => this.onMarker(marker);
    this.chart.over.append(...markerButtons(this.chart, this.markers, this.namesMarkers, open));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "leaf-chart": LeafChart;
  }
}
