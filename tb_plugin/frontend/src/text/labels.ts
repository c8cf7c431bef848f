/** Labels of paths and snapshots. */

import type {
  Barrier,
  Kind,
  Likelihood,
  Path,
  PathScalars,
  Snapshot,
  Values,
} from "../data/api.ts";
import { shown } from "../data/untrusted_text.ts";
import type { Range } from "../numeric/range.ts";
import { formatCount, formatDistance, formatProbability, formatValue } from "./numbers.ts";

/** "4 → 9", or "4" for a walk, which has no destination. */
export function pairName(path: PathScalars): string {
  return path.destination ? `${path.source} → ${path.destination}` : path.source;
}

/** Like `pairName`, with the index of the start of a walk: "4 · no. 24". */
export function listName(path: PathScalars): string {
  const isWalk = !path.destination && path.source_index !== null;
  return isWalk ? `${path.source} · no. ${path.source_index}` : pairName(path);
}

/**
 * The names of all paths of a snapshot in a list.
 *
 * Prediction paths from several examples of one class also have the index: "8 → 3 · no. 24".
 */
export function listNames({ kind, paths }: Snapshot): string[] {
  const first = new Map<string, number | null>();
  const ambiguous = new Set<string>();
  for (const { source, source_index } of kind === "prediction" ? paths : []) {
    const known = first.get(source);
    if (known === undefined) first.set(source, source_index);
    else if (known !== source_index) ambiguous.add(source);
  }
  return paths.map((path) =>
    ambiguous.has(path.source) && path.source_index !== null
      ? `${listName(path)} · no. ${path.source_index}`
      : listName(path),
  );
}

/** "Horizontal path 4 → 9", "Prediction path 4 → 9" or "Orthogonal walk from 4". */
export function pathTitle({ kind }: Snapshot, path: PathScalars): string {
  switch (kind) {
    case "horizontal":
      return `Horizontal path ${pairName(path)}`;
    case "prediction":
      return `Prediction path ${pairName(path)}`;
    case "orthogonal":
      return path.destination
        ? `Orthogonal walk from ${path.source} towards ${path.destination}`
        : `Orthogonal walk from ${path.source}`;
  }
}

/** Size of the change of a path that reached its target, or how far it is from its end. */
export function distanceText(kind: Kind, path: PathScalars): string {
  if (kind === "prediction" && path.status === "reached") return changeText(path);
  if (path.final_distance === null) return "distance unknown";
  return path.destination
    ? `${formatDistance(path.final_distance)} of ${formatDistance(path.start_distance)} left`
    : `${formatDistance(path.final_distance)} from the start`;
}

/** "changed by 11.2". */
export function changeText({ change }: PathScalars): string {
  return `changed by ${formatValue(change)}`;
}

/** Status and final distance: "stalled after 408 steps · 22.25 of 29.66 left". */
export function statusText(kind: Kind, path: PathScalars): string {
  const barrier = path.status === "blocked" ? barrierText(path.blocked_by) : "";
  return [statusWithSteps(path), barrier, distanceText(kind, path)].filter(Boolean).join(" · ");
}

/** What blocks a path, in a few words; "" if it is unknown. */
export function barrierText(barrier: Barrier): string {
  return BARRIERS.get(barrier) ?? "";
}

const BARRIERS: ReadonlyMap<Barrier, string> = new Map([
  ["rank", "no direction leads on"],
  ["domain", "valid range"],
  ["prediction", "the prediction would change"],
]);

/** "stalled after 408 steps". */
export function statusWithSteps(path: PathScalars): string {
  const steps = `${formatCount(path.steps)} ${path.steps === 1 ? "step" : "steps"}`;
  switch (path.status) {
    case "reached":
      return `reached after ${steps}`;
    case "blocked":
      return `blocked after ${steps}`;
    case "stalled":
      return `stalled after ${steps}`;
    case "out_of_time":
      return `ran out of time after ${steps}`;
    case "non_finite":
      return `non-finite after ${steps}`;
    case "out_of_steps":
      // A walk has no destination, so it always takes all of its steps.
      return path.destination
        ? `ran out of steps after ${formatCount(path.steps)}`
        : `walked ${steps}`;
  }
}

