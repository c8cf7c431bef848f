/** What a prediction path says, in words. */

import type { Barrier, Likelihood, Path, PathScalars, Status } from "../data/api.ts";
import { barrierText, changeText, outcome } from "./labels.ts";
import { formatDistance, formatProbability, formatValue } from "./numbers.ts";

export interface Verdict {
  text: string;
  tone: "good" | "partial" | "bad" | "neutral";
}

/** One sentence on what the path is. `noun` is "image" or "input". */
export function explanation(path: Path, likelihood: Likelihood, noun: string): string {
  const change = `change of the ${noun}, along directions to which the model reacts,`;
  const effect = effectOf(path, likelihood);
  const [from = ""] = path.frame_labels;
  // Sources without a label are named by their positions: "#61".
  const isLabelled = likelihood === "categorical" && !path.source.startsWith("#");
  const surprise =
    isLabelled && from !== path.source
      ? ` The model reads the start, whose label is ${path.source}, as ${from}.`
      : "";
  const sentence =
    path.status === "reached"
      ? `A ${change} that ${effect}.`
      : `It seeks a ${change} that ${effect}.`;
  return sentence + surprise;
}

function effectOf(
  { frame_labels: [from = ""], destination }: Path,
  likelihood: Likelihood,
): string {
  if (likelihood === "bernoulli") return `reverses the answer of the model for ${destination}`;
  return from === destination
    ? `gives the probabilities asked for, most of all for ${destination}`
    : `makes the model as sure of ${destination} as it was of ${from}`;
}

const BARRIERS: ReadonlyMap<Barrier, string> = new Map([
  ["rank", "no change of the input makes the missing change of the prediction"],
  ["domain", "only values outside of the valid range of the input lead on"],
  ["prediction", "the next step would change the prediction"],
]);

const ENDS: ReadonlyMap<Status, string> = new Map([
  ["blocked", "Blocked"],
  ["stalled", "Stalled: further steps came no closer to the target"],
  ["out_of_steps", "Not reached: the path ran out of steps"],
  ["out_of_time", "Not reached: the path ran out of time"],
  ["non_finite", "Not reached: the model returned NaN or infinity"],
]);

/** How the path ended: "now read as 3 at 0.98 · changed by 11.2 (Euclidean) · …". */
export function verdict(path: Path, likelihood: Likelihood): Verdict {
  const isReached = path.status === "reached";
  const facts = [
    isReached
      ? `Now ${reading(path, likelihood)}`
      : `${endText(path)}. The end is ${reading(path, likelihood)}`,
    ...answers(path, likelihood),
    isReached
      ? ""
      : `${formatDistance(path.final_distance)} of ${formatDistance(path.start_distance)} left (Fisher–Rao)`,
    switchText(path, likelihood),
    path.change === null ? "" : `${changeText(path)} (Euclidean)`,
    path.length_ratio === null
      ? ""
      : `Fisher–Rao length ${formatDistance(path.length_ratio)} times the shortest`,
  ];
  return { text: facts.filter(Boolean).join(" · "), tone: outcome(path) };
}

/** When the prediction switches: "first read as 3 after a change of 4.1". */
function switchText({ switch_change, destination }: Path, likelihood: Likelihood): string {
  if (switch_change === null) return "";
  const what = likelihood === "bernoulli" ? "the answer switches" : `first read as ${destination}`;
  return `${what} after a change of ${formatValue(switch_change)}`;
}

function endText(path: Path): string {
  const barrier = BARRIERS.get(path.blocked_by);
  return [ENDS.get(path.status), barrier].filter(Boolean).join(": ");
}

function reading(path: Path, likelihood: Likelihood): string {
  const last = path.frame_labels.length - 1;
  const label = path.frame_labels[last] ?? "";
  if (likelihood === "bernoulli") return `predicted: ${label}`;
  return `read as ${label} at ${formatProbability(path.frame_probabilities[last])}`;
}

/** The probability of the label that changes, at start and end. */
function answers({ classes, probabilities, destination }: Path, likelihood: Likelihood): string[] {
  const values = probabilities[classes.indexOf(destination)];
  if (likelihood === "categorical" || !values) return [];
  const [first, last] = [values[0], values.at(-1)].map(formatProbability);
  return [`${destination} from ${first} to ${last}`];
}

/** What another network says of the end of a path; null without one. */
export function judgement(path: PathScalars, likelihood: Likelihood): Verdict | null {
  const { judged, judged_probability, destination } = path;
  if (!judged) return null;
  const says =
    judged_probability === null ? judged : `${judged} at ${formatProbability(judged_probability)}`;
  // A path that did not arrive, or one label of several, is no claim about the whole image.
  if (path.status !== "reached" || likelihood === "bernoulli")
    return { text: `Another network says: ${says}.`, tone: "neutral" };
  return judged === destination
    ? { text: `Another network agrees: it says ${says}.`, tone: "good" }
    : {
        text: `Another network says: ${says}. To this network, the end does not look like ${destination}.`,
        tone: "partial",
      };
}

/** Why a path did not reach its target, in a few words; "" if it did. */
export function shortReason({ status, blocked_by }: PathScalars): string {
  if (status === "reached") return "";
  const barrier = status === "blocked" ? barrierText(blocked_by) : "";
  return [status.replaceAll("_", " "), barrier].filter(Boolean).join(": ");
}
