import assert from "node:assert/strict";
import { test } from "node:test";
import { Cursor } from "../src/cursor/cursor.ts";
import { frameInColumn } from "../src/frames/columns.ts";
import { nearest } from "../src/numeric/nearest.ts";

test("nearest agrees with a linear search", () => {
  const sorted = [0, 3, 4, 10, 11, 40];
  for (let target = -2; target < 45; target += 0.5) {
    const distances = sorted.map((value) => Math.abs(value - target));
    assert.equal(nearest(sorted, target), distances.indexOf(Math.min(...distances)));
  }
});

test("a cursor stays in its range and notifies once per move", () => {
  const cursor = new Cursor([0, 40], [0, 10, 40]);
  let moves = 0;
  const stop = cursor.subscribe(() => {
    moves += 1;
  });
  cursor.moveTo(24.6);
  assert.deepEqual([cursor.step, cursor.frame], [25, 1]);
  cursor.moveTo(25);
  assert.equal(moves, 1);
  cursor.moveTo(99);
  assert.deepEqual([cursor.step, cursor.frame], [40, 2]);
  cursor.moveToFrame(-Infinity);
  assert.deepEqual([cursor.step, cursor.frame], [0, 0]);
  stop();
  cursor.moveTo(7);
  assert.equal(moves, 3);
});

test("the next frame is found from a step between two frames", () => {
  const cursor = new Cursor([0, 40], [0, 10, 40]);
  cursor.moveTo(8);
  assert.deepEqual([cursor.neighbour(-1), cursor.neighbour(1)], [0, 1]);
  cursor.moveTo(12);
  assert.deepEqual([cursor.neighbour(-1), cursor.neighbour(1)], [1, 2]);
  cursor.moveTo(10);
  assert.deepEqual([cursor.neighbour(-1), cursor.neighbour(1)], [0, 2]);
});

test("rows with different frame counts are aligned to the same columns", () => {
  const columns = [0, 1, 2, 3, 4];
  assert.deepEqual(
    columns.map((column) => frameInColumn(column, 5, 5)),
    columns,
  );
  assert.deepEqual(
    columns.map((column) => frameInColumn(column, 5, 3)),
    [0, 1, 1, 2, 2],
  );
  assert.deepEqual(
    columns.map((column) => frameInColumn(column, 5, 1)),
    [0, 0, 0, 0, 0],
  );
  assert.equal(frameInColumn(0, 1, 13), 0);
});
