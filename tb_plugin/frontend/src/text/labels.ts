/** What a path is and what became of it, in words. */

import type { PathScalars, Snapshot } from "../data/api.ts";
import type { Range } from "../numeric/range.ts";
import { formatCount, formatDistance } from "./numbers.ts";

/** "4 → 9", or "4" for a walk without destination. */
export function pairName(path: PathScalars): string {
  return path.destination ? `${path.source} → ${path.destination}` : path.source;
}

/** Tells walks from starts of the same class apart: "4 · no. 24". */
export function listName(path: PathScalars): string {
  const isWalk = !path.destination && path.source_index !== null;
  return isWalk ? `${path.source} · no. ${path.source_index}` : pairName(path);
}

/** "Horizontal path 4 → 9"; "Orthogonal walk from 4". */
export function pathTitle(snapshot: Snapshot, path: PathScalars): string {
  return snapshot.kind === "horizontal"
    ? `Horizontal path ${pairName(path)}`
    : `Orthogonal walk from ${path.source}`;
}

/** What is left, or how far the walk went: "22.25 of 29.66 left", "17.32 from the start". */
export function distanceText(path: PathScalars): string {
  if (path.final_distance === null) return "distance unknown";
  return path.destination
    ? `${formatDistance(path.final_distance)} of ${formatDistance(path.start_distance)} left`
    : `${formatDistance(path.final_distance)} from the start`;
}

/** What became of the path: "stalled after 408 steps · 22.25 of 29.66 left". */
export function statusText(path: PathScalars): string {
  return `${ending(path)} · ${distanceText(path)}`;
}

function ending(path: PathScalars): string {
  const steps = `${formatCount(path.steps)} ${path.steps === 1 ? "step" : "steps"}`;
  switch (path.status) {
    case "reached":
      return `reached after ${steps}`;
    case "stalled":
      return `stalled after ${steps}`;
    case "non_finite":
      return `non-finite after ${steps}`;
    case "out_of_steps":
      // A walk has no destination: it always goes on until its steps are spent.
      return path.destination
        ? `ran out of steps after ${formatCount(path.steps)}`
        : `walked ${steps}`;
  }
}

/** The status in a word or two, for lists. */
export function shortStatus(path: PathScalars): string {
  return path.status === "out_of_steps" && !path.destination
    ? "walked"
    : path.status.replaceAll("_", " ");
}

/** How well the path ended, which decides the colour of its status. */
export function outcome(path: PathScalars): "good" | "partial" | "bad" {
  if (path.status === "non_finite") return "bad";
  return path.status === "reached" || !path.destination ? "good" : "partial";
}

/** Where the ends of a path are in their data set: "examples 24 → 78". */
export function indicesText(path: PathScalars): string {
  if (path.source_index === null) return "";
  return path.destination_index === null
    ? `example ${path.source_index}`
    : `examples ${path.source_index} → ${path.destination_index}`;
}

/** Where a path is from: "digits/sgd · step 3 000 · examples 24 → 78". */
export function pathFacts(run: string, snapshot: Snapshot, path: PathScalars): string {
  const facts = [run, `step ${formatCount(snapshot.step)}`, indicesText(path)];
  return facts.filter(Boolean).join(" · ");
}

/** A part of a path: "path steps 120–300 of 480". */
export function stepsText([from, to]: Range, steps: number): string {
  return `path steps ${formatCount(from)}–${formatCount(to)} of ${formatCount(steps)}`;
}

const REASONS: Record<string, string> = {
  checkpoint: "checkpoint saved",
  epoch: "end of epoch",
  fit_end: "end of training",
  step: "chosen step",
  trace_return: "trace returned to its start",
};

/** Why a snapshot was taken; a reason of the user's own speaks for itself. */
export function reasonText(snapshot: Snapshot): string {
  return REASONS[snapshot.reason] ?? snapshot.reason.replaceAll("_", " ");
}

/** A callback's name as a heading: "horizontal_path" → "horizontal path". */
export function spacedName(name: string): string {
  return name.replaceAll("_", " ");
}
