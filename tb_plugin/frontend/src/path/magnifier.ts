/** The ends of a path, the current frame and their differences, enlarged; the values at the cursor. */

import { html } from "lit";
import { customElement, property } from "lit/decorators.js";
import { FollowsCursor } from "../cursor/follows_cursor.ts";
import type { Path, Snapshot } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { colourBar } from "../frames/colour_bar.ts";
import { destinationFrame, differenceScale, signalScale } from "../frames/frames.ts";
import { frameProbability } from "../text/labels.ts";
import { formatCount, formatDistance, formatValue } from "../text/numbers.ts";
import { distanceName, valuesAt } from "./curves.ts";

const DIFFERENCE_KEY = html`<div class="colour-key">
  <dt>differences</dt>
  <dd><span class="swatch brighter"></span>brighter <span class="swatch darker"></span>darker</dd>
</div>`;

@customElement("leaf-magnifier")
export class LeafMagnifier extends FollowsCursor {
  @property({ attribute: false }) loaded: LoadedPath | null = null;
  @property({ attribute: false }) dark = false;
  @property({ attribute: false }) snapshot: Snapshot | null = null;

  protected override render(): unknown {
    const { loaded, cursor } = this;
    if (!loaded || !cursor) return "";
    if (this.snapshot?.kind === "prediction") return this.outcome(loaded, cursor.frame);
    const { path } = loaded;
    const { frame } = cursor;
    const destination = destinationFrame(loaded);
    const label = path.frame_labels[frame] ?? "";
    const probability = frameProbability(path, frame);
    const frameStep = formatCount(path.frame_steps[frame] ?? 0);
    return html`<div class="magnifier">
      ${this.figure("source", html`source <strong>${path.source}</strong>`, 0)}
      ${this.figure(
        "current",
        html`step ${frameStep}: <strong>${label}</strong> ${probability}`,
        frame,
      )}
      ${this.figure("change", html`change since source`, frame, 0)}
      ${
        destination === null
          ? ""
          : html`
              ${this.figure("remaining", html`change to destination`, destination, frame)}
              ${this.figure(
                "destination",
                html`destination <strong>${path.destination}</strong>`,
                destination,
              )}
            `
      }
      ${this.facts(path.frames.type === "signal" ? "" : DIFFERENCE_KEY)}
    </div>`;
  }

  /** The start, the end and the change of a prediction path, then the current frame. */
  private outcome(loaded: LoadedPath, frame: number): unknown {
    const { path } = loaded;
    const end = path.frame_steps.length - 1;
    const step = formatCount(path.frame_steps[frame] ?? 0);
    return html`<div class="magnifier outcome">
      ${this.figure("source", html`start: ${this.prediction(path, 0)}`, 0)}
      ${this.figure("end", html`end: ${this.prediction(path, end)}`, end)}
      ${this.figure("change", html`change: end − start ${this.scale(loaded, end)}`, end, 0)}
      ${this.figure("current", html`step ${step}: ${this.prediction(path, frame)}`, frame)}
      ${this.facts("")}
    </div>`;
  }

  /** What the colours of the change mean, with numbers. */
  private scale(loaded: LoadedPath, end: number): unknown {
    const { frames } = loaded.path;
    if (frames.type === "signal") {
      const largest = formatValue(signalScale(frames, 0, end));
      return html`<span class="line">by at most ${largest}; grey: zero</span>`;
    }
    const unit = this.snapshot?.scaled
      ? "1 = from the smallest to the largest value"
      : "1 = from black to white";
    return html`${colourBar(differenceScale(loaded))} <span class="line">${unit}</span>`;
  }

  /** "read as 3 at 0.98", or the labels that are predicted. */
  private prediction(path: Path, frame: number): unknown {
    const label = html`<strong>${path.frame_labels[frame] ?? ""}</strong>`;
    const probability = frameProbability(path, frame);
    return probability ? html`read as ${label} at ${probability}` : label;
  }

  private figure(name: string, caption: unknown, frame: number, since: number | null = null) {
    return html`<figure class="large ${name}" data-testid="large-${name}" data-frame=${frame}>
      <leaf-tile
        .loaded=${this.loaded}
        .frame=${frame}
        .since=${since}
        .dark=${this.dark}
      ></leaf-tile>
      <figcaption>${caption}</figcaption>
    </figure>`;
  }

  private facts(key: unknown): unknown {
    const path = this.loaded?.path;
    const { snapshot } = this;
    if (!path || !this.cursor || !snapshot) return "";
    const reading = valuesAt(path, this.cursor.step);
    const facts: [string, string][] = [
      ["path step", `${formatCount(this.cursor.step)} of ${formatCount(path.steps)}`],
      [distanceName(snapshot.kind, path), formatDistance(reading.distance)],
      ["horizontality of this step", formatValue(reading.horizontality)],
      ["Fisher–Rao length so far", formatValue(reading.fisherRaoLength)],
      [
        snapshot.likelihood === "categorical" ? "entropy of p" : "entropy of all labels",
        `${formatValue(reading.entropy)} nats`,
      ],
    ];
    return html`<dl class="facts" data-testid="facts">
      ${facts.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
      ${key}
    </dl>`;
  }
}
