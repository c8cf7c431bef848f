import assert from "node:assert/strict";
import { test } from "node:test";
import { Queue } from "../src/data/queue.ts";

test("a queue runs at maximum `width` tasks at a time, urgent tasks first", async () => {
  const queue = new Queue(2);
  const started: string[] = [];
  const finish: (() => void)[] = [];
  let running = 0;
  let maximum = 0;
  const task = (name: string) => async () => {
    started.push(name);
    maximum = Math.max(maximum, ++running);
    await new Promise<void>((resolve) => finish.push(resolve));
    running -= 1;
    return name;
  };
  const results = Promise.all([
    ...["a", "b", "c", "d"].map((name) => queue.run(task(name))),
    queue.run(task("urgent"), true),
  ]);
  for (let done = 0; done < 5; done++) {
    await new Promise((resolve) => setImmediate(resolve));
    finish[done]?.();
  }
  assert.deepEqual(await results, ["a", "b", "c", "d", "urgent"]);
  assert.deepEqual(started, ["a", "b", "urgent", "c", "d"]);
  assert.equal(maximum, 2);
});

test("a failing task does not block other tasks", async () => {
  const queue = new Queue(1);
  await assert.rejects(
    queue.run(() => Promise.reject(new Error("no"))),
    /no/,
  );
  assert.equal(await queue.run(() => Promise.resolve(1)), 1);
});
