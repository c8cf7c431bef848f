/** What the page shows of log directories with too much of everything. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { chartData } from "../src/charts/data.ts";
import { travel } from "../src/charts/line_width.ts";
import { chartOptions } from "../src/charts/options.ts";
import type { ChartSpec, Curve } from "../src/charts/spec.ts";
import { Cursor, shownFrames } from "../src/cursor/cursor.ts";
import type { Path } from "../src/data/api.ts";
import { MAX_SCALARS, omittedScalars, ScalarStore } from "../src/data/scalar_store.ts";
import { shown, shownPath, shownRun } from "../src/data/untrusted_text.ts";
import { ListLengths } from "../src/lists/more.ts";
import { evenly } from "../src/numeric/evenly.ts";
import { omittedRuns, omittedSnapshots } from "../src/page/omitted.ts";
import { classCurves } from "../src/path/curves.ts";
import { framesText, withRest } from "../src/text/labels.ts";
import type { Colours } from "../src/theme/colours.ts";
import { rankBounds } from "../src/training/bounds.ts";
import { rankSpec, traceSpec } from "../src/training/curves.ts";
import { fromFragment } from "../src/view/fragment.ts";
import { generator } from "./random.ts";
import { path, pathIndex, run, snapshot } from "./samples.ts";

const SETTINGS = { smoothing: 0.5, log: true, dark: false };

test("frames are thinned evenly, and the number of those shown is said", () => {
  const cursor = (frames: number) =>
    new Cursor(
      [0, frames - 1],
      Array.from({ length: frames }, (_, i) => i),
    );
  assert.equal(shownFrames(cursor(1000)).length, 1000);
  assert.equal(framesText(1000, cursor(1000).frames), "");
  const many = shownFrames(cursor(20_000));
  assert.equal(new Set(many).size, 1000);
  assert.deepEqual([many[0], many.at(-1)], [0, 19_999]);
  assert.equal(framesText(many.length, [0, 19_999]), "1\u202f000 of 20\u202f000 frames");
  assert.deepEqual(evenly(3, 5, 9), [3, 4, 5]);
  assert.deepEqual(evenly(0, 9, 2), [0, 9]);
  assert.deepEqual(evenly(5, 4, 9), []);
});

function classes(count: number, changes: Partial<Path> = {}): Path {
  const names = Array.from({ length: count }, (_, i) => `class ${i}`);
  const peaks = names.map((_, i) => [0, i / (10 * count)]);
  return path({ classes: names, probabilities: peaks, curve_steps: [0, 1], ...changes });
}

test("the most probable classes have curves, and those of the ends of the path", () => {
  const few = classCurves(classes(200), "categorical", false);
  assert.deepEqual([few.curves.length, few.omitted], [200, 0]);
  const ends = { source: "class 3", destination: "class 7" };
  const many = classes(20_000, ends);
  const { curves, omitted, omittedPeak } = classCurves(many, "categorical", false);
  assert.equal(curves.length, 200);
  assert.equal(omitted, 19_800);
  assert.ok(curves.every(({ name, position }) => many.classes[position] === name));
  assert.deepEqual(
    curves.slice(0, 2).map(({ name }) => name),
    ["class 3", "class 7"],
  );
  assert.equal(curves.at(-1)?.name, "class 19999");
  assert.ok(omittedPeak > 0.098 && omittedPeak < 0.1);
  // The sum of all others is a curve as well.
  const other = classes(300);
  other.classes[299] = "other";
  other.probabilities[299] = [0, 0];
  assert.equal(classCurves(other, "categorical", false).curves.at(-1)?.name, "other");
});

test("long lists are shown in steps", () => {
  let changes = 0;
  const lists = new ListLengths(200, () => (changes += 1));
  const items = Array.from({ length: 450 }, (_, i) => i);
  assert.equal(lists.first("runs", items).length, 200);
  assert.equal(lists.more("runs", 200), "");
  const more = lists.more("runs", 450) as { values: unknown[] };
  assert.deepEqual(more.values.slice(1, 4), ["200", "450", "runs"]);
  const extend = more.values.find((value) => typeof value === "function") as () => void;
  extend();
  assert.equal(lists.first("runs", items).length, 400);
  assert.equal(lists.first("paths", items).length, 200);
  assert.equal(changes, 1);
});

test("what the server leaves out is said with its number", () => {
  const two = run("a");
  assert.deepEqual(omittedSnapshots(two), []);
  assert.match(omittedSnapshots({ ...two, omitted: 98 })[0] ?? "", /^2 of 100 snapshots/);
  assert.match(omittedSnapshots({ ...two, superseded: 1 })[0] ?? "", /^1 snapshot is not listed/);
  assert.equal(omittedRuns(5, 0), "");
  assert.match(omittedRuns(2000, 500), /^2\u202f000 of 2\u202f500 runs/);
  assert.equal(withRest(["a", "b", "c"], 2), "a, b and 1 more");
  assert.equal(withRest(["a", "b"], 2), "a, b");
});

test("a chart draws a limited number of scalars", () => {
  const tags = Array.from({ length: 200 }, (_, i) => [
    `p${i}/trace_mean`,
    `p${i}/effective_rank_kind${i}`,
  ]).flat();
  const runs = Array.from({ length: 50 }, (_, position) => ({
    run: run(`r${position}`, { scalars: tags, snapshots: [] }),
    position,
  }));
  const get = () => ({ steps: [1, 2], wall_times: [1, 2], values: [1, 2] });
  for (const spec of [traceSpec, rankSpec]) {
    const { curves, omittedCurves } = spec(runs, get, SETTINGS);
    assert.equal(curves.length, 600);
    assert.equal(omittedCurves, 9700);
    assert.equal(spec(runs.slice(0, 1), get, SETTINGS).omittedCurves, 0);
  }
  const all = runs.map((item) => item.run);
  assert.equal(omittedScalars(all), 50 * 400 - MAX_SCALARS);
  assert.equal(omittedScalars([run("a", { scalars_omitted: 7 })]), 7);
});

test("the page fetches a limited number of scalars, and forgets those of other runs", async () => {
  const fetched: string[] = [];
  Object.assign(globalThis, {
    fetch: async (url: string) => {
      fetched.push(url);
      return Response.json({ steps: [1], wall_times: [1], values: [1] });
    },
  });
  const scalars = Array.from({ length: 400 }, (_, i) => `p${i}/trace_mean`);
  const runs = (prefix: string) =>
    Array.from({ length: 10 }, (_, i) => run(`${prefix}${i}`, { scalars }));
  const arrived = (): Promise<ScalarStore> =>
    new Promise((resolve) => {
      const store = new ScalarStore((pending) => {
        if (pending === 0) setImmediate(() => resolve(store));
      });
      store.request(runs("a"));
      assert.ok(store.isLoading(runs("a")));
    });
  const store = await arrived();
  assert.equal(fetched.length, MAX_SCALARS);
  assert.ok(!store.isLoading(runs("a")));
  assert.ok(store.get("a0", "p0/trace_mean"));
  store.request(runs("b"));
  store.request(runs("b"));
  assert.equal(store.get("a0", "p0/trace_mean"), null);
});

function curvesOf(count: number, points: number): Curve[] {
  return Array.from({ length: count }, (_, c) => {
    const steps = Array.from({ length: points }, (_, i) => 7 * i + (c % 7) * 1000 * points);
    return {
      name: `c${c}`,
      steps,
      values: steps.map((step) => 2 * step),
      colour: "#000",
      width: 1,
    };
  });
}

test("many curves with different steps are drawn on a grid finer than the pixels", () => {
  const spec = { curves: curvesOf(600, 1000), rules: [], xLabel: "", left: { label: "" } };
  const [steps = [], ...columns] = chartData(spec, [0, 7_000_000]);
  assert.equal(steps.length, 4096);
  assert.equal(columns.length, 600);
  const unit = (steps[1] ?? 0) - (steps[0] ?? 0);
  for (const column of columns.slice(0, 7)) {
    for (const [i, value] of column.entries())
      if (typeof value === "number") assert.ok(Math.abs(value - 2 * (steps[i] ?? 0)) <= 2 * unit);
  }
  // A line between two points that are not shown crosses the chart.
  const zoomed = chartData(spec, [1, 6]);
  assert.deepEqual([zoomed[1]?.[0], zoomed[1]?.[4095]], [2, 12]);
  // A few curves keep their own steps.
  const few = { ...spec, curves: curvesOf(2, 50) };
  assert.equal(chartData(few, null)[0].length, 100);
});

test("bounds of the rank are few, whatever the sizes of inputs are", () => {
  const snapshots = Array.from({ length: 500 }, (_, i) => snapshot(i, { class_count: i + 2 }));
  const runs = [{ run: run("a", { snapshots }), position: 0 }];
  const get = () => ({ steps: [1], wall_times: [1], values: [1e9] });
  assert.ok(rankSpec(runs, get, SETTINGS).rules.length <= 8);
  const input_shape = new Array<number>(100_000).fill(1000);
  const shape = [{ run: run("a", { snapshots: [snapshot(1, { input_shape })] }), position: 0 }];
  assert.equal(rankBounds(shape)[0]?.value, 9);
});

test("texts from logs are short, and change no other text", () => {
  assert.equal(shown("digits/sgd"), "digits/sgd");
  assert.equal(shown("שלום · עולם"), "שלום · עולם");
  assert.equal(shown("👩‍🔬 naïve"), "👩‍🔬 naïve");
  const hidden = "a\u202eb\0c\u200bd\ufeffe\x1b[31mf\ud800g\u2066h\x9b";
  assert.equal(shown(hidden), "a\ufffdb\ufffdc\ufffdd\ufffde\ufffd[31mf\ufffdg\ufffdh\ufffd");
  assert.equal(shown("😀".repeat(1_000_000)).length, 2 * 199 + 1);
  assert.equal(shown("x".repeat(200)).length, 200);
  assert.equal(shown("x".repeat(1_000_000)), `${"x".repeat(199)}…`);

  const long = "l\u202e".repeat(500_000);
  const item = shownRun(
    run(long, {
      snapshots: [
        snapshot(1, {
          reason: long,
          frame_note: long,
          paths: [pathIndex({ source: long, judged: long })],
        }),
      ],
      damaged: [{ tag: long, message: long }],
    }),
  );
  // Keys of requests stay as they are.
  assert.equal(item.run, long);
  const texts = [
    item.snapshots[0]?.reason,
    item.snapshots[0]?.frame_note,
    item.snapshots[0]?.paths[0]?.source,
    item.snapshots[0]?.paths[0]?.judged,
    item.damaged[0]?.tag,
    item.damaged[0]?.message,
    ...shownPath(path({ classes: [long], frame_labels: [long], source: long })).classes,
  ];
  for (const text of texts) {
    assert.ok(text && text.length <= 1000, String(text?.length));
    assert.ok(!text.includes("\u202e"));
  }
});

test("a link has a limited number of choices", () => {
  const view = fromFragment("hide-class=a&show=".concat("b&hide-class=".repeat(100_000)));
  assert.ok(view.hiddenClasses.length <= 2000);
});

test("lines are thin if wide ones would take seconds to draw, and usual ones are wide", () => {
  globalThis.devicePixelRatio = 2;
  const steps = Array.from({ length: 1000 }, (_, i) => i);
  const widths = (spec: ChartSpec, shown: [number, number] | null = null) => {
    const size = { width: 640, height: 200 };
    const { series } = chartOptions(spec, shown, {} as Colours, size, () => {});
    return new Set(series.slice(1).map(({ width }) => width));
  };
  const spec = (count: number, value: (step: number) => number, log = false): ChartSpec => {
    const curve = { name: "", steps, colour: "", width: 2 };
    const curves = Array.from({ length: count }, () => ({ ...curve, values: steps.map(value) }));
    return { curves, rules: [], xLabel: "", left: { label: "", log } };
  };
  const next = generator(3);
  const noise = () => next() / 2 ** 32;
  const decades = () => 10 ** (300 * noise() - 150);
  assert.deepEqual(widths(spec(200, noise)), new Set([0.5]));
  assert.deepEqual(widths(spec(200, decades, true)), new Set([0.5]));
  // A zoom shows few changes.
  assert.deepEqual(widths(spec(200, noise), [10, 20]), new Set([2]));
  assert.deepEqual(widths(spec(12, noise)), new Set([2]));
  assert.deepEqual(widths(spec(200, (step) => step / 999)), new Set([2]));
  assert.deepEqual(
    widths(spec(50, (step) => 10 ** (step / 999 + 0.05 * noise()), true)),
    new Set([2]),
  );
});

test("the length of lines is that of the shown values, whatever the numbers are", () => {
  const curve = { name: "", colour: "", width: 1 };
  const axis = { label: "" };
  const values = [0, 5, null, NaN, 10, -1e308, 1e308];
  const zigzag = { ...curve, steps: [0, 1, 2, 3, 4, 5, 6], values };
  assert.equal(travel([zigzag], axis, [0, 10], [0, 4]), 1);
  assert.equal(travel([zigzag, zigzag], axis, [0, 10], [0, 6]), 6);
  const positive = { ...zigzag, values: [1, 100, 0, -1, 1, null, 10] };
  assert.equal(travel([positive], { label: "", log: true }, [1, 100], [0, 6]), 2.5);
});
