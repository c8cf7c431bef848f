/** Selects the paths that are compared, one per row. */

import type { PathKey, Run, Snapshot } from "../data/api.ts";
import { shown } from "../data/untrusted_text.ts";
import { distanceText, listNames } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import { indexOfSame, nearestStep, type Opened, type RowsTab } from "../view/view.ts";

export interface Row {
  key: PathKey;
  title: string;
  note: string;
}

/** The rows of a tab for the open path. */
export function rowsFor(tab: RowsTab, opened: Opened, drawn: readonly Run[]): Row[] {
  switch (tab) {
    case "training":
      return rowsOverTraining(opened);
    case "pairs":
      return rowsOfPairs(opened);
    case "runs":
      return rowsAcrossRuns(opened, drawn);
  }
}

/** Describe the rows of a tab. */
export function tabDescription(tab: RowsTab): string {
  switch (tab) {
    case "training":
      return "the same path at each snapshot, aligned";
    case "pairs":
      return "all paths of this snapshot, aligned";
    case "runs":
      return "the same path in every drawn run, at the nearest step";
  }
}

function rowsOverTraining(opened: Opened): Row[] {
  const { run, snapshot } = opened;
  return run.snapshots
    .filter(({ name }) => name === snapshot.name)
    .flatMap((other) => row(run, other, indexOfSame(opened, other), stepName));
}

function rowsOfPairs({ run, snapshot }: Opened): Row[] {
  const names = listNames(snapshot);
  return snapshot.paths.flatMap((_, i) => row(run, snapshot, i, () => names[i] ?? ""));
}

function rowsAcrossRuns(opened: Opened, drawn: readonly Run[]): Row[] {
  const { run: current, snapshot } = opened;
  return drawn.concat(drawn.includes(current) ? [] : [current]).flatMap((run) => {
    const candidates = run.snapshots.filter(
      (other) => other.name === snapshot.name && indexOfSame(opened, other) >= 0,
    );
    const other = run === current ? snapshot : nearestStep(candidates, snapshot.step);
    if (!other) return [];
    const title = () => `${shown(run.run)} · ${stepName(other)}`;
    return row(run, other, indexOfSame(opened, other), title);
  });
}

function row(run: Run, snapshot: Snapshot, index: number, title: (of: Snapshot) => string): Row[] {
  const path = snapshot.paths[index];
  if (!path) return [];
  const key = { run: run.run, tag: snapshot.tag, index };
  return [{ key, title: title(snapshot), note: distanceText(snapshot.kind, path) }];
}

function stepName({ step }: Snapshot): string {
  return `step ${formatCount(step)}`;
}
