/** Compares prediction paths: from one example to each target, and to one target over training. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, property } from "lit/decorators.js";
import { chartCard, unzoomButton } from "../charts/card.ts";
import { chartPicture } from "../charts/picture.ts";
import { type ChartSpec, describeChart, type Marker } from "../charts/spec.ts";
import type { PathKey } from "../data/api.ts";
import { shown } from "../data/untrusted_text.ts";
import { ListLengths } from "../lists/more.ts";
import type { Range } from "../numeric/range.ts";
import { fileName, type SavedFile, textFile } from "../save/files.ts";
import { indicesText, pairName, scoreNoun } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import { cssColours } from "../theme/colours.ts";
import { runColour } from "../theme/palette.ts";
import type { Opened } from "../view/view.ts";
import { bar, longest } from "./bars.ts";
import { barsPicture } from "./bars_picture.ts";
import { changePoints, changeSpec } from "./over_training.ts";
import { momentsCsv, targetsCsv } from "./tables.ts";
import { type Moment, momentsOf, type Target, targetsOf } from "./targets.ts";

/** Bars that are shown at first, and in a picture. */
const BARS = 40;

@customElement("leaf-targets")
export class LeafTargets extends LitElement {
  @property({ attribute: false }) opened: Opened | null = null;
  @property({ attribute: false }) dark = false;
  /** The optimizer steps that are shown; null for all. */
  @property({ attribute: false }) steps: Range | null = null;
  @property({ attribute: false }) onZoom: (steps: Range | null) => void = () => {};
  @property({ attribute: false }) onOpen: (key: PathKey) => void = () => {};

  private readonly lists = new ListLengths(BARS, () => this.requestUpdate());
  private targets: Target[] = [];
  private moments: Moment[] = [];
  private spec: ChartSpec | null = null;
  private points: Marker[] = [];

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    const { opened } = this;
    if (!opened || !(changed.has("opened") || changed.has("dark"))) return;
    this.targets = targetsOf(opened);
    this.moments = momentsOf(opened);
    const colour = runColour(0, this.dark);
    this.spec = changeSpec(this.moments, colour);
    this.points = changePoints(this.moments, opened.key, colour);
  }

  protected override render(): unknown {
    const { opened, targets, moments, spec } = this;
    if (!opened) return "";
    return html`<div class="targets">
      ${targets.length > 1 ? this.distances(opened) : ""}
      ${moments.length > 1 && spec ? this.overTraining(opened, spec) : ""}
    </div>`;
  }

  private distances(opened: Opened): unknown {
    const { targets } = this;
    const title = `How far is each ${scoreNoun(opened.snapshot.likelihood)}?`;
    const subtitle = "change after which it is first predicted · hatched: never";
    const largest = longest(targets);
    const { likelihood } = opened.snapshot;
    const chart = { title, subtitle, origin: originText(opened), likelihood };
    return chartCard({
      id: "targets",
      title,
      subtitle,
      description: `${title} The size of the change from ${sourceText(opened)} to each target`,
      actions: this.saveMenu(title, [
        {
          label: "Chart as PNG",
          name: this.fileName(opened, "targets", "png"),
          content: () =>
            barsPicture({ ...chart, targets: targets.slice(0, BARS) }, cssColours(this)),
        },
        {
          label: "Changes as CSV",
          name: this.fileName(opened, "targets", "csv"),
          content: () => textFile(targetsCsv(targets), "text/csv"),
        },
      ]),
      content: html`<ol class="bars">
          ${this.lists.first("targets", targets).map((target) => bar(target, largest, opened, this.onOpen))}
        </ol>
        ${this.lists.more("targets", targets.length)}
        <p class="secondary note">
          From ${sourceText(opened)}. Euclidean distance from the start at which the model first
          predicts the target, in units of the input; hatched: to the end.
        </p>`,
    });
  }

  private overTraining(opened: Opened, spec: ChartSpec): unknown {
    const title = `Change ${pairName(opened.path)} over training`;
    const subtitle = "line: predicted · ○ never predicted";
    const { moments, points, steps } = this;
    const origin = originText(opened);
    const chart = { title, subtitle, origin, spec, steps, markers: points };
    return chartCard({
      id: "change-chart",
      title,
      subtitle,
      description: describeChart(title, spec),
      actions: html`${unzoomButton(steps !== null, "all steps", this.onZoom)}
      ${this.saveMenu(title, [
        {
          label: "Chart as PNG",
          name: this.fileName(opened, "change-over-training", "png"),
          content: () => chartPicture(chart, cssColours(this)),
        },
        {
          label: "Changes as CSV",
          name: this.fileName(opened, "change-over-training", "csv"),
          content: () => textFile(momentsCsv(moments), "text/csv"),
        },
      ])}`,
      content: html`<leaf-chart
        .spec=${spec}
        .dark=${this.dark}
        .markers=${points}
        .namesMarkers=${true}
        .onMarker=${this.openMoment}
        .hasTooltip=${true}
        .steps=${steps}
        .onZoom=${this.onZoom}
      ></leaf-chart>`,
    });
  }

  private saveMenu(title: string, files: SavedFile[]): unknown {
    return html`<leaf-save-menu .subject=${`the chart ${title}`} .files=${files}></leaf-save-menu>`;
  }

  private fileName({ key, snapshot, path }: Opened, content: string, type: string): string {
    const { name, step } = snapshot;
    return fileName([key.run, name, `step-${step}`, path.source, content], type);
  }

  private readonly openMoment = ({ x }: Marker): void => {
    const moment = this.moments.find(({ step }) => step === x);
    if (moment) this.onOpen(moment.key);
  };
}

/** "8 (example 61)" */
function sourceText({ path }: Opened): string {
  const { source, source_index } = path;
  return source_index === null ? source : `${source} (example ${source_index})`;
}

function originText({ key, snapshot, path }: Opened): string {
  const facts = [shown(key.run), `step ${formatCount(snapshot.step)}`, `from ${path.source}`];
  return [...facts, indicesText(path)].filter(Boolean).join(" · ");
}
