/** The prediction paths that answer "how far is each class?", for one example. */

import type { PathIndex, PathKey, Snapshot } from "../data/api.ts";
import { indexOfSame, type Opened } from "../view/view.ts";

/** A path to one target. */
export interface Target {
  key: PathKey;
  path: PathIndex;
}

/** The same path at another optimizer step. */
export interface Moment extends Target {
  step: number;
}

/**
 * The change after which the model first reads a path as its target; null if it never does.
 *
 * Logs of older versions tell the change at the end only.
 */
export function switchChange({ switch_change, status, change }: PathIndex): number | null {
  return switch_change ?? (status === "reached" ? change : null);
}

/** All paths of the snapshot from the source of the open path: first those that switch, by size. */
export function targetsOf({ run, snapshot, key }: Opened): Target[] {
  if (snapshot.kind !== "prediction") return [];
  const size = ({ path }: Target) => switchChange(path) ?? path.change ?? Infinity;
  const isReached = ({ path }: Target) => path.status === "reached" || switchChange(path) !== null;
  const rank = (each: Target) => (isReached(each) ? 0 : 1);
  return fromSameSource(snapshot.paths, key.index)
    .flatMap((index) => target(run.run, snapshot, index))
    .sort((one, other) => rank(one) - rank(other) || compare(size(one), size(other)));
}

/** The open path at each snapshot of its callback and run that contains it. */
export function momentsOf(opened: Opened): Moment[] {
  const { run, snapshot } = opened;
  if (snapshot.kind !== "prediction") return [];
  return run.snapshots
    .filter(({ name, kind }) => name === snapshot.name && kind === snapshot.kind)
    .flatMap((other) =>
      target(run.run, other, indexOfSame(opened, other)).map((found) => ({
        ...found,
        step: other.step,
      })),
    );
}

function target(run: string, snapshot: Snapshot, index: number): Target[] {
  const path = snapshot.paths[index];
  return path ? [{ key: { run, tag: snapshot.tag, index }, path }] : [];
}

/** Infinity − Infinity is no number. */
function compare(one: number, other: number): number {
  return one === other ? 0 : one - other;
}

/**
 * The positions of the paths from the source of one path.
 *
 * If the position of the source in its data set is unknown, these are the paths around it from the
 * same class, each to another target: the paths of one example follow each other.
 */
function fromSameSource(paths: readonly PathIndex[], index: number): number[] {
  const open = paths[index];
  if (!open) return [];
  const isSame = ({ source, source_index }: PathIndex) =>
    source === open.source && source_index === open.source_index;
  if (open.source_index !== null) return [...paths.keys()].filter((i) => isAt(paths, i, isSame));
  let first = 0;
  let targets = new Set<string>();
  for (const [i, path] of paths.entries()) {
    if (!isSame(path) || targets.has(path.destination)) {
      if (i > index) return positions(first, i);
      first = isSame(path) ? i : i + 1;
      targets = new Set();
    }
    targets.add(path.destination);
  }
  return positions(first, paths.length);
}

function isAt<T>(items: readonly T[], position: number, test: (item: T) => boolean): boolean {
  const item = items[position];
  return item !== undefined && test(item);
}

function positions(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, i) => first + i);
}
