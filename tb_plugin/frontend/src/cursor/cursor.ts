/** The current step of a path, shared by strip, magnifier, charts and rows. */

import { evenly } from "../numeric/evenly.ts";
import { nearest } from "../numeric/nearest.ts";
import type { Range } from "../numeric/range.ts";
import { framesWithin } from "../numeric/step_range.ts";

export class Cursor {
  private current: number;
  private readonly listeners = new Set<() => void>();
  /** The first and the last frame that are shown. */
  readonly frames: Range;

  /**
   * @param range The first and the last step that are shown.
   * @param frameSteps The steps of all frames of the path, increasing.
   */
  constructor(
    readonly range: Range,
    readonly frameSteps: readonly number[],
  ) {
    this.current = range[0];
    this.frames = framesWithin(frameSteps, range);
  }

  get step(): number {
    return this.current;
  }

  /** Index of the shown frame nearest to the step. */
  get frame(): number {
    return clamped(nearest(this.frameSteps, this.current), this.frames);
  }

  /** The next frame in a direction. The cursor may be between two frames. */
  neighbour(direction: number): number {
    const { frame } = this;
    const offset = (this.frameSteps[frame] ?? 0) - this.current;
    return offset * direction > 0 ? frame : frame + direction;
  }

  moveTo(step: number): void {
    if (Number.isNaN(step)) return;
    const clipped = clamped(Math.round(step), this.range);
    if (clipped === this.current) return;
    this.current = clipped;
    for (const listener of this.listeners) listener();
  }

  moveToFrame(frame: number): void {
    this.moveTo(this.frameSteps[clamped(frame, this.frames)] ?? 0);
  }

  /** Call `listener` after each move. Returns a function that unsubscribes it. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

const MAX_FRAMES_SHOWN = 1000;

/** The frames in the range of a cursor that fit on a page: all, or else evenly spaced ones. */
export function shownFrames({ frames: [first, last] }: Cursor): number[] {
  return evenly(first, last, MAX_FRAMES_SHOWN);
}

function clamped(value: number, [low, high]: Range): number {
  return Math.min(Math.max(value, low), high);
}
