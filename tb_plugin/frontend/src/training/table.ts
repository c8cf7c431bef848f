/** The training curves as a table. */

import type { Run } from "../data/api.ts";
import { type Cell, toCsv } from "../save/csv.ts";
import type { GetScalar } from "./curves.ts";

/** One row per logged value of each run, without smoothing. */
export function trainingCsv(runs: readonly Run[], get: GetScalar): string {
  function* rows(): Generator<Cell[]> {
    yield ["run", "tag", "step", "value"];
    for (const { run, scalars } of runs) {
      for (const tag of scalars) {
        const { steps = [], values = [] } = get(run, tag) ?? {};
        for (const [i, step] of steps.entries()) yield [run, tag, step, values[i] ?? null];
      }
    }
  }
  return toCsv(rows());
}
