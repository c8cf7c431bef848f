import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathKey } from "../src/data/api.ts";
import { type LoadedPath, PathStore } from "../src/data/path_store.ts";
import { OpenPath } from "../src/path/open_path.ts";
import { path } from "./samples.ts";

/** A store whose paths arrive when the test says so. */
class ManualStore extends PathStore {
  private readonly waiting: (() => void)[] = [];

  override load(key: PathKey): Promise<LoadedPath> {
    const loaded = { path: path({ steps: 4 + key.index }), sheet: null };
    return new Promise((resolve) => this.waiting.push(() => resolve(loaded)));
  }

  async arrive(request: number): Promise<void> {
    this.waiting[request]?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const key = (index: number): PathKey => ({ run: "run", tag: "tag", index });

function opened(): { store: ManualStore; open: OpenPath } {
  const store = new ManualStore();
  const open = new OpenPath(
    store,
    () => {},
    () => {},
  );
  open.open(key(0), null, null);
  return { store, open };
}

const shownSteps = (open: OpenPath) => open.loaded?.path.steps ?? null;

test("a path arrives although the view has changed while it was loading", async () => {
  const { store, open } = opened();
  open.open(key(0), [1, 3], null);
  await store.arrive(0);
  assert.equal(shownSteps(open), 4);
  assert.deepEqual(open.cursor?.range, [1, 3]);
});

test("the step of the view is kept for the path that is loading", async () => {
  const { store, open } = opened();
  await store.arrive(0);
  open.open(key(1), null, 3);
  open.open(key(1), null, null);
  await store.arrive(1);
  assert.equal(shownSteps(open), 5);
  assert.equal(open.cursor?.step, 3);
});

test("a path that was requested before the open one is ignored", async () => {
  const { store, open } = opened();
  open.open(key(1), null, null);
  await store.arrive(1);
  await store.arrive(0);
  assert.equal(shownSteps(open), 5);
  assert.equal(open.isLoading, false);
});

test("the previous path is hidden if the next one takes long", async () => {
  const { store, open } = opened();
  await store.arrive(0);
  open.open(key(1), null, null);
  open.open(key(1), [1, 2], null);
  assert.equal(shownSteps(open), 4);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(shownSteps(open), null);
  await store.arrive(1);
  assert.equal(shownSteps(open), 5);
});
