/** Source, current frame, destination and their differences, enlarged; the values at the cursor. */

import { html } from "lit";
import { customElement, property } from "lit/decorators.js";
import { FollowsCursor } from "../cursor/follows_cursor.ts";
import type { Likelihood } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { destinationFrame } from "../frames/frames.ts";
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
  @property({ attribute: false }) likelihood: Likelihood = "categorical";

  protected override render(): unknown {
    const { loaded, cursor } = this;
    if (!loaded || !cursor) return "";
    const { path } = loaded;
    const { frame } = cursor;
    const destination = destinationFrame(loaded);
    const label = path.frame_labels[frame] ?? "";
    const probability = frameProbability(path, frame);
    const frameStep = formatCount(path.frame_steps[frame] ?? 0);
    const isSignal = path.frames.type === "signal";
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
      ${this.facts(isSignal)}
    </div>`;
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

  private facts(isSignal: boolean): unknown {
    const path = this.loaded?.path;
    if (!path || !this.cursor) return "";
    const reading = valuesAt(path, this.cursor.step);
    const facts: [string, string][] = [
      ["path step", `${formatCount(this.cursor.step)} of ${formatCount(path.steps)}`],
      [distanceName(path), formatDistance(reading.distance)],
      ["horizontality of this step", formatValue(reading.horizontality)],
      ["Fisher–Rao length so far", formatValue(reading.fisherRaoLength)],
      [
        this.likelihood === "categorical" ? "entropy of p" : "entropy of all labels",
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
      ${isSignal ? "" : DIFFERENCE_KEY}
    </dl>`;
  }
}
