/** The one place on a path at which strip, frames, curves and rows look together. */

import { nearest } from "./nearest.ts";

export class Cursor {
  private current = 0;
  private readonly listeners = new Set<() => void>();

  /**
   * @param steps The last step of the path.
   * @param frameSteps The steps of its frames, increasing.
   */
  constructor(
    readonly steps: number,
    readonly frameSteps: readonly number[],
  ) {}

  get step(): number {
    return this.current;
  }

  /** Position of the frame nearest to the step. */
  get frame(): number {
    return nearest(this.frameSteps, this.current);
  }

  /** The next frame in a direction, from between two frames as well. */
  neighbour(direction: number): number {
    const { frame } = this;
    const offset = (this.frameSteps[frame] ?? 0) - this.current;
    return offset * direction > 0 ? frame : frame + direction;
  }

  moveTo(step: number): void {
    const inside = Math.min(Math.max(Math.round(step), 0), this.steps);
    if (inside === this.current) return;
    this.current = inside;
    for (const listener of this.listeners) listener();
  }

  moveToFrame(frame: number): void {
    const last = this.frameSteps.length - 1;
    this.moveTo(this.frameSteps[Math.min(Math.max(frame, 0), last)] ?? 0);
  }

  /** Call `listener` after each move, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
