/** One path: frames large and small, and the curves along it. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { Path } from "./api.ts";
import { describeChart } from "./chart_spec.ts";
import type { Cursor } from "./cursor.ts";
import type { LoadedPath } from "./path_store.ts";
import { formatCount, formatProbability } from "./numbers.ts";
import {
  classCurves,
  type ClassCurve,
  distanceColours,
  distanceName,
  distanceSpec,
  probabilitySpec,
} from "./path_curves.ts";
import { Player } from "./player.ts";
import type { Opened } from "./view.ts";
import { indicesText, outcome, pathTitle, statusText } from "./words.ts";

@customElement("leaf-path-block")
export class LeafPathBlock extends LitElement {
  @property({ attribute: false }) opened: Opened | null = null;
  @property({ attribute: false }) loaded: LoadedPath | null = null;
  @property({ attribute: false }) cursor: Cursor | null = null;
  @property({ attribute: false }) error: string | null = null;
  @property({ attribute: false }) dark = false;
  @property({ attribute: false }) onRetry = () => {};

  /** Names of classes whose curves are hidden, on every path. */
  @state() private hiddenClasses: ReadonlySet<string> = new Set();
  private readonly player = new Player(() => this.requestUpdate());
  private classes: ClassCurve[] = [];
  private probabilities: ReturnType<typeof probabilitySpec> | null = null;
  private distances: ReturnType<typeof distanceSpec> | null = null;

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.player.stop();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("cursor")) this.player.stop();
    const path = this.loaded?.path;
    if (!path) return;
    // Charts are drawn again when they get a new specification: not at each update.
    if (changed.has("loaded") || changed.has("dark")) {
      this.classes = classCurves(path, this.dark);
      this.distances = distanceSpec(path, this.dark);
    }
    if (changed.has("loaded") || changed.has("dark") || changed.has("hiddenClasses")) {
      this.probabilities = probabilitySpec(path, this.classes, this.hiddenClasses);
    }
  }

  protected override render(): unknown {
    if (!this.opened) return "";
    const { loaded, cursor } = this;
    const { run, tag, index } = this.opened.key;
    return html`
      <section
        class="card path"
        aria-label="One path"
        data-testid="path"
        data-run=${run}
        data-tag=${tag}
        data-index=${index}
      >
        ${this.header(this.opened)}
        ${loaded && cursor ? this.pictures(loaded, cursor) : this.placeholder()}
      </section>
      ${loaded && cursor ? this.curves(loaded.path, cursor) : ""}
    `;
  }

  private header({ key, snapshot, path }: Opened): unknown {
    const facts = [key.run, `step ${formatCount(snapshot.step)}`, indicesText(path)];
    return html`<header>
      <h2 data-testid="path-title">${pathTitle(snapshot, path)}</h2>
      <p class="quiet">${facts.filter(Boolean).join(" · ")}</p>
      <div class="actions">
        <span class="pill ${outcome(path)}" data-testid="status">${statusText(path)}</span>
        <button
          type="button"
          data-testid="play"
          ?disabled=${!this.loaded || path.steps === 0}
          @click=${this.togglePlay}
        >
          ${this.player.isPlaying ? "❚❚ pause" : "▶ play"}
        </button>
      </div>
    </header>`;
  }

  private placeholder(): unknown {
    return this.error
      ? html`<div class="message" role="alert" data-testid="path-error">
          <p>This path cannot be shown. ${this.error}</p>
          <button type="button" @click=${() => this.onRetry()}>Try again</button>
        </div>`
      : html`<div class="message" role="status">Loading the path…</div>`;
  }

  private pictures(loaded: LoadedPath, cursor: Cursor): unknown {
    const isScaled = this.opened?.snapshot.scaled && loaded.sheet !== null;
    return html`
      <leaf-looking-glass .loaded=${loaded} .cursor=${cursor} .dark=${this.dark}>
      </leaf-looking-glass>
      <leaf-scrubber .cursor=${cursor} .describe=${() => frameText(loaded.path, cursor.frame)}>
      </leaf-scrubber>
      <leaf-strip .loaded=${loaded} .cursor=${cursor}></leaf-strip>
      ${
        isScaled
          ? html`<p class="quiet note" data-testid="scaled">
              Images are shown scaled from their least to their greatest value, because the
              normalisation of the inputs is unknown. Give it to the callback with
              <code>normalize=</code>.
            </p>`
          : ""
      }
    `;
  }

  private curves(path: Path, cursor: Cursor): unknown {
    if (!this.probabilities || !this.distances) return "";
    const distance = distanceName(path);
    const colours = distanceColours(this.dark);
    const heading = distance[0]?.toUpperCase() + distance.slice(1);
    return html`<div class="pair-of-cards">
      <figure
        class="card"
        data-testid="probability-chart"
        aria-label=${describeChart("Class probabilities along the path", this.probabilities)}
      >
        <h3>Class probabilities along the path</h3>
        <leaf-chart .spec=${this.probabilities} .cursor=${cursor} .dark=${this.dark}></leaf-chart>
        <leaf-legend
          .path=${path}
          .classes=${this.classes}
          .cursor=${cursor}
          .hiddenNames=${this.hiddenClasses}
          .onToggle=${(name: string) => this.toggleClass(name)}
        ></leaf-legend>
      </figure>
      <figure
        class="card"
        data-testid="distance-chart"
        aria-label=${describeChart(`${heading} and horizontality`, this.distances)}
      >
        <h3>${heading} <span class="quiet">and horizontality of each step</span></h3>
        <leaf-chart .spec=${this.distances} .cursor=${cursor} .dark=${this.dark}></leaf-chart>
        <div class="legend">
          ${legendText(distance, colours.distance)}
          ${legendText("horizontality (right axis)", colours.horizontality)}
        </div>
      </figure>
    </div>`;
  }

  private toggleClass(name: string): void {
    const hidden = new Set(this.hiddenClasses);
    if (!hidden.delete(name)) hidden.add(name);
    this.hiddenClasses = hidden;
  }

  private togglePlay(): void {
    if (this.player.isPlaying) this.player.stop();
    else if (this.cursor) this.player.play(this.cursor);
  }
}

function frameText(path: Path, frame: number): string {
  const probability = formatProbability(path.frame_probabilities[frame]);
  return `predicted ${path.frame_labels[frame] ?? ""}, probability ${probability}`;
}

function legendText(name: string, colour: string): unknown {
  return html`<span class="legend-entry" data-testid="legend-entry" data-curve=${name}>
    <span class="swatch" style="background: ${colour}"></span>${name}
  </span>`;
}
