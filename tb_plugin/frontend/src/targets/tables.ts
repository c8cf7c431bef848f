/** The changes to all targets, and over training, as CSV. */

import { type Cell, toCsv } from "../save/csv.ts";
import type { Moment, Target } from "./targets.ts";

const NAMES = [
  "target",
  "change",
  "switch_change",
  "status",
  "blocked_by",
  "steps",
  "length_ratio",
];
const DISTANCES = ["start_distance", "final_distance", "threshold", "judged", "judged_probability"];

export function targetsCsv(targets: readonly Target[]): string {
  return toCsv([[...NAMES, ...DISTANCES], ...targets.map(row)]);
}

export function momentsCsv(moments: readonly Moment[]): string {
  const rows = moments.map((moment): Cell[] => [moment.step, ...row(moment)]);
  return toCsv([["optimizer_step", ...NAMES, ...DISTANCES], ...rows]);
}

function row({ path }: Target): Cell[] {
  return [
    path.destination,
    path.change,
    path.switch_change,
    path.status,
    path.blocked_by,
    path.steps,
    path.length_ratio,
    path.start_distance,
    path.final_distance,
    path.threshold,
    path.judged,
    path.judged_probability,
  ];
}