/** A short form of the status, for lists. */
export function shortStatus(path: PathScalars): string {
  return path.status === "out_of_steps" && !path.destination
    ? "walked"
    : path.status.replaceAll("_", " ");
}

/** The outcome, which sets the colour of the status. */
export function outcome(path: PathScalars): "good" | "partial" | "bad" {
  if (path.status === "non_finite") return "bad";
  const isCut = path.status === "out_of_time" || path.status === "blocked";
  const isWhole = path.status === "reached" || (!path.destination && !isCut);
  return isWhole ? "good" : "partial";
}

/** The probability of the prediction at a frame; "" for independent labels. */
export function frameProbability({ frame_probabilities: all }: Path, frame: number): string {
  let hasNone = havingNone.get(all);
  if (hasNone === undefined) {
    hasNone = all.every((probability) => probability === null);
    havingNone.set(all, hasNone);
  }
  return hasNone ? "" : formatProbability(all[frame]);
}

/** Whether all values are missing. A strip asks once for each of its frames. */
const havingNone = new WeakMap<Values, boolean>();

/** The prediction at a frame: "cat 0.98", or "cat, dog" for independent labels. */
export function predictionText(path: Path, frame: number): string {
  return [path.frame_labels[frame] ?? "", frameProbability(path, frame)].filter(Boolean).join(" ");
}

/** What one of C scores is for: "class", or "label" if several can be true. */
export function scoreNoun(likelihood: Likelihood): "class" | "label" {
  return likelihood === "categorical" ? "class" : "label";
}

/** Indices of source and destination in their data set: "examples 24 → 78". */
export function indicesText(path: PathScalars): string {
  if (path.source_index === null) return "";
  return path.destination_index === null
    ? `example ${path.source_index}`
    : `examples ${path.source_index} → ${path.destination_index}`;
}

/** Run, step and examples of a path: "digits/sgd · step 3 000 · examples 24 → 78". */
export function pathFacts(run: string, snapshot: Snapshot, path: PathScalars): string {
  const facts = [shown(run), `step ${formatCount(snapshot.step)}`, indicesText(path)];
  return facts.filter(Boolean).join(" · ");
}

/** "1 000 of 20 000 frames"; empty if all frames are shown. */
export function framesText(shown: number, [first, last]: Range): string {
  const count = last - first + 1;
  return shown < count ? `${formatCount(shown)} of ${formatCount(count)} frames` : "";
}

/** A range of path steps: "path steps 120–300 of 480". */
export function stepsText([from, to]: Range, steps: number): string {
  return `path steps ${formatCount(from)}–${formatCount(to)} of ${formatCount(steps)}`;
}

const REASONS: ReadonlyMap<string, string> = new Map([
  ["checkpoint", "checkpoint saved"],
  ["epoch", "end of epoch"],
  ["fit_end", "end of training"],
  ["step", "selected step"],
  ["trace_return", "trace returned to its start"],
]);

/** The trigger of a snapshot. Reasons of user-defined triggers have no label. */
export function reasonText(snapshot: Snapshot): string {
  return REASONS.get(snapshot.reason) ?? snapshot.reason.replaceAll("_", " ");
}

/** The name of a callback as a heading: "horizontal_path" → "horizontal path". */
export function spacedName(name: string): string {
  return shown(name).replaceAll("_", " ");
}

/** Names as a list: "a, b and 3 more". */
export function withRest(names: readonly string[], limit: number): string {
  const rest = names.length - limit;
  const first = names.slice(0, limit).join(", ");
  return rest > 0 ? `${first} and ${formatCount(rest)} more` : first;
}
