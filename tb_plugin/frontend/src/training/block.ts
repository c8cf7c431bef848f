/** Training charts: trace, effective rank and tangent dimension of all drawn runs. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, property } from "lit/decorators.js";
import { chartCard, unzoomButton } from "../charts/card.ts";
import { chartPicture } from "../charts/picture.ts";
import { type ChartSpec, describeChart, type Marker } from "../charts/spec.ts";
import { omittedScalars, type ScalarStore } from "../data/scalar_store.ts";
import type { Range } from "../numeric/range.ts";
import { fileName, type SavedFile, textFile } from "../save/files.ts";
import { spacedName, withRest } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import { cssColours } from "../theme/colours.ts";
import type { Opened } from "../view/view.ts";
import { rankBounds } from "./bounds.ts";
import { dimensionSpec, type GetScalar, rankKinds, rankSpec, traceSpec } from "./curves.ts";
import { snapshotMarkers } from "./markers.ts";
import type { TrainingRun } from "./runs.ts";
import { trainingCsv } from "./table.ts";

/** Kinds of rank and bounds in a subtitle. */
const MAX_LISTED = 8;

@customElement("leaf-training")
export class LeafTraining extends LitElement {
  @property({ attribute: false }) runs: TrainingRun[] = [];
  @property({ attribute: false }) scalars: ScalarStore | null = null;
  /** Increases when scalars have arrived. */
  @property({ attribute: false }) revision = 0;
  @property({ attribute: false }) opened: Opened | null = null;
  @property({ attribute: false }) smoothing = 0;
  @property({ attribute: false }) log = true;
  @property({ attribute: false }) dark = false;
  /** The optimizer steps that are shown; null for all. */
  @property({ attribute: false }) steps: Range | null = null;
  @property({ attribute: false }) onZoom: (steps: Range | null) => void = () => {};
  @property({ attribute: false }) onMarker: (marker: Marker) => void = () => {};

  private trace: ChartSpec | null = null;
  private rank: ChartSpec | null = null;
  private dimension: ChartSpec | null = null;
  private markers: Marker[] = [];

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override willUpdate(changed: PropertyValues): void {
    const { runs, scalars, smoothing, log, dark } = this;
    const relevant = ["runs", "scalars", "revision", "smoothing", "log", "dark"];
    if (scalars && relevant.some((name) => changed.has(name))) {
      const get = scalars.get.bind(scalars);
      this.trace = traceSpec(runs, get, { smoothing, log, dark });
      this.rank = rankSpec(runs, get, { smoothing, log: false, dark });
      this.dimension = dimensionSpec(runs, get, { smoothing, log: false, dark });
    }
    const open = this.opened && { run: this.opened.key.run, step: this.opened.snapshot.step };
    this.markers = snapshotMarkers(runs, open, dark);
  }

  protected override render(): unknown {
    const drawn = new Set(this.rank?.rules.map(({ value }) => value));
    const distantBounds = rankBounds(this.runs).filter(({ value }) => !drawn.has(value));
    const texts = distantBounds.map(({ text }) => text);
    const bound = texts.length ? ` · bound ${withRest(texts, MAX_LISTED)}` : "";
    const kinds = withRest(rankKinds(this.runs).map(spacedName), MAX_LISTED);
    const hasMarkers = this.markers.length > 0;
    const omitted = omittedScalars(this.runs.map(({ run }) => run));
    const isLoading = this.scalars?.isLoading(this.runs.map(({ run }) => run)) ?? true;
    return html`<section class="training" aria-label="Training" aria-busy=${isLoading}>
      <h2 class="visually-hidden">Training</h2>
      ${this.card(
        "trace-chart",
        "Trace of the local data matrix",
        hasMarkers ? "median, mean (pale) · ▲ snapshots" : "median, mean (pale)",
        this.trace,
        true,
      )}
      ${this.card("rank-chart", "Effective rank", kinds + bound, this.rank)}
      ${this.card("dimension-chart", "Tangent dimension", "mean", this.dimension)}
      ${
        omitted > 0
          ? html`<p class="secondary" data-testid="scalars-omitted">
              ${formatCount(omitted)} further scalars of these runs are not shown.
            </p>`
          : ""
      }
    </section>`;
  }

  private card(
    id: string,
    title: string,
    subtitle: string,
    spec: ChartSpec | null,
    isFirst = false,
  ): unknown {
    const hasCurves = spec?.curves.some(({ steps }) => steps.length > 0) ?? false;
    return chartCard({
      id,
      title,
      subtitle,
      description: spec ? describeChart(title, spec) : title,
      actions: html`${unzoomButton(this.steps !== null, "all steps", this.onZoom)}
        <leaf-save-menu
          .subject=${`the chart ${title}`}
          .files=${spec && hasCurves ? this.files(id, title, subtitle, spec) : []}
        ></leaf-save-menu>`,
      content: html`${this.omission(spec)}${
        hasCurves
          ? html`<leaf-chart
            .spec=${spec}
            .dark=${this.dark}
            .markers=${this.markers}
            .namesMarkers=${isFirst}
            .onMarker=${this.onMarker}
            .hasTooltip=${true}
            .steps=${this.steps}
            .onZoom=${this.onZoom}
          ></leaf-chart>`
          : html`<div class="message" role="status">${this.emptyMessage()}</div>`
      }`,
    });
  }

  private omission(spec: ChartSpec | null): unknown {
    const omitted = spec?.omittedCurves ?? 0;
    if (!omitted) return "";
    return html`<p class="secondary" data-testid="curves-omitted">
      ${formatCount(omitted)} further curves are not drawn. Draw fewer runs to see them.
    </p>`;
  }

  private files(id: string, title: string, subtitle: string, spec: ChartSpec): SavedFile[] {
    const { runs, scalars, steps, markers } = this;
    const chart = { title, subtitle, origin: "", spec, steps, markers };
    const names = runs.length === 1 ? runs.map(({ run }) => run.run) : [`${runs.length}-runs`];
    return [
      {
        label: "Chart as PNG",
        name: fileName([...names, id], "png"),
        content: () => chartPicture(chart, cssColours(this)),
      },
      {
        label: "Training curves as CSV",
        name: fileName([...names, "training"], "csv"),
        content: () => {
          const get: GetScalar = (run, tag) => scalars?.get(run, tag) ?? null;
          return textFile(
            trainingCsv(
              runs.map(({ run }) => run),
              get,
            ),
            "text/csv",
          );
        },
      },
    ];
  }

  private emptyMessage(): unknown {
    if (this.runs.length === 0) return "No run is selected.";
    if (this.scalars?.isLoading(this.runs.map(({ run }) => run))) return "Loading…";
    const [error] = this.scalars?.errors(this.runs.map(({ run }) => run)) ?? [];
    if (error) return error;
    return html`<p>
      Nothing was measured during training. Add <code>LocalDataMatrixMonitor()</code> to the
      callbacks of the trainer.
    </p>`;
  }
}
