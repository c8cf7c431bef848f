/** One path: title and status, magnifier and strip. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, property } from "lit/decorators.js";
import { unzoomButton } from "../charts/card.ts";
import type { Cursor } from "../cursor/cursor.ts";
import { Player } from "../cursor/player.ts";
import type { Path } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import type { Size } from "../data/sheet.ts";
import type { Range } from "../numeric/range.ts";
import { clipZoom } from "../numeric/step_range.ts";
import type { SavedFile } from "../save/files.ts";
import {
  frameProbability,
  outcome,
  pathFacts,
  pathTitle,
  statusText,
  statusWithSteps,
  stepsText,
} from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import { cssColours } from "../theme/colours.ts";
import type { Opened } from "../view/view.ts";
import { pathFiles } from "./files.ts";
import { outcomeText } from "./outcome.ts";

const ONE_SCALE = html`<p class="secondary note" data-testid="one-scale">
  All pictures of this path share one scale from black to white. The change has a scale of its own.
</p>`;

@customElement("leaf-path")
export class LeafPath extends LitElement {
  @property({ attribute: false }) opened: Opened | null = null;
  @property({ attribute: false }) loaded: LoadedPath | null = null;
  @property({ attribute: false }) cursor: Cursor | null = null;
  @property({ attribute: false }) isLoading = false;
  @property({ attribute: false }) error: string | null = null;
  @property({ attribute: false }) dark = false;
  @property({ attribute: false }) onRetry = () => {};
  /** Returns a link to the current view. */
  @property({ attribute: false }) link = () => "";

  @property({ attribute: false }) onZoom: (steps: Range | null) => void = () => {};

  private readonly player = new Player(() => this.requestUpdate());

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.player.stop();
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("cursor")) this.player.stop();
  }

  protected override render(): unknown {
    if (!this.opened) return "";
    const { loaded, cursor } = this;
    const { run, tag, index } = this.opened.key;
    return html`
      <section
        class="card path"
        aria-label="One path"
        aria-busy=${this.isLoading}
        data-testid="path"
        data-run=${run}
        data-tag=${tag}
        data-index=${index}
        @keydown=${(event: KeyboardEvent) => {
          if (event.key === "Escape") this.onZoom(null);
        }}
      >
        ${this.header(this.opened)}
        ${loaded && cursor ? this.pictures(loaded, cursor) : this.placeholder()}
      </section>
    `;
  }

  private header(opened: Opened): unknown {
    const { key, snapshot, path } = opened;
    return html`<header>
      <div class="heading">
        <h2 data-testid="path-title">${pathTitle(snapshot, path)}</h2>
        <p class="secondary">${pathFacts(key.run, snapshot, path)}</p>
      </div>
      <div class="actions">
        <span class="pill ${outcome(path)}" data-testid="status">
          ${snapshot.kind === "prediction" ? statusWithSteps(path) : statusText(snapshot.kind, path)}
        </span>
        <button
          type="button"
          data-testid="play"
          ?disabled=${!this.loaded || path.steps === 0}
          @click=${this.togglePlay}
        >
          ${this.player.isPlaying ? "❚❚ pause" : "▶ play"}
        </button>
        <leaf-save-menu .subject=${"this path"} .text=${"save"} .files=${this.files(opened)}>
        </leaf-save-menu>
        <leaf-copy-link .link=${this.link}></leaf-copy-link>
      </div>
    </header>`;
  }

  private files(opened: Opened): SavedFile[] {
    const { loaded, cursor } = this;
    return loaded && cursor
      ? pathFiles(opened, loaded, cursor, () => cssColours(this), this.dark)
      : [];
  }

  private placeholder(): unknown {
    return this.error
      ? html`<div class="message" role="alert" data-testid="path-error">
          <p>This path cannot be shown: ${this.error}</p>
          <button type="button" @click=${() => this.onRetry()}>Try again</button>
        </div>`
      : html`<div class="message" role="status">Loading the path…</div>`;
  }

  private pictures(loaded: LoadedPath, cursor: Cursor): unknown {
    const { snapshot } = this.opened ?? {};
    const reduction = reductionText(loaded);
    const isScaled = snapshot?.scaled && loaded.sheet !== null;
    const isPrediction = snapshot?.kind === "prediction";
    return html`
      ${isPrediction ? outcomeText(loaded, snapshot.likelihood) : ""}
      <leaf-magnifier
        .loaded=${loaded}
        .cursor=${cursor}
        .dark=${this.dark}
        .snapshot=${snapshot ?? null}
      ></leaf-magnifier>
      <leaf-scrubber .cursor=${cursor} .describe=${() => frameText(loaded.path, cursor.frame)}>
      </leaf-scrubber>
      ${this.zoomNote(loaded, cursor)}
      <leaf-strip .loaded=${loaded} .cursor=${cursor}></leaf-strip>
      ${isPrediction && loaded.sheet ? ONE_SCALE : ""}
      ${
        snapshot?.frame_note
          ? html`<p class="secondary note" data-testid="frame-note">${snapshot.frame_note}</p>`
          : ""
      }
      ${reduction ? html`<p class="secondary note" data-testid="reduced">${reduction}</p>` : ""}
      ${
        isScaled
          ? html`<p class="secondary note" data-testid="scaled">
              Images are scaled from their minimum to their maximum, because the normalization of
              the inputs is unknown. Pass it to the callback as <code>normalize=</code>.
            </p>`
          : ""
      }
    `;
  }

  /** The range of steps that is shown, if it is not the whole path. */
  private zoomNote({ path }: LoadedPath, cursor: Cursor): unknown {
    const zoom = clipZoom(cursor.range, [0, path.steps]);
    if (!zoom) return "";
    return html`<p class="zoom-note" data-testid="zoom-note">
      <span class="secondary">${stepsText(zoom, path.steps)}</span>
      ${unzoomButton(true, "whole path", this.onZoom)}
    </p>`;
  }

  private togglePlay(): void {
    if (this.player.isPlaying) this.player.stop();
    else if (this.cursor) this.player.play(this.cursor);
  }
}

/** A sentence on images that are too large to be held in full size; empty for others. */
function reductionText({ path: { frames }, sheet }: LoadedPath): string {
  if (frames.type !== "image" || !sheet) return "";
  const sides = ({ width, height }: Size) => `${formatCount(width)} × ${formatCount(height)}`;
  const [full, held] = [sides(frames), sides(sheet.tile)];
  if (full === held) return "";
  return `To save memory, images are shown and saved with ${held} instead of ${full} pixels.`;
}

function frameText(path: Path, frame: number): string {
  const probability = frameProbability(path, frame);
  const predicted = `predicted ${path.frame_labels[frame] ?? ""}`;
  return probability ? `${predicted}, probability ${probability}` : predicted;
}
