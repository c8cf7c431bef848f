/** The view: which part of the data the page shows. It is stored in the URL. */

import type { Kind, PathIndex, PathKey, Run, Snapshot } from "../data/api.ts";
import type { Range } from "../numeric/range.ts";

export interface View {
  /** A regular expression that the names of listed runs match. */
  filter: string;
  /** Whether a run is drawn, for runs that the user switched on or off. */
  choices: ReadonlyMap<string, boolean>;
  /** Smoothing weight of training curves, in [0, 1). */
  smoothing: number;
  scale: "log" | "linear";
  /** The optimizer steps that training charts are zoomed to; null for all. */
  trainingSteps: Range | null;
  rows: RowsTab;
  open: PathKey | null;
  /** The steps that the open path is zoomed to; null for all. */
  pathSteps: Range | null;
  /** The path step of the cursor; null for the default of the page. */
  at: number | null;
  /** Names of classes whose curves are hidden, on every path. */
  hiddenClasses: readonly string[];
}

export type RowsTab = "training" | "pairs" | "runs";

export const INITIAL_VIEW: View = {
  filter: "",
  choices: new Map(),
  smoothing: 0,
  scale: "log",
  trainingSteps: null,
  rows: "training",
  open: null,
  pathSteps: null,
  at: null,
  hiddenClasses: [],
};

/** The open path with its run and snapshot. */
export interface Opened {
  key: PathKey;
  run: Run;
  snapshot: Snapshot;
  path: PathIndex;
}

const MAX_DRAWN_INITIALLY = 10;

/** The runs that are drawn: by default the last ten runs and the open one. */
export function drawnRuns(runs: readonly Run[], view: View, open: Run | null): Run[] {
  return runs.filter(
    (run, i) =>
      view.choices.get(run.run) ?? (run === open || i >= runs.length - MAX_DRAWN_INITIALLY),
  );
}

/** Find the path of a key, or the nearest existing one if the key does not exist (any more). */
export function findOpened(runs: readonly Run[], key: PathKey | null): Opened | null {
  const run = runs.find((candidate) => candidate.run === key?.run && candidate.snapshots.length);
  if (!run || !key) return newest(runs);
  const snapshot = run.snapshots.find(({ tag }) => tag === key.tag) ?? successor(run, key.tag);
  return opened(run, snapshot, key.index) ?? newest(runs);
}

/** The key of the same path in another snapshot, or of its first path if it lacks the path. */
export function samePathIn(run: Run, snapshot: Snapshot, path: Opened | null): PathKey {
  const index = path ? indexOfSame(path, snapshot) : -1;
  return { run: run.run, tag: snapshot.tag, index: Math.max(index, 0) };
}

/**
 * The position of the open path in another snapshot; -1 if it lacks the path.
 *
 * Paths are the same if their pairs are equal. A snapshot may contain a pair several times: several
 * walks from one class, or from one example. Its k-th path is the same as the k-th of another.
 */
export function indexOfSame({ key, snapshot, path }: Opened, other: Snapshot): number {
  const earlier = snapshot.paths.slice(0, key.index).filter((one) => isSamePair(one, path));
  const same = other.paths.flatMap((one, i) => (isSamePair(one, path) ? [i] : []));
  return same[earlier.length] ?? -1;
}

export function sameKey(one: PathKey | null, other: PathKey | null): boolean {
  return one?.run === other?.run && one?.tag === other?.tag && one?.index === other?.index;
}

function isSamePair(one: PathIndex, other: PathIndex): boolean {
  return (
    one.source === other.source &&
    one.destination === other.destination &&
    one.source_index === other.source_index &&
    one.destination_index === other.destination_index
  );
}

/** The snapshots of a run grouped by name: prediction paths, then others as they first appear. */
export function snapshotsByName(run: Run): Map<string, Snapshot[]> {
  const names = new Map<string, Snapshot[]>();
  const isFirst = ({ kind }: Snapshot) => kind === "prediction";
  const [first, others] = [run.snapshots.filter(isFirst), run.snapshots.filter((s) => !isFirst(s))];
  for (const snapshot of [...first, ...others]) {
    const ofName = names.get(snapshot.name);
    if (ofName) ofName.push(snapshot);
    else names.set(snapshot.name, [snapshot]);
  }
  return names;
}

export function nearestStep(snapshots: readonly Snapshot[], step: number): Snapshot | undefined {
  const distance = (snapshot: Snapshot) => Math.abs(snapshot.step - step);
  return snapshots.reduce<Snapshot | undefined>(
    (best, other) => (best && distance(best) <= distance(other) ? best : other),
    undefined,
  );
}

function opened(run: Run, snapshot: Snapshot | undefined, requested: number): Opened | null {
  const index = snapshot?.paths[requested] ? requested : 0;
  const path = snapshot?.paths[index];
  if (!snapshot || !path) return null;
  return { key: { run: run.run, tag: snapshot.tag, index }, run, snapshot, path };
}

/** The snapshot of the same name nearest to the step of a tag `<name>/<step>-<session>`. */
function successor(run: Run, tag: string): Snapshot | undefined {
  const [, name = "", step = ""] = /^(.+)\/(\d+)-/.exec(tag) ?? [];
  const ofName = run.snapshots.filter((snapshot) => snapshot.name === name);
  return nearestStep(ofName, Number(step)) ?? run.snapshots.at(-1);
}

/** The last prediction path of the most recently written run, or else a path of another kind. */
function newest(runs: readonly Run[]): Opened | null {
  const time = (run: Run) =>
    run.snapshots.reduce((latest, { wall_time }) => Math.max(latest, wall_time), 0);
  const [run] = runs
    .filter((candidate) => candidate.snapshots.length > 0)
    .sort((one, other) => time(other) - time(one));
  if (!run) return null;
  const ofKind = (wanted: Kind) => run.snapshots.filter(({ kind }) => kind === wanted);
  const aimed = [ofKind("prediction"), ofKind("horizontal")].find(({ length }) => length > 0);
  const snapshot = aimed?.filter(({ name }) => name === aimed[0]?.name).at(-1);
  return opened(run, snapshot ?? run.snapshots.at(-1), 0);
}
