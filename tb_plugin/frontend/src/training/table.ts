/** The training curves as a table. */

import type { Run } from "../data/api.ts";
import { type Cell, toCsv } from "../save/csv.ts";
import type { GetScalar } from "./curves.ts";

/** One row per logged value of each run, without smoothing. */
export function trainingCsv(runs: readonly Run[], get: GetScalar): string {
  const rows = runs.flatMap(({ run, scalars }) =>
    scalars.flatMap((tag) => {
      const { steps = [], values = [] } = get(run, tag) ?? {};
      return steps.map((step, i): Cell[] => [run, tag, step, values[i] ?? null]);
    }),
  );
  return toCsv([["run", "tag", "step", "value"], ...rows]);
}
