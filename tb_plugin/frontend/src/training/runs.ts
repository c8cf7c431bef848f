/** The runs of the training charts. */

import type { Run } from "../data/api.ts";

export interface TrainingRun {
  run: Run;
  /** Its position among all runs, which determines its colour. */
  position: number;
}

export function sameRuns(one: readonly TrainingRun[], other: readonly TrainingRun[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ run, position }, i) => run === other[i]?.run && position === other[i]?.position)
  );
}
