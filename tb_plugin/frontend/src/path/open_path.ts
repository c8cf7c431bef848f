/** The path that is open: fetched when it is wanted, and the cursor with which it is looked at. */

import { Cursor } from "../cursor/cursor.ts";
import { ApiError, type PathKey } from "../data/api.ts";
import type { LoadedPath, PathStore } from "../data/path_store.ts";
import { frameInColumn } from "../frames/columns.ts";
import type { Range } from "../numeric/range.ts";
import { clipZoom } from "../numeric/step_range.ts";
import { sameKey } from "../view/view.ts";
import { initialFrame } from "./curves.ts";

const PATIENCE_MS = 150;

export class OpenPath {
  loaded: LoadedPath | null = null;
  error: string | null = null;
  cursor: Cursor | null = null;
  private wanted: PathKey | null = null;
  private steps: Range | null = null;
  private at: number | null = null;

  /**
   * @param changed Called when there is something else to show.
   * @param moved Called after each move of the cursor.
   */
  constructor(
    private readonly store: PathStore,
    private readonly changed: () => void,
    private readonly moved: () => void,
  ) {}

  /** Open a path, or stay on it, zoomed to `steps`; look at step `at`, or where it was looked at. */
  want(key: PathKey | null, steps: Range | null, at: number | null): void {
    const isOther = !sameKey(key, this.wanted);
    this.wanted = key;
    this.steps = steps;
    if (isOther || at !== null) this.at = at;
    if (isOther) void this.load();
    else if (this.loaded) this.look(this.loaded);
  }

  /** Ask for the wanted path, once more after an error. */
  async load(): Promise<void> {
    const key = this.wanted;
    this.error = null;
    this.changed();
    if (!key) return this.show(null);
    // The old path stays until the new one is here, unless that takes time.
    const patience = setTimeout(() => {
      if (key === this.wanted) this.show(null);
    }, PATIENCE_MS);
    try {
      const loaded = await this.store.load(key, true);
      if (key === this.wanted) this.show(loaded);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (key !== this.wanted) return;
      this.error = error.message;
      this.show(null);
    } finally {
      clearTimeout(patience);
    }
  }

  /** Whether the cursor is elsewhere than a reader would look first. */
  get hasCursorMoved(): boolean {
    const { loaded, cursor } = this;
    if (!loaded || !cursor) return false;
    return cursor.step !== loaded.path.frame_steps[initialFrame(loaded.path)];
  }

  private show(loaded: LoadedPath | null): void {
    if (loaded) this.look(loaded);
    this.loaded = loaded;
    this.changed();
  }

  /** A new path is looked at where the last one was, a known one at the same step. */
  private look(loaded: LoadedPath): void {
    const { path } = loaded;
    const whole: Range = [0, path.steps];
    const range = clipZoom(this.steps, whole) ?? whole;
    const old = this.cursor;
    const isKnown = old !== null && loaded === this.loaded;
    if (!isKnown || String(old.range) !== String(range)) {
      const cursor = new Cursor(range, path.frame_steps);
      if (isKnown) cursor.moveTo(old.step);
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
