import type { Cursor } from "./cursor.ts";

const SECONDS = 5;

/** Moves a cursor along all that is shown of its path in a few seconds, from where it is. */
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
    let began: number | null = null;
    const advance = (now: number) => {
      began ??= now;
      cursor.moveTo(start + ((last - first) * (now - began)) / (1000 * SECONDS));
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
