/** Selects runs, snapshots and paths, and sets how training curves are drawn. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, property } from "lit/decorators.js";
import { live } from "lit/directives/live.js";
import type { Kind, PathKey, Run, Snapshot } from "../data/api.ts";
import { shown } from "../data/untrusted_text.ts";
import { ListLengths } from "../lists/more.ts";
import {
  listNames,
  outcome,
  reasonText,
  shortStatus,
  spacedName,
  statusText,
} from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import { runColour } from "../theme/palette.ts";
import { filterRuns } from "../view/filter.ts";
import { type Opened, samePathIn, snapshotsByName, type View } from "../view/view.ts";
import { omittedRuns, omittedSnapshots } from "./omitted.ts";

const LIST_STEP = 200;
const PATH_HEADINGS: ReadonlyMap<Kind, string> = new Map([
  ["horizontal", "Pairs"],
  ["prediction", "Paths"],
  ["orthogonal", "Starts"],
]);

@customElement("leaf-sidebar")
export class LeafSidebar extends LitElement {
  @property({ attribute: false }) runs: readonly Run[] = [];
  /** Runs that are not listed, because there are too many. */
  @property({ attribute: false }) runsOmitted = 0;
  @property({ attribute: false }) drawn: readonly Run[] = [];
  @property({ attribute: false }) view: View | null = null;
  @property({ attribute: false }) opened: Opened | null = null;
  @property({ attribute: false }) dark = false;
  @property({ attribute: false }) onChange: (change: Partial<View>) => void = () => {};

  private readonly lists = new ListLengths(LIST_STEP, () => this.requestUpdate());
  private positions: ReadonlyMap<Run, number> = new Map();

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("runs")) this.positions = new Map(this.runs.map((run, i) => [run, i]));
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): unknown {
    const { view, opened } = this;
    if (!view) return "";
    return html`<nav class="sidebar" aria-label="Runs and snapshots">
      ${this.runPicker(view)} ${opened ? this.snapshotPicker(opened) : ""}
      ${opened ? this.pairPicker(opened) : ""} ${this.chartSettings(view)} ${this.damaged()}
    </nav>`;
  }

  private runPicker(view: View): unknown {
    const { listed, error } = filterRuns(this.runs, view.filter);
    return html`
      <input
        type="search"
        class="filter"
        data-testid="run-filter"
        placeholder="Filter runs (regex)"
        aria-label="Filter runs by regular expression"
        aria-invalid=${error !== null}
        .value=${live(view.filter)}
        @input=${(event: InputEvent) =>
          this.onChange({ filter: (event.target as HTMLInputElement).value })}
      />
      ${error ? html`<p class="secondary" data-testid="filter-error">${error}</p>` : ""}
      <h2>Runs</h2>
      <ul class="runs">
        ${this.lists.first("runs", listed).map((run) => this.runItem(run, view))}
      </ul>
      ${this.lists.more("runs", listed.length)}
      ${this.note("runs-omitted", omittedRuns(this.runs.length, this.runsOmitted))}
      ${listed.length ? "" : html`<p class="secondary">No runs match.</p>`}
    `;
  }

  private runItem(run: Run, view: View): unknown {
    const isOpen = this.opened?.run === run;
    const colour = runColour(this.positions.get(run) ?? 0, this.dark);
    const name = shown(run.run);
    return html`<li class=${isOpen ? "open" : ""} data-testid="run-${run.run}">
      <input
        type="checkbox"
        aria-label="Draw the curves of ${name}"
        style="accent-color: ${colour}"
        .checked=${live(this.drawn.includes(run))}
        @change=${(event: Event) => {
          const { checked } = event.target as HTMLInputElement;
          this.onChange({ choices: new Map(view.choices).set(run.run, checked) });
        }}
      />
      <span class="dot" style="background: ${colour}"></span>
      <button
        type="button"
        class="plain"
        aria-current=${isOpen}
        title=${name}
        ?disabled=${run.snapshots.length === 0}
        @click=${() => this.openRun(run)}
      >
        ${name}
      </button>
    </li>`;
  }

  private snapshotPicker({ run, snapshot }: Opened): unknown {
    const names = [...snapshotsByName(run)];
    const steps = names.find(([name]) => name === snapshot.name)?.[1] ?? [];
    const position = steps.indexOf(snapshot);
    return html`
      <h2>Snapshots</h2>
      <ul class="snapshots">
        ${this.lists.first("names", names).map(
          ([name, ofName]) =>
            html`<li class=${name === snapshot.name ? "open" : ""}>
              <button
                type="button"
                class="plain"
                data-testid="snapshot-${name}"
                aria-current=${name === snapshot.name}
                @click=${() => this.openSnapshot(ofName.at(-1))}
              >
                ${spacedName(name)} <span class="secondary">· ${formatCount(ofName.length)}</span>
              </button>
            </li>`,
        )}
      </ul>
      ${this.lists.more("names", names.length)}
      <div class="stepper">
        ${this.stepButton("‹", "Previous snapshot", steps[position - 1])}
        <select
          data-testid="snapshot-step"
          aria-label="Snapshot"
          @change=${(event: Event) => {
            const { value } = event.target as HTMLSelectElement;
            this.openSnapshot(steps.find(({ tag }) => tag === value));
          }}
        >
          ${steps.map(
            (step) =>
              html`<option value=${step.tag} .selected=${live(step === snapshot)}>
                step ${formatCount(step.step)}
              </option>`,
          )}
        </select>
        ${this.stepButton("›", "Next snapshot", steps[position + 1])}
      </div>
      <p class="secondary">epoch ${formatCount(snapshot.epoch)} · ${reasonText(snapshot)}</p>
      ${omittedSnapshots(run).map((sentence) => this.note("snapshots-omitted", sentence))}
    `;
  }

  private stepButton(text: string, label: string, snapshot: Snapshot | undefined): unknown {
    return html`<button
      type="button"
      aria-label=${label}
      ?disabled=${!snapshot}
      @click=${() => this.openSnapshot(snapshot)}
    >
      ${text}
    </button>`;
  }

  private pairPicker({ key, snapshot }: Opened): unknown {
    const names = listNames(snapshot);
    return html`
      <h2>${PATH_HEADINGS.get(snapshot.kind)}</h2>
      <ul class="pairs">
        ${this.lists.first("paths", snapshot.paths).map(
          (path, index) =>
            html`<li class=${index === key.index ? "open" : ""}>
              <button
                type="button"
                class="plain"
                data-testid="pair-${index}"
                aria-current=${index === key.index}
                title=${statusText(snapshot.kind, path)}
                @click=${() => this.open({ ...key, index })}
              >
                <span>${names[index]}</span>
                <span class="status-dot ${outcome(path)}"></span>
                <span class="secondary">${shortStatus(path)}</span>
              </button>
            </li>`,
        )}
      </ul>
      ${this.lists.more("paths", snapshot.paths.length)}
    `;
  }

  private note(name: string, sentence: string): unknown {
    return sentence ? html`<p class="secondary" data-testid=${name}>${sentence}</p>` : "";
  }

  private chartSettings(view: View): unknown {
    const smoothing = view.smoothing.toFixed(2).replace(/\.?0+$/, "");
    return html`
      <h2><label for="smoothing">Smoothing</label> <span class="secondary">${smoothing}</span></h2>
      <input
        id="smoothing"
        type="range"
        min="0"
        max="0.99"
        step="0.01"
        data-testid="smoothing"
        style="--done: ${(100 * view.smoothing) / 0.99}%"
        .value=${live(String(view.smoothing))}
        @input=${(event: InputEvent) =>
          this.onChange({ smoothing: Number((event.target as HTMLInputElement).value) })}
      />
      <fieldset>
        <legend>Scale of the trace</legend>
        ${(["log", "linear"] as const).map(
          (scale) =>
            html`<label>
              <input
                type="radio"
                name="scale"
                data-testid="scale-${scale}"
                .checked=${live(view.scale === scale)}
                @change=${() => this.onChange({ scale })}
              />
              ${scale}
            </label>`,
        )}
      </fieldset>
    `;
  }

  private damaged(): unknown {
    const damaged = this.runs.flatMap(({ run, damaged: ofRun }) =>
      ofRun.map(({ tag, message }) => ({ run, tag, message })),
    );
    const omitted = this.runs.reduce((sum, { damaged_omitted }) => sum + damaged_omitted, 0);
    const count = damaged.length + omitted;
    if (count === 0) return "";
    const listed = this.lists.first("damaged snapshots", damaged);
    return html`<details class="damaged" data-testid="damaged" open>
      <summary>
        ${formatCount(count)} ${count === 1 ? "snapshot" : "snapshots"} cannot be read
      </summary>
      <ul>
        ${listed.map(({ run, tag, message }) => html`<li><strong>${shown(run)}</strong> ${tag}: ${message}</li>`)}
      </ul>
      ${this.lists.more("damaged snapshots", damaged.length)}
      ${omitted > 0 ? html`<p>${formatCount(omitted)} of them are not listed.</p>` : ""}
    </details>`;
  }

  private openRun(run: Run): void {
    const names = snapshotsByName(run);
    const ofName = names.get(this.opened?.snapshot.name ?? "") ?? [...names.values()][0];
    this.openSnapshot(ofName?.at(-1), run);
  }

  private openSnapshot(snapshot: Snapshot | undefined, run = this.opened?.run): void {
    if (snapshot && run) this.open(samePathIn(run, snapshot, this.opened));
  }

  private open(open: PathKey): void {
    this.onChange({ open });
  }
}
