/** What a prediction path is and how it ended, in words. */

import { html } from "lit";
import type { Likelihood } from "../data/api.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { explanation, judgement, type Verdict, verdict } from "../text/verdict.ts";

const SIGNS: ReadonlyMap<Verdict["tone"], string> = new Map([
  ["good", "✓"],
  ["partial", "⚠"],
  ["bad", "✗"],
]);

export function outcomeText({ path, sheet }: LoadedPath, likelihood: Likelihood): unknown {
  const noun = sheet ? "image" : "input";
  const judged = judgement(path, likelihood);
  return html`<div class="outcome-text">
    <p data-testid="explanation">${explanation(path, likelihood, noun)}</p>
    ${note("verdict", verdict(path, likelihood))} ${judged ? note("judgement", judged) : ""}
    ${details(noun)}
  </div>`;
}

function note(name: string, { text, tone }: Verdict): unknown {
  const sign = SIGNS.get(tone);
  return html`<p class="verdict ${tone}" data-testid=${name}>
    ${sign ? html`<span aria-hidden="true">${sign}</span>` : ""} <span>${text}</span>
  </p>`;
}

function details(noun: string): unknown {
  return html`<details class="about" data-testid="about">
    <summary>How to read this</summary>
    <p>
      At each step, the path makes the smallest change of the ${noun} that moves the predicted
      probabilities along the shortest way to the target. The steps together need not be the
      smallest of all changes with this effect. If the target is a class, the target
      probabilities are those of the start, with those of this class and of the predicted class
      exchanged: the model becomes as sure of the one as it was of the other.
    </p>
    <p>
      The change is the Euclidean distance between start and end, in units of the input of the
      model. The Fisher–Rao length measures how far the prediction moves. A path of 1.00 times the
      shortest length goes straight to the target.
    </p>
    <p>
      The change shows what this model reacts to. It need not look like the target to a person, or
      to another network.
    </p>
  </details>`;
}
