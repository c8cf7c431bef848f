import assert from "node:assert/strict";
import { test } from "node:test";
import type { SignalFrames } from "../src/data/api.ts";
import {
  channelMeanDifference,
  divergingColours,
  maxAbsolute,
  paintDifference,
} from "../src/frames/difference.ts";
import { signalAt, signalDifference } from "../src/frames/frames.ts";
import { signalPath } from "../src/frames/signal_line.ts";

const SIGNAL: SignalFrames = {
  type: "signal",
  channels: 1,
  length: 3,
  values: [[[0, 1, 2]], [[1, 1, null]]],
  destination: [[5, 5, 5]],
};

test("differences are signed means over the colour channels", () => {
  const from = new Uint8ClampedArray([10, 10, 10, 255, 0, 0, 0, 255]);
  const to = new Uint8ClampedArray([40, 10, 10, 255, 0, 0, 0, 255]);
  assert.deepEqual([...channelMeanDifference(from, to)], [10, 0]);
  assert.deepEqual([...channelMeanDifference(to, from)], [-10, 0]);
  assert.equal(maxAbsolute(channelMeanDifference(to, from)), 10);
});

test("heat maps diverge from the colour of zero", () => {
  const { negative, zero, positive } = divergingColours(false);
  const pixels = paintDifference(new Float32Array([-8, 0, 4, 99]), 8, divergingColours(false));
  assert.deepEqual([...pixels.slice(0, 4)], [...negative, 255]);
  assert.deepEqual([...pixels.slice(4, 8)], [...zero, 255]);
  assert.deepEqual([...pixels.slice(12, 16)], [...positive, 255]);
  assert.ok((pixels[9] ?? 0) > positive[1] && (pixels[9] ?? 0) < zero[1]);
  // The scale of two equal images is 0.
  assert.deepEqual([...paintDifference(new Float32Array(1), 0, divergingColours(true))].length, 4);
});

test("the destination of a signal path follows the last frame", () => {
  assert.deepEqual(signalAt(SIGNAL, 1), [[1, 1, null]]);
  assert.deepEqual(signalAt(SIGNAL, 2), [[5, 5, 5]]);
  assert.deepEqual(signalDifference(SIGNAL, 0, 1), [[1, 0, null]]);
});

test("lines break where values are missing", () => {
  assert.equal(signalPath([0, 1], [0, 1]), "M2.00 96.00L98.00 4.00");
  assert.equal((signalPath([0, null, 1, 2], [0, 2]).match(/M/g) ?? []).length, 2);
  assert.equal(signalPath([null, null], [0, 1]), "");
});

test("long signals keep their extremes and drop most other points", () => {
  const values = Array.from({ length: 100_000 }, (_, i) => (i === 54_321 ? 7 : Math.sin(i / 9)));
  const line = signalPath(values, [-1, 7]);
  assert.ok((line.match(/L/g) ?? []).length < 1000);
  assert.ok(line.includes(" 4.00"), "the peak is drawn at the top");
  assert.ok(!signalPath(values.slice(0, 54_321), [-1, 7]).includes(" 4.00"));
});

test("a signal of two million numbers is sampled in linear time", () => {
  // Sorting its segments took 2 s for each tile.
  const values = Array.from({ length: 2_000_000 }, (_, i) => (i % 1000 === 7 ? null : i % 977));
  const start = performance.now();
  for (let repeat = 0; repeat < 20; repeat++) signalPath(values, [0, 977]);
  assert.ok(performance.now() - start < 10_000);
});
