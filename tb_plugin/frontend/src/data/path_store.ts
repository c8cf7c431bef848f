/** A cache of paths with their images. */

import { fetchPath, fetchSheet, type Path, type PathKey } from "./api.ts";
import { Queue } from "./queue.ts";

export interface LoadedPath {
  path: Path;
  /** All frames, then the destination; null for signals. */
  sheet: ImageBitmap | null;
}

const MAX_PATHS = 80;

export class PathStore {
  private readonly queue = new Queue(3);
  private readonly promises = new Map<string, Promise<LoadedPath>>();
  private readonly loaded = new Map<string, LoadedPath>();

  /** The path if it is cached. */
  peek(key: PathKey): LoadedPath | undefined {
    return this.loaded.get(text(key));
  }

  /** Fetch a path. Rejects with an `ApiError`; a later call tries again. */
  load(key: PathKey, urgent = false): Promise<LoadedPath> {
    const name = text(key);
    const promise = this.promises.get(name) ?? this.queue.run(() => this.fetch(name, key), urgent);
    // Least recently used first: a map keeps the order of insertion.
    this.promises.delete(name);
    this.promises.set(name, promise);
    promise.catch(() => this.forget(name));
    for (const oldest of this.promises.keys()) {
      if (this.promises.size <= MAX_PATHS) break;
      this.forget(oldest);
    }
    return promise;
  }

  private async fetch(name: string, key: PathKey): Promise<LoadedPath> {
    const path = await fetchPath(key);
    const sheet = path.frames.type === "image" ? await fetchSheet(key) : null;
    const loaded = { path, sheet };
    if (this.promises.has(name)) this.loaded.set(name, loaded);
    return loaded;
  }

  private forget(name: string): void {
    this.promises.delete(name);
    this.loaded.delete(name);
  }
}

function text({ run, tag, index }: PathKey): string {
  return JSON.stringify([run, tag, index]);
}
