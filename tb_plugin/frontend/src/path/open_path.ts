/** The open path: fetches its data and holds its cursor. */

import { Cursor } from "../cursor/cursor.ts";
import { ApiError, type PathKey } from "../data/api.ts";
import type { LoadedPath, PathStore } from "../data/path_store.ts";
import { frameInColumn } from "../frames/columns.ts";
import type { Range } from "../numeric/range.ts";
import { clipZoom } from "../numeric/step_range.ts";
import { sameKey } from "../view/view.ts";
import { initialFrame } from "./curves.ts";

const LOADING_DELAY_MS = 150;

export class OpenPath {
  loaded: LoadedPath | null = null;
  error: string | null = null;
  cursor: Cursor | null = null;
  /** While a path is loading, `loaded` and `cursor` may belong to the previous one. */
  isLoading = false;
  private requested: PathKey | null = null;
  private version = "";
  private steps: Range | null = null;
  private at: number | null = null;

  /**
   * @param changed Called when the content to show has changed.
   * @param moved Called after each move of the cursor.
   */
  constructor(
    private readonly store: PathStore,
    private readonly changed: () => void,
    private readonly moved: () => void,
  ) {}

  /** Open a path, zoomed to `steps`, with the cursor at step `at`; null keeps the cursor. */
  open(key: PathKey | null, steps: Range | null, at: number | null): void {
    const isNew = !sameKey(key, this.requested);
    const version = key ? this.store.version(key) : "";
    this.steps = steps;
    if (isNew || at !== null) this.at = at;
    if (isNew || version !== this.version) {
      this.version = version;
      // A request compares itself with this object: an equal key must not replace it.
      this.requested = key;
      void this.load();
    } else if (this.loaded && !this.isLoading) this.placeCursor(this.loaded);
  }

  /** Fetch the requested path. Called again to retry after an error. */
  async load(): Promise<void> {
    const key = this.requested;
    this.error = null;
    this.isLoading = true;
    this.changed();
    if (!key) return this.show(null);
    // Show the old path until the new one has arrived, unless that takes longer.
    const delay = setTimeout(() => {
      if (key === this.requested) this.hide();
    }, LOADING_DELAY_MS);
    try {
      const loaded = await this.store.load(key, true);
      if (key === this.requested) this.show(loaded);
      else loaded.sheet?.release();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (key !== this.requested) return;
      this.error = error.message;
      this.show(null);
    } finally {
      clearTimeout(delay);
    }
  }

  /** Whether the cursor is not at its initial frame. */
  get hasCursorMoved(): boolean {
    const { loaded, cursor } = this;
    if (!loaded || !cursor) return false;
    return cursor.step !== loaded.path.frame_steps[initialFrame(loaded.path)];
  }

  private show(loaded: LoadedPath | null): void {
    this.isLoading = false;
    if (loaded) this.placeCursor(loaded);
    this.replace(loaded);
  }

  /** Hide the previous path while the requested one is loading. */
  private hide(): void {
    this.replace(null);
  }

  private replace(loaded: LoadedPath | null): void {
    this.loaded?.sheet?.release();
    this.loaded = loaded;
    this.changed();
  }

  /** Place the cursor: a new path keeps the relative frame, the same path keeps the step. */
  private placeCursor(loaded: LoadedPath): void {
    const { path } = loaded;
    const whole: Range = [0, path.steps];
    const range = clipZoom(this.steps, whole) ?? whole;
    const old = this.cursor;
    const isSame = old !== null && loaded === this.loaded;
    if (!isSame || String(old.range) !== String(range)) {
      const cursor = new Cursor(range, path.frame_steps);
      if (isSame) cursor.moveTo(old.step);
      else if (!old) cursor.moveToFrame(initialFrame(path));
      else {
        const { length } = old.frameSteps;
        cursor.moveToFrame(frameInColumn(old.frame, length, path.frame_steps.length));
      }
      cursor.subscribe(this.moved);
      this.cursor = cursor;
    }
    if (this.at !== null) this.cursor?.moveTo(this.at);
    this.at = null;
  }
}
