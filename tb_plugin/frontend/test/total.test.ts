/** Scales, ticks, formats and curves are defined for every number. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { chartData } from "../src/charts/data.ts";
import { describeChart } from "../src/charts/spec.ts";
import { fromZero, linearTicks, logTicks, padded, stepAxis } from "../src/charts/ticks.ts";
import { Cursor } from "../src/cursor/cursor.ts";
import type { SignalFrames, Values } from "../src/data/api.ts";
import { signalDifference, signalRange } from "../src/frames/frames.ts";
import { signalHeight, signalPath } from "../src/frames/signal_line.ts";
import { nearest } from "../src/numeric/nearest.ts";
import { extent, type Range } from "../src/numeric/range.ts";
import { clipZoom, scaleZoom, stepsBetween, valuesWithin } from "../src/numeric/step_range.ts";
import {
  formatCount,
  formatDistance,
  formatProbability,
  formatValue,
} from "../src/text/numbers.ts";
import { smooth } from "../src/training/smoothing.ts";
import { anyDouble, EXTREMES, finiteDouble, generator } from "./random.ts";

const EXAMPLES = 5_000;

function ordered(one: number, other: number): Range {
  return one <= other ? [one, other] : [other, one];
}

function* ranges(): Generator<Range> {
  for (const low of EXTREMES) for (const high of EXTREMES) yield ordered(low, high);
  const next = generator(1);
  for (let i = 0; i < EXAMPLES; i++) {
    const low = finiteDouble(next);
    // Also ranges of one value, and of neighbours.
    const high = next() % 8 === 0 ? low * (1 + 2 ** -52 * (next() % 4)) : finiteDouble(next);
    if (Number.isFinite(high)) yield ordered(low, high);
  }
}

function isAxis([low, high]: Range): boolean {
  return Number.isFinite(low) && Number.isFinite(high) && low < high && Number.isFinite(high - low);
}

function contains([low, high]: Range, [first, last]: Range): boolean {
  return low <= first && last <= high;
}

function checkTicks(ticks: number[], [low, high]: Range, count: number, what: string): void {
  assert.ok(ticks.length <= 2 * Math.ceil(count) + 2, `${what}: ${ticks.length} ticks`);
  assert.ok(ticks.every(Number.isFinite), what);
  const slack = (high - low) * 0.001 || Math.abs(low);
  assert.ok(
    ticks.every((tick) => tick >= low - slack && tick <= high + slack),
    `${what}: ${ticks}`,
  );
  assert.deepEqual(
    ticks,
    [...new Set(ticks)].sort((one, other) => one - other),
    what,
  );
}

test("every range of numbers has an axis with few ticks", () => {
  for (const range of ranges()) {
    const axis = padded(range, false);
    assert.ok(isAxis(axis), `${range}: ${axis}`);
    // Both ends are shown, unless the length of the axis would be infinite.
    if (Number.isFinite(range[1] - range[0])) assert.ok(contains(axis, range), `${range}: ${axis}`);
    assert.ok(range[1] <= 0 || contains(fromZero(range[1]), [0, range[1]]));
    assert.ok(isAxis(stepAxis(range)), `steps ${range}`);
    assert.ok(isAxis(fromZero(range[1])), `from zero ${range}`);
    for (const count of [0.3, 4, 30]) {
      checkTicks(linearTicks(axis, count), axis, count, `linear ${axis}`);
      checkTicks(linearTicks(axis, count, true), axis, count, `whole ${axis}`);
    }
  }
});

test("every range of positive numbers has a logarithmic axis with few ticks", () => {
  for (const range of ranges()) {
    if (range[0] <= 0) continue;
    const axis = padded(range, true);
    assert.ok(isAxis(axis) && axis[0] > 0 && contains(axis, range), `${range}: ${axis}`);
    const ticks = logTicks(axis, 6);
    checkTicks(ticks, axis, 6, `logarithmic ${axis}`);
    // uPlot computes positions with the logarithms of the range.
    assert.ok(ticks.every((tick) => Number.isFinite(Math.log10(tick))));
  }
  // The range that stopped the tab.
  assert.ok(logTicks(padded([5e-324, 1e-300], true), 6).length >= 2);
  for (const range of [
    [0, 1],
    [-1, 1],
    [NaN, NaN],
    [0, Infinity],
  ] as Range[])
    assert.ok(logTicks(range, 6).length <= 12, String(range));
});

test("every number has a short text", () => {
  const next = generator(2);
  const numbers = [...EXTREMES, NaN, Infinity, -Infinity];
  for (let i = 0; i < EXAMPLES; i++) numbers.push(finiteDouble(next));
  for (const value of numbers) {
    for (const format of [formatCount, formatValue, formatDistance, formatProbability]) {
      const text = format(value);
      assert.ok(text.length >= 1 && text.length <= 24, `${format.name}(${value}) = ${text}`);
      assert.doesNotMatch(text, /NaN|Infinity|undefined|null/);
    }
  }
});

test("smoothed curves have as many values, all of them finite or missing", () => {
  const next = generator(3);
  for (const weight of [-1, 0, 5e-324, 0.5, 0.99, 1 - 2 ** -53]) {
    for (let i = 0; i < 300; i++) {
      const values = Array.from({ length: 30 }, () =>
        next() % 5 === 0 ? null : finiteDouble(next),
      );
      const smoothed = smooth(values, weight);
      assert.equal(smoothed.length, values.length);
      assert.ok(smoothed.every((value) => value === null || Number.isFinite(value)));
    }
  }
});

test("the lines of any signal have finite coordinates", () => {
  const next = generator(4);
  for (let i = 0; i < 500; i++) {
    const channel = (): Values => Array.from({ length: 1 + (next() % 9) }, () => anyDouble(next));
    const values = [[channel()], [channel()]];
    const frames: SignalFrames = {
      type: "signal",
      channels: 1,
      length: 9,
      values,
      destination: null,
    };
    const range = signalRange(frames);
    const lines = [...values.flat(), ...signalDifference(frames, 0, 1)];
    for (const line of lines) assert.match(signalPath(line, range), /^([ML]-?[\d.]+ -?[\d.]+)*$/);
    assert.ok(Number.isFinite(signalHeight(0, range)));
  }
});

test("zooms of any steps are ranges inside of all steps", () => {
  const next = generator(5);
  for (let i = 0; i < EXAMPLES; i++) {
    const whole = ordered(finiteDouble(next), finiteDouble(next));
    const shown = ordered(finiteDouble(next), finiteDouble(next));
    const zooms = [
      clipZoom(shown, whole),
      scaleZoom(clipZoom(shown, whole) ?? whole, 0.5, finiteDouble(next), whole),
    ];
    for (const zoom of zooms)
      assert.ok(
        zoom === null || (zoom[0] < zoom[1] && zoom[0] >= whole[0] && zoom[1] <= whole[1]),
        `${zoom} in ${whole}`,
      );
    const selected = stepsBetween(anyDouble(next) ?? 0, anyDouble(next) ?? 0);
    assert.ok(selected === null || selected[0] < selected[1]);
  }
});

test("a cursor stays in its range, whatever it is moved to", () => {
  const next = generator(6);
  for (let i = 0; i < 2000; i++) {
    const frames = Array.from({ length: 1 + (next() % 5) }, () => finiteDouble(next)).sort(
      (one, other) => one - other,
    );
    const range: Range = [frames[0] ?? 0, frames.at(-1) ?? 0];
    const cursor = new Cursor(range, frames);
    for (let move = 0; move < 3; move++) cursor.moveTo(anyDouble(next) ?? NaN);
    assert.ok(cursor.step >= range[0] && cursor.step <= range[1]);
    assert.ok(cursor.frame >= 0 && cursor.frame < frames.length);
    assert.ok(nearest(frames, anyDouble(next) ?? NaN) < frames.length);
  }
});

test("a million values are read without many arguments of one call", () => {
  const values = Array.from({ length: 1_000_000 }, (_, i) => i);
  assert.deepEqual(extent([values]), [0, 999_999]);
  assert.deepEqual(extent(values.map((value) => [value])), [0, 999_999]);
  assert.equal(valuesWithin(values, values, [10, 20]).length, 13);
  const spec = {
    curves: [{ name: "a", steps: values, values, colour: "#000", width: 1 }],
    rules: [],
    xLabel: "step",
    left: { label: "" },
  };
  assert.match(describeChart("A", spec), /999 999|999\u202f999/);
  assert.equal(chartData(spec, null).length, 2);
});
