import type { Cursor } from "./cursor.ts";

const DURATION_SECONDS = 5;

/** Moves a cursor from its step to the end of its range. The whole range takes five seconds. */
export class Player {
  private request = 0;

  /** @param changed Called when it starts or stops. */
  constructor(private readonly changed: () => void) {}

  get isPlaying(): boolean {
    return this.request !== 0;
  }

  play(cursor: Cursor): void {
    const [first, last] = cursor.range;
    if (cursor.step >= last) cursor.moveTo(first);
    const start = cursor.step;
    let startTime: number | null = null;
    const advance = (now: number) => {
      startTime ??= now;
      cursor.moveTo(start + ((last - first) * (now - startTime)) / (1000 * DURATION_SECONDS));
      if (cursor.step >= last) this.stop();
      else this.request = requestAnimationFrame(advance);
    };
    this.request = requestAnimationFrame(advance);
    this.changed();
  }

  stop(): void {
    if (!this.isPlaying) return;
    cancelAnimationFrame(this.request);
    this.request = 0;
    this.changed();
  }
}
