import assert from "node:assert/strict";
import { test } from "node:test";
import { zoomByKey } from "../src/charts/zoom.ts";
import { Cursor } from "../src/cursor/cursor.ts";
import {
  clipZoom,
  framesWithin,
  scaleZoom,
  stepsBetween,
  valuesWithin,
} from "../src/numeric/step_range.ts";

test("a drag in either direction selects whole steps, and a drag of less than a step selects nothing", () => {
  assert.deepEqual(stepsBetween(20.4, 3.6), [4, 20]);
  assert.deepEqual(stepsBetween(3.6, 20.4), [4, 20]);
  assert.equal(stepsBetween(3.6, 4.4), null);
});

test("a range is clipped to the steps of the path", () => {
  assert.deepEqual(clipZoom([10, 900], [0, 480]), [10, 480]);
  assert.equal(clipZoom([0, 900], [0, 480]), null);
  assert.equal(clipZoom([500, 900], [0, 480]), null);
  assert.equal(clipZoom(null, [0, 480]), null);
  assert.equal(clipZoom([0, 1], [0, 0]), null);
});

test("zooming keeps the position of the current step until it reaches an end", () => {
  assert.deepEqual(scaleZoom([0, 400], 0.5, 200, [0, 400]), [100, 300]);
  assert.deepEqual(scaleZoom([0, 400], 0.5, 0, [0, 400]), [0, 200]);
  assert.deepEqual(scaleZoom([0, 400], 0.5, 400, [0, 400]), [200, 400]);
  assert.deepEqual(scaleZoom([300, 400], 2, 350, [0, 400]), [200, 400]);
  assert.equal(scaleZoom([100, 300], 2, 200, [0, 400]), null);
  assert.deepEqual(scaleZoom([7, 8], 0.5, 7, [0, 400]), [7, 8]);
  assert.equal(scaleZoom([0, 0], 0.5, 0, [0, 0]), null);
});

test("zoom keys zoom, and other keys are ignored", () => {
  const press = (key: string) => zoomByKey(key, [0, 400], 100, [0, 400]);
  assert.deepEqual(press("+"), [50, 250]);
  assert.equal(press("-"), null);
  assert.equal(press("0"), null);
  assert.equal(press("Escape"), null);
  assert.equal(press("a"), undefined);
});

test("a range shows the frames in it, or the nearest frame if it has none", () => {
  const steps = [0, 20, 40, 60];
  assert.deepEqual(framesWithin(steps, [0, 60]), [0, 3]);
  assert.deepEqual(framesWithin(steps, [20, 59]), [1, 2]);
  assert.deepEqual(framesWithin(steps, [41, 55]), [2, 2]);
  assert.deepEqual(framesWithin(steps, [50, 59]), [3, 3]);
  assert.deepEqual(framesWithin([], [0, 60]), [0, 0]);
});

test("the cursor of a zoomed path stays in the range and on its frames", () => {
  const cursor = new Cursor([15, 50], [0, 20, 40, 60]);
  assert.equal(cursor.step, 15);
  assert.equal(cursor.frame, 1);
  cursor.moveTo(1000);
  assert.equal(cursor.step, 50);
  assert.equal(cursor.frame, 2);
  cursor.moveToFrame(0);
  assert.equal(cursor.step, 20);
  cursor.moveToFrame(3);
  assert.equal(cursor.step, 40);
});

test("a zoomed chart fits its height to the values in the range and their neighbours", () => {
  assert.deepEqual(valuesWithin([0, 2, 4, 6, 8], [9, 1, 2, 3, 9], [3, 5]), [1, 2, 3]);
  assert.deepEqual(valuesWithin([0, 8], [9, 1], [3, 5]), [9, 1]);
  assert.deepEqual(valuesWithin([0, 2, 4], [9, null, 2], [0, 1]), [9, null]);
});
