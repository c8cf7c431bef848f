/** Sentences on what the lists of a log directory do not contain. */

import type { Run } from "../data/api.ts";
import { formatCount } from "../text/numbers.ts";

/** What is not listed of the snapshots of a run. */
export function omittedSnapshots({ snapshots, omitted, superseded }: Run): string[] {
  const sentences: string[] = [];
  if (omitted > 0) {
    const total = formatCount(snapshots.length + omitted);
    sentences.push(
      `${formatCount(snapshots.length)} of ${total} snapshots are listed, spread evenly over the steps.`,
    );
  }
  if (superseded > 0) {
    const were = superseded === 1 ? "snapshot is" : "snapshots are";
    sentences.push(
      `${formatCount(superseded)} ${were} not listed: a training that was resumed repeated their steps.`,
    );
  }
  return sentences;
}

export function omittedRuns(runs: number, omitted: number): string {
  if (omitted <= 0) return "";
  return `${formatCount(runs)} of ${formatCount(runs + omitted)} runs are listed. Start TensorBoard with a smaller log directory to see the others.`;
}
