/** The page: holds the data and the view, and passes both to its parts. */

import { html, LitElement, type PropertyValues } from "lit";
import { customElement, state } from "lit/decorators.js";
import type { Marker } from "../charts/spec.ts";
import { ApiError, fetchRuns, type PathKey, type Run } from "../data/api.ts";
import { PathStore } from "../data/path_store.ts";
import { ScalarStore } from "../data/scalar_store.ts";
import { shownRun } from "../data/untrusted_text.ts";
import { watchDarkMode } from "../host/dark_mode.ts";
import { linkTo, readFragment } from "../host/location.ts";
import { isShown, onDataReloaded, onShown } from "../host/tensorboard.ts";
import type { Range } from "../numeric/range.ts";
import { OpenPath } from "../path/open_path.ts";
import { sameRuns, type TrainingRun } from "../training/runs.ts";
import { fromFragment, toFragment } from "../view/fragment.ts";
import { ViewHistory } from "../view/history.ts";
import { drawnRuns, findOpened, type Opened, samePathIn, type View } from "../view/view.ts";
import { emptyPage, failedPage, loadingPage, noPathsCard } from "./notices.ts";

const MANY_SCALARS = 100;

@customElement("leaf-page")
export class LeafPage extends LitElement {
  @state() private runs: Run[] | null = null;
  private runsOmitted = 0;
  @state() private error: string | null = null;
  @state() private view: View = fromFragment(readFragment());
  @state() private dark = false;
  @state() private revision = 0;

