/** The page: holds what there is and what is shown of it, and hands both to its blocks. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, state } from "lit/decorators.js";
import { fromFragment, toFragment } from "./address.ts";
import { ApiError, fetchRuns, type PathKey, type Run } from "./api.ts";
import type { Marker } from "./chart_spec.ts";
import { frameInColumn } from "./columns.ts";
import { Cursor } from "./cursor.ts";
import { emptyPage, failedPage, loadingPage } from "./empty.ts";
import { isShown, onDataReloaded, onShown } from "./host.ts";
import { firstFrame } from "./path_curves.ts";
import { type LoadedPath, PathStore } from "./path_store.ts";
import { readPlace, writePlace } from "./place.ts";
import { ScalarStore } from "./scalar_store.ts";
import type { StoryRun } from "./story.ts";
import { watchDarkMode } from "./theme.ts";
import { drawnRuns, findOpened, type Opened, samePathIn, sameKey, type View } from "./view.ts";

@customElement("leaf-page")
export class LeafPage extends LitElement {
  @state() private runs: Run[] | null = null;
  @state() private error: string | null = null;
  @state() private view: View = fromFragment(readPlace());
  @state() private dark = false;
  @state() private loaded: LoadedPath | null = null;
  @state() private pathError: string | null = null;
  @state() private cursor: Cursor | null = null;
  @state() private revision = 0;

  private drawn: Run[] = [];
  private storyRuns: StoryRun[] = [];
  private opened: Opened | null = null;
  private wanted: PathKey | null = null;
  private isStale = false;
  private drawing: ReturnType<typeof setTimeout> | null = null;
  private writing: ReturnType<typeof setTimeout> | undefined;
  private readonly paths = new PathStore();
  private readonly scalars = new ScalarStore(() => {
    // Many arrive at about the same time, and each drawing is of all.
    this.drawing ??= setTimeout(() => {
      this.drawing = null;
      this.revision += 1;
    }, 40);
  });

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    watchDarkMode((dark) => {
      this.dark = dark;
      document.documentElement.classList.toggle("dark", dark);
    });
    onDataReloaded(() => this.reload());
    onShown(() => {
      if (this.isStale) this.reload();
    });
    this.reload();
  }

  /** Ask for everything anew, and stay at the same place. A hidden tab waits until it is shown. */
  private reload(): void {
    this.isStale = !isShown();
    if (this.isStale) return;
    this.scalars.expire();
    void this.loadRuns();
  }

  private async loadRuns(): Promise<void> {
    try {
      const runs = await fetchRuns();
      // What is open stays open, even if something newer has come.
      if (this.opened) this.view = { ...this.view, open: this.opened.key };
      this.runs = runs;
      this.error = null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.error = error.message;
    }
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (!this.runs || !(changed.has("runs") || changed.has("view"))) return;
    this.opened = findOpened(this.runs, this.view.open);
    this.drawn = drawnRuns(this.runs, this.view, this.opened?.run ?? null);
    this.scalars.want(this.drawn);
    const storyRuns = this.drawn.map((run) => ({ run, position: this.runs?.indexOf(run) ?? 0 }));
    // The same runs stay the same list: their charts need not be drawn again.
    if (!sameRuns(storyRuns, this.storyRuns)) this.storyRuns = storyRuns;
    const key = this.opened?.key ?? null;
    if (!sameKey(key, this.wanted)) {
      this.wanted = key;
      void this.openPath();
    }
  }

  private async openPath(): Promise<void> {
    const key = this.wanted;
    this.pathError = null;
    if (!key) {
      this.loaded = null;
      return;
    }
    // The old path stays until the new one is here, unless that takes time.
    const patience = setTimeout(() => {
      if (key === this.wanted) this.loaded = null;
    }, 150);
    try {
      const loaded = await this.paths.load(key, true);
      if (key === this.wanted) this.show(loaded);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (key !== this.wanted) return;
      this.loaded = null;
      this.pathError = error.message;
    } finally {
      clearTimeout(patience);
    }
  }

  /** A new path is looked at where the last one was. */
  private show(loaded: LoadedPath): void {
    const { path } = loaded;
    const cursor = new Cursor(path.steps, path.frame_steps);
    const old = this.cursor;
    cursor.moveToFrame(
      old
        ? frameInColumn(old.frame, old.frameSteps.length, path.frame_steps.length)
        : firstFrame(path),
    );
    this.cursor = cursor;
    this.loaded = loaded;
  }

  private readonly change = (change: Partial<View>): void => {
    this.view = { ...this.view, ...change };
    // Browsers refuse more than a few changes of the address in a second.
    clearTimeout(this.writing);
    this.writing = setTimeout(() => writePlace(toFragment(this.view)), 200);
  };

  private readonly openMoment = ({ run: name, x }: Marker): void => {
    const run = this.runs?.find(({ run }) => run === name);
    const moment = run?.snapshots.filter(({ step }) => step === x) ?? [];
    const sameName = moment.find((snapshot) => snapshot.name === this.opened?.snapshot.name);
    const snapshot = sameName ?? moment[0];
    if (run && snapshot)
      this.change({ open: samePathIn(run, snapshot, this.opened?.path ?? null) });
  };

  protected override render(): unknown {
    const { runs, error } = this;
    if (!runs) return error ? failedPage(error, () => this.reload()) : loadingPage();
    if (runs.length === 0) return emptyPage();
    return html`<div class="page">
      <leaf-sidebar
        .runs=${runs}
        .drawn=${this.drawn}
        .view=${this.view}
        .opened=${this.opened}
        .dark=${this.dark}
        .onChange=${this.change}
      ></leaf-sidebar>
      <main>
        <h1 class="unseen">LEAF</h1>
        ${
          error
            ? html`<p class="banner" role="alert" data-testid="banner">
                ${error} What is shown may be out of date.
                <button type="button" @click=${() => this.reload()}>Try again</button>
              </p>`
            : ""
        }
        <leaf-story-block
          .runs=${this.storyRuns}
          .scalars=${this.scalars}
          .revision=${this.revision}
          .opened=${this.opened}
          .smoothing=${this.view.smoothing}
          .log=${this.view.scale === "log"}
          .dark=${this.dark}
          .onMarker=${this.openMoment}
        ></leaf-story-block>
        ${this.opened ? this.pathAndRows() : this.noPath()}
      </main>
    </div>`;
  }

  private pathAndRows(): unknown {
    return html`
      <leaf-path-block
        .opened=${this.opened}
        .loaded=${this.loaded}
        .cursor=${this.cursor}
        .error=${this.pathError}
        .dark=${this.dark}
        .onRetry=${() => this.openPath()}
      ></leaf-path-block>
      <leaf-rows-block
        .opened=${this.opened}
        .drawn=${this.drawn}
        .tab=${this.view.rows}
        .cursor=${this.cursor}
        .store=${this.paths}
        .onTab=${(rows: View["rows"]) => this.change({ rows })}
        .onOpen=${({ key }: { key: PathKey }) => this.change({ open: key })}
      ></leaf-rows-block>
    `;
  }

  private noPath(): unknown {
    return html`<section class="card" data-testid="no-path">
      <div class="message">
        No paths were taken. Add <code>HorizontalPathSnapshot()</code> or
        <code>OrthogonalWalkSnapshot()</code> to the trainer's callbacks.
      </div>
    </section>`;
  }
}

function sameRuns(one: readonly StoryRun[], other: readonly StoryRun[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ run, position }, i) => run === other[i]?.run && position === other[i]?.position)
  );
}
