/** A cache of training curves, which is refreshed after TensorBoard has reloaded its data. */

import { ApiError, fetchScalar, type Run, type Scalar } from "./api.ts";
import { Queue } from "./queue.ts";

interface Entry {
  generation: number;
  scalar: Scalar | null;
  error: string | null;
}

export class ScalarStore {
  private generation = 0;
  private readonly queue = new Queue(4);
  private readonly entries = new Map<string, Entry>();

  /** @param changed Called whenever a curve has arrived. */
  constructor(private readonly changed: () => void) {}

  get(run: string, tag: string): Scalar | null {
    return this.entries.get(text(run, tag))?.scalar ?? null;
  }

  /** The errors of scalars of these runs that are missing, each once. */
  errors(runs: readonly Run[]): string[] {
    const errors = runs.flatMap(({ run, scalars }) =>
      scalars.map((tag) => this.entries.get(text(run, tag))?.error ?? null),
    );
    return [...new Set(errors.filter((error) => error !== null))];
  }

  isLoading(runs: readonly Run[]): boolean {
    return runs.some(({ run, scalars }) =>
      scalars.some((tag) => {
        const entry = this.entries.get(text(run, tag));
        return !entry || (!entry.scalar && !entry.error);
      }),
    );
  }

  /** Mark all curves as outdated. They are shown until new ones have arrived. */
  expire(): void {
    this.generation += 1;
  }

  /** Fetch the curves of these runs that are missing or outdated. */
  request(runs: readonly Run[]): void {
    for (const { run, scalars } of runs) {
      for (const tag of scalars) {
        const key = text(run, tag);
        const old = this.entries.get(key);
        if (old?.generation === this.generation) continue;
        this.entries.set(key, { scalar: null, error: null, ...old, generation: this.generation });
        void this.queue.run(() => this.fetch(key, run, tag));
      }
    }
  }

  private async fetch(key: string, run: string, tag: string): Promise<void> {
    const entry = this.entries.get(key);
    if (!entry) return;
    try {
      entry.scalar = await fetchScalar(run, tag);
      entry.error = null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      entry.error = error.message;
    }
    this.changed();
  }
}

function text(run: string, tag: string): string {
  return JSON.stringify([run, tag]);
}