  private drawn: Run[] = [];
  private trainingRuns: TrainingRun[] = [];
  private opened: Opened | null = null;
  private isStale = false;
  private redraw: ReturnType<typeof setTimeout> | null = null;
  private readonly paths = new PathStore();
  private readonly path = new OpenPath(
    this.paths,
    () => this.requestUpdate(),
    () => this.history.record(),
  );
  private readonly history = new ViewHistory(
    () => this.current(),
    (view) => {
      this.view = view;
    },
  );
  private readonly scalars = new ScalarStore((pending) => {
    // Redraw once for scalars that arrive together: each redraw draws all of them.
    const delay = pending > MANY_SCALARS ? 1000 : 40;
    this.redraw ??= setTimeout(() => {
      this.redraw = null;
      this.revision += 1;
    }, delay);
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

  /** Fetch all data again and keep the view. A hidden tab fetches when it is shown. */
  private reload(): void {
    this.isStale = !isShown();
    if (this.isStale) return;
    this.scalars.expire();
    void this.loadRuns();
  }

  private async loadRuns(): Promise<void> {
    try {
      const { runs, runs_omitted } = await fetchRuns();
      // The open path stays open, even if a newer one has been logged.
      if (this.opened) this.view = { ...this.view, open: this.opened.key };
      this.runs = runs.map(shownRun);
      this.runsOmitted = runs_omitted;
      this.paths.setRuns(this.runs);
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
    this.scalars.request(this.drawn);
    const positions = new Map(this.runs.map((run, i) => [run, i]));
    const trainingRuns = this.drawn.map((run) => ({ run, position: positions.get(run) ?? 0 }));
    // Keep the list of unchanged runs, so that their charts are not drawn again.
    if (!sameRuns(trainingRuns, this.trainingRuns)) this.trainingRuns = trainingRuns;
    this.path.open(this.opened?.key ?? null, this.view.pathSteps, this.view.at);
    // The step applies once. Later moves of the cursor belong to the user.
    this.view = { ...this.view, at: null };
  }

  /** The view with everything that is needed to restore it. */
  private current(): View {
    const { view, opened } = this;
    const at = this.path.hasCursorMoved ? (this.path.cursor?.step ?? null) : null;
    const hasMoved = at !== null || view.pathSteps !== null;
    return { ...view, at, open: view.open ?? (hasMoved && opened ? opened.key : null) };
  }

  private link(): string {
    return linkTo(toFragment({ ...this.current(), open: this.opened?.key ?? null }));
  }

  private readonly change = (change: Partial<View>): void => {
    // A range of path steps applies to one path only.
    this.view = { ...this.view, ...(change.open && { pathSteps: null }), ...change };
    this.history.record(change);
  };

  private readonly openMarker = ({ run: name, x }: Marker): void => {
    const run = this.runs?.find(({ run }) => run === name);
    const snapshots = run?.snapshots.filter(({ step }) => step === x) ?? [];
    const sameName = snapshots.find((snapshot) => snapshot.name === this.opened?.snapshot.name);
    const snapshot =
      sameName ?? snapshots.find(({ kind }) => kind === "prediction") ?? snapshots[0];
    if (run && snapshot) this.change({ open: samePathIn(run, snapshot, this.opened) });
  };

  protected override render(): unknown {
    const { runs, error } = this;
    if (!runs) return error ? failedPage(error, () => this.reload()) : loadingPage();
    if (runs.length === 0) return emptyPage();
    return html`<div class="page">
      <leaf-sidebar
        .runs=${runs}
        .runsOmitted=${this.runsOmitted}
        .drawn=${this.drawn}
        .view=${this.view}
        .opened=${this.opened}
        .dark=${this.dark}
        .onChange=${this.change}
      ></leaf-sidebar>
      <main>
        <h1 class="visually-hidden">LEAF</h1>
        ${
          error
            ? html`<p class="banner" role="alert" data-testid="banner">
                ${error} The data shown may be out of date.
                <button type="button" @click=${() => this.reload()}>Try again</button>
              </p>`
            : ""
        }
        <leaf-training
          .runs=${this.trainingRuns}
          .scalars=${this.scalars}
          .revision=${this.revision}
          .opened=${this.opened}
          .smoothing=${this.view.smoothing}
          .log=${this.view.scale === "log"}
          .dark=${this.dark}
          .steps=${this.view.trainingSteps}
          .onZoom=${(trainingSteps: Range | null) => this.change({ trainingSteps })}
          .onMarker=${this.openMarker}
        ></leaf-training>
        ${this.opened ? this.pathAndRows() : noPathsCard()}
      </main>
    </div>`;
  }

  private pathAndRows(): unknown {
    const { loaded, cursor, isLoading, error } = this.path;
    const zoomPath = (pathSteps: Range | null) => this.change({ pathSteps });
    const open = (key: PathKey) => this.change({ open: key });
    return html`
      <leaf-path
        .opened=${this.opened}
        .loaded=${loaded}
        .cursor=${cursor}
        .isLoading=${isLoading}
        .error=${error}
        .dark=${this.dark}
        .onZoom=${zoomPath}
        .onRetry=${() => this.path.load()}
        .link=${() => this.link()}
      ></leaf-path>
      <leaf-targets
        .opened=${this.opened}
        .dark=${this.dark}
        .steps=${this.view.trainingSteps}
        .onZoom=${(trainingSteps: Range | null) => this.change({ trainingSteps })}
        .onOpen=${open}
      ></leaf-targets>
      ${
        loaded && cursor
          ? html`<leaf-path-charts
              .opened=${this.opened}
              .loaded=${loaded}
              .cursor=${cursor}
              .dark=${this.dark}
              .hiddenClasses=${this.view.hiddenClasses}
              .onHide=${(hiddenClasses: string[]) => this.change({ hiddenClasses })}
              .onZoom=${zoomPath}
            ></leaf-path-charts>`
          : ""
      }
      <leaf-rows
        .opened=${this.opened}
        .drawn=${this.drawn}
        .tab=${this.view.rows}
        .cursor=${cursor}
        .store=${this.paths}
        .onTab=${(rows: View["rows"]) => this.change({ rows })}
        .onOpen=${({ key }: { key: PathKey }) => open(key)}
      ></leaf-rows>
    `;
  }
}
