/** A cache of training curves, which is refreshed after TensorBoard has reloaded its data. */

import { ApiError, fetchScalar, type Run, type Scalar } from "./api.ts";
import { Queue } from "./queue.ts";

/** Scalars of all drawn runs together. Each has at most 1000 points, which take about 24 kB. */
export const MAX_SCALARS = 2000;

interface Entry {
  generation: number;
  scalar: Scalar | null;
  error: string | null;
}

interface Key {
  run: string;
  tag: string;
}

export class ScalarStore {
  private generation = 0;
  private readonly queue = new Queue(4);
  private readonly entries = new Map<string, Entry>();
  private pending = 0;

  /** @param changed Called whenever a curve has arrived, with the number of those that follow. */
  constructor(private readonly changed: (pending: number) => void) {}

  get(run: string, tag: string): Scalar | null {
    return this.entries.get(text({ run, tag }))?.scalar ?? null;
  }

  /** The errors of scalars of these runs that are missing, each once. */
  errors(runs: readonly Run[]): string[] {
    const errors = shownScalars(runs).map((key) => this.entries.get(text(key))?.error ?? null);
    return [...new Set(errors.filter((error) => error !== null))];
  }

  isLoading(runs: readonly Run[]): boolean {
    return shownScalars(runs).some((key) => {
      const entry = this.entries.get(text(key));
      return !entry || (!entry.scalar && !entry.error);
    });
  }

  /** Mark all curves as outdated. They are shown until new ones have arrived. */
  expire(): void {
    this.generation += 1;
  }

  /** Fetch the curves of these runs that are missing or outdated, and forget those of others. */
  request(runs: readonly Run[]): void {
    const keys = shownScalars(runs);
    this.forgetOthers(keys);
    for (const key of keys) {
      const name = text(key);
      const old = this.entries.get(name);
      if (old?.generation === this.generation) continue;
      this.entries.set(name, { scalar: null, error: null, ...old, generation: this.generation });
      this.pending += 1;
      void this.queue.run(() => this.fetch(name, key));
    }
  }

  /** Keep the curves of runs that are not drawn as long as there is room. */
  private forgetOthers(keys: readonly Key[]): void {
    if (this.entries.size <= MAX_SCALARS) return;
    const kept = new Set(keys.map(text));
    for (const name of this.entries.keys()) if (!kept.has(name)) this.entries.delete(name);
  }

  private async fetch(name: string, { run, tag }: Key): Promise<void> {
    this.pending -= 1;
    const entry = this.entries.get(name);
    if (!entry) return;
    try {
      entry.scalar = await fetchScalar(run, tag);
      entry.error = null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      entry.error = error.message;
    }
    this.changed(this.pending);
  }
}

/** The scalars that are fetched: at most `MAX_SCALARS`, as many of each run. */
function shownScalars(runs: readonly Run[]): Key[] {
  const limit = Math.max(1, Math.floor(MAX_SCALARS / Math.max(runs.length, 1)));
  return runs.flatMap(({ run, scalars }) =>
    scalars.slice(0, limit).map((tag): Key => ({ run, tag })),
  );
}

/** The number of scalars of these runs that are not fetched. */
export function omittedScalars(runs: readonly Run[]): number {
  const all = runs.reduce((sum, run) => sum + run.scalars.length + run.scalars_omitted, 0);
  return all - shownScalars(runs).length;
}

function text({ run, tag }: Key): string {
  return JSON.stringify([run, tag]);
}
