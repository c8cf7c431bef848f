/** A cache of paths with their images, bounded by bytes. */

import {
  ApiError,
  fetchFrames,
  fetchPath,
  type Path,
  type PathKey,
  type Run,
  type Snapshot,
} from "./api.ts";
import { Queue } from "./queue.ts";
import { decodeSheet, type Sheet } from "./sheet.ts";
import { shownPath } from "./untrusted_text.ts";

export interface LoadedPath {
  path: Path;
  /** All frames, then the destination; null for signals. */
  sheet: Sheet | null;
}

/** Decoded images and arrays of all paths in the cache. A larger path is not kept. */
export const MAX_CACHE_BYTES = 2 ** 26;
/** An array of numbers and null takes up to this much memory per element. */
const BYTES_PER_NUMBER = 16;
const BYTES_PER_TEXT = 64;

interface Entry {
  promise: Promise<LoadedPath>;
  /** How often the path was requested before it arrived. */
  waiting: number;
  loaded: LoadedPath | null;
  bytes: number;
}

export class PathStore {
  private readonly requests = new Queue(3);
  /** Decoding takes the memory of a whole sheet. */
  private readonly decoding = new Queue(1);
  /** Least recently used first: a map keeps the order of insertion. */
  private readonly entries = new Map<string, Entry>();
  private bytes = 0;
  private runs: ReadonlyMap<string, Run> = new Map();
  private readonly versions = new WeakMap<Snapshot, string>();

  /** Set the list of all runs. Paths of snapshots that were written again are fetched again. */
  setRuns(runs: readonly Run[]): void {
    this.runs = new Map(runs.map((run) => [run.run, run]));
  }

  /** A text that changes if the snapshot of a path is written again. */
  version({ run, tag }: PathKey): string {
    const snapshot = this.runs.get(run)?.snapshots.find((other) => other.tag === tag);
    if (!snapshot) return "";
    const known = this.versions.get(snapshot);
    if (known !== undefined) return known;
    const version = JSON.stringify([snapshot.wall_time, snapshot.paths]);
    this.versions.set(snapshot, version);
    return version;
  }

  /**
   * Fetch a path. Rejects with an `ApiError`; a later call tries again.
   *
   * The caller has to release the sheet.
   */
  async load(key: PathKey, urgent = false): Promise<LoadedPath> {
    const name = JSON.stringify([key.run, key.tag, key.index, this.version(key)]);
    let entry = this.entries.get(name);
    if (entry) this.entries.delete(name);
    else entry = this.begin(name, key, urgent);
    this.entries.set(name, entry);
    if (entry.loaded) entry.loaded.sheet?.retain();
    else entry.waiting += 1;
    return entry.promise;
  }

  private begin(name: string, key: PathKey, urgent: boolean): Entry {
    const entry: Entry = {
      promise: this.requests.run(() => this.fetch(key, urgent), urgent),
      waiting: 0,
      loaded: null,
      bytes: 0,
    };
    entry.promise.then(
      (loaded) => this.keep(name, entry, loaded),
      () => this.entries.delete(name),
    );
    return entry;
  }

  private async fetch(key: PathKey, urgent: boolean): Promise<LoadedPath> {
    const path = shownPath(await fetchPath(key));
    const { frames } = path;
    if (frames.type !== "image") return { path, sheet: null };
    const png = await fetchFrames(key, path.digest);
    try {
      return { path, sheet: await this.decoding.run(() => decodeSheet(png, frames), urgent) };
    } catch {
      throw new ApiError("The browser cannot read the images of this path.");
    }
  }

  private keep(name: string, entry: Entry, loaded: LoadedPath): void {
    entry.loaded = loaded;
    entry.bytes = bytesOf(loaded);
    this.bytes += entry.bytes;
    loaded.sheet?.retain(entry.waiting);
    if (entry.bytes > MAX_CACHE_BYTES / 2) this.forget(name, entry);
    for (const [oldest, candidate] of this.entries) {
      if (this.bytes <= MAX_CACHE_BYTES) break;
      if (candidate.loaded) this.forget(oldest, candidate);
    }
  }

  private forget(name: string, entry: Entry): void {
    this.entries.delete(name);
    this.bytes -= entry.bytes;
    entry.loaded?.sheet?.release();
  }
}

/** About the memory that a path takes. */
export function bytesOf({ path, sheet }: LoadedPath): number {
  const { frames, probabilities, classes, curve_steps, frame_labels } = path;
  const signals =
    frames.type === "signal" ? (frames.values.length + 1) * frames.channels * frames.length : 0;
  const numbers = (probabilities.length + 5) * curve_steps.length + 2 * frame_labels.length;
  const texts = classes.length + frame_labels.length;
  return (sheet?.bytes ?? 0) + BYTES_PER_NUMBER * (numbers + signals) + BYTES_PER_TEXT * texts;
}
