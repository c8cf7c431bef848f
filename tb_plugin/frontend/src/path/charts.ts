/** The charts of one path, which zoom together. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, property } from "lit/decorators.js";
import { chartCard, unzoomButton } from "../charts/card.ts";
import { chartPicture, type ShownChart } from "../charts/picture.ts";
import { type ChartSpec, describeChart } from "../charts/spec.ts";
import type { Cursor } from "../cursor/cursor.ts";
import type { LoadedPath } from "../data/path_store.ts";
import type { Range } from "../numeric/range.ts";
import { clipZoom } from "../numeric/step_range.ts";
import type { SavedFile } from "../save/files.ts";
import { pathFacts, pathTitle, scoreNoun } from "../text/labels.ts";
import { cssColours } from "../theme/colours.ts";
import type { Opened } from "../view/view.ts";
import {
  type ClassCurves,
  classCurves,
  distanceColours,
  distanceName,
  distanceSpec,
  probabilitySpec,
} from "./curves.ts";
import { curvesFile, pathFileName } from "./files.ts";

@customElement("leaf-path-charts")
export class LeafPathCharts extends LitElement {
  @property({ attribute: false }) opened: Opened | null = null;
  @property({ attribute: false }) loaded: LoadedPath | null = null;
  @property({ attribute: false }) cursor: Cursor | null = null;
  @property({ attribute: false }) dark = false;
  /** Names of classes whose curves are hidden. */
  @property({ attribute: false }) hiddenClasses: readonly string[] = [];
  @property({ attribute: false }) onHide: (names: string[]) => void = () => {};
  @property({ attribute: false }) onZoom: (steps: Range | null) => void = () => {};

  private classes: ClassCurves = { curves: [], omitted: 0, omittedPeak: 0 };
  private probabilities: ChartSpec | null = null;
  private distances: ChartSpec | null = null;

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    const path = this.loaded?.path;
    if (!path || !this.opened) return;
    const { kind, likelihood } = this.opened.snapshot;
    // A new specification redraws a chart, so it is created only when its inputs change.
    if (changed.has("loaded") || changed.has("dark")) {
      this.classes = classCurves(path, likelihood, this.dark);
      this.distances = distanceSpec(path, kind, this.dark);
    }
    if (changed.has("loaded") || changed.has("dark") || changed.has("hiddenClasses")) {
      const { classes, hiddenClasses, dark } = this;
      const { curves } = classes;
      this.probabilities = probabilitySpec(path, likelihood, curves, hiddenClasses, dark);
    }
  }

  protected override render(): unknown {
    const path = this.loaded?.path;
    if (!path || !this.opened || !this.probabilities || !this.distances) return "";
    const noun = scoreNoun(this.opened.snapshot.likelihood);
    const distance = distanceName(this.opened.snapshot.kind, path);
    const colours = distanceColours(this.dark);
    return html`<div class="pair-of-cards">
      ${this.card(
        "probability-chart",
        `${noun === "class" ? "Class" : "Label"} probabilities along the path`,
        noun === "class" ? "" : "independent labels",
        this.probabilities,
        html`<leaf-legend
          .path=${path}
          .noun=${noun}
          .classes=${this.classes}
          .cursor=${this.cursor}
          .hiddenNames=${this.hiddenClasses}
          .onToggle=${(name: string) => this.toggleClass(name)}
        ></leaf-legend>`,
      )}
      ${this.card(
        "distance-chart",
        distance[0]?.toUpperCase() + distance.slice(1),
        "and horizontality",
        this.distances,
        html`<div class="legend">
          ${legendText(distance, colours.distance)}
          ${legendText("horizontality (right axis)", colours.horizontality)}
        </div>`,
      )}
    </div>`;
  }

  private card(
    id: string,
    title: string,
    subtitle: string,
    spec: ChartSpec,
    legend: unknown,
  ): unknown {
    const steps = this.zoom;
    const picture = { title, subtitle, spec, steps, markers: [] };
    return chartCard({
      id,
      title,
      subtitle,
      description: describeChart([title, subtitle].filter(Boolean).join(" "), spec),
      actions: html`${unzoomButton(steps !== null, "whole path", this.onZoom)}
        <leaf-save-menu .subject=${`the chart ${title}`} .files=${this.files(id, picture)}>
        </leaf-save-menu>`,
      content: html`<leaf-chart
          .spec=${spec}
          .cursor=${this.cursor}
          .dark=${this.dark}
          .steps=${steps}
          .onZoom=${this.onZoom}
        ></leaf-chart>
        ${legend}`,
    });
  }

  private files(id: string, picture: Omit<ShownChart, "origin">): SavedFile[] {
    const { opened, loaded } = this;
    if (!opened || !loaded) return [];
    const origin = `${pathTitle(opened.snapshot, opened.path)} · ${pathFacts(opened.key.run, opened.snapshot, opened.path)}`;
    return [
      {
        label: "Chart as PNG",
        name: pathFileName(opened, id, "png"),
        content: () => chartPicture({ ...picture, origin }, cssColours(this)),
      },
      curvesFile(opened, loaded),
    ];
  }

  private get zoom(): Range | null {
    const { loaded, cursor } = this;
    return loaded && cursor ? clipZoom(cursor.range, [0, loaded.path.steps]) : null;
  }

  private toggleClass(name: string): void {
    const others = this.hiddenClasses.filter((other) => other !== name);
    const wasHidden = others.length < this.hiddenClasses.length;
    this.onHide(wasHidden ? others : [...others, name]);
  }
}

function legendText(name: string, colour: string): unknown {
  return html`<span class="legend-entry" data-testid="legend-entry" data-curve=${name}>
    <span class="swatch" style="background: ${colour}"></span>${name}
  </span>`;
}
