/** A slider that moves the cursor along a path. */

import { html } from "lit";
import { customElement, property } from "lit/decorators.js";
import { FollowsCursor } from "../cursor/follows_cursor.ts";
import { formatCount } from "../text/numbers.ts";

const DIRECTIONS: ReadonlyMap<string, number> = new Map([
  ["ArrowLeft", -1],
  ["ArrowDown", -1],
  ["ArrowRight", 1],
  ["ArrowUp", 1],
]);

@customElement("leaf-scrubber")
export class LeafScrubber extends FollowsCursor {
  /** Describes the frame at the cursor for screen readers. */
  @property({ attribute: false }) describe: () => string = () => "";

  protected override render(): unknown {
    if (!this.cursor) return "";
    const { step, range, frameSteps } = this.cursor;
    const [first, last] = range;
    const steps = Math.max(last, frameSteps.at(-1) ?? last);
    return html`<input
      type="range"
      data-testid="scrubber"
      aria-label="Path step"
      aria-valuetext="step ${formatCount(step)} of ${formatCount(steps)}, ${this.describe()}"
      title="← → move by one frame, with Shift by one step"
      min=${first}
      max=${last}
      step="1"
      .value=${String(step)}
      style="--done: ${last > first ? (100 * (step - first)) / (last - first) : 0}%"
      @input=${(event: InputEvent) =>
        this.cursor?.moveTo(Number((event.target as HTMLInputElement).value))}
      @keydown=${this.press}
    />`;
  }

  private press(event: KeyboardEvent): void {
    const direction = DIRECTIONS.get(event.key);
    if (!direction || event.shiftKey || !this.cursor) return;
    event.preventDefault();
    this.cursor.moveToFrame(this.cursor.neighbour(direction));
  }
}
