import assert from "node:assert/strict";
import { test } from "node:test";
import { leastCoveredBox } from "../src/charts/rule_labels.ts";
import { describeChart } from "../src/charts/spec.ts";
import { linearTicks, logTicks, padded } from "../src/charts/ticks.ts";
import type { Scalar, Snapshot } from "../src/data/api.ts";
import { extent } from "../src/numeric/range.ts";
import {
  classCurves,
  distanceSpec,
  initialFrame,
  probabilitySpec,
  valuesAt,
} from "../src/path/curves.ts";
import { rankBounds } from "../src/training/bounds.ts";
import { rankSpec, traceSpec } from "../src/training/curves.ts";
import { snapshotMarkers } from "../src/training/markers.ts";
import { smooth } from "../src/training/smoothing.ts";
import { path, run, snapshot } from "./samples.ts";

const SETTINGS = { smoothing: 0, log: true, dark: false };

function scalar(values: (number | null)[]): Scalar {
  return { steps: values.map((_, i) => 10 * i), wall_times: values.map(() => 0), values };
}

test("smoothing keeps constants, starts at the first value and skips missing values", () => {
  assert.deepEqual(smooth([2, 5], 0), [2, 5]);
  for (const value of smooth([3, 3, 3], 0.9)) assert.ok(Math.abs((value ?? 0) - 3) < 1e-12);
  const smoothed = smooth([1, null, 3], 0.5);
  assert.equal(smoothed[1], null);
  // (0.5 · 0.5 · 1 + 0.5 · 3) / (1 − 0.5²)
  assert.ok(Math.abs((smoothed[2] ?? 0) - 1.75 / 0.75) < 1e-12);
});

test("ticks are round, inside the range and limited in number", () => {
  assert.deepEqual(linearTicks([0, 10], 4), [0, 2.5, 5, 7.5, 10]);
  assert.deepEqual(linearTicks([0, 3], 9, true), [0, 1, 2, 3]);
  assert.deepEqual(linearTicks([0.03, 0.09], 3), [0.04, 0.06, 0.08]);
  assert.deepEqual(logTicks([0.0008, 2], 5), [0.001, 0.01, 0.1, 1]);
  assert.deepEqual(logTicks([1, 60], 6), [1, 2, 5, 10, 20, 50]);
  assert.ok(logTicks([1e-30, 1e30], 5).length <= 6);
  assert.ok(logTicks([0.021, 0.024], 4).length >= 2);
  assert.deepEqual(linearTicks([1, 1], 4), [1]);
});

test("ranges have a margin, and non-negative ranges stay non-negative", () => {
  assert.equal(extent([[null], []]), null);
  assert.deepEqual(
    extent([
      [3, null],
      [-1, NaN],
    ]),
    [-1, 3],
  );
  const [low, high] = padded([0.001, 10], true);
  assert.ok(low < 0.001 && low > 0 && high > 10);
  assert.equal(padded([0.1, 5], false)[0], 0);
  assert.ok(padded([-0.1, 5], false)[0] < -0.1);
});

test("the trace chart shows median, mean and the initial median as a rule", () => {
  const get = (_: string, tag: string) =>
    tag === "leaf/trace_median" ? scalar([0.1, 0.4, 0.02]) : scalar([1, 0, 3]);
  const spec = traceSpec([{ run: run("a"), position: 0 }], get, SETTINGS);
  assert.deepEqual(
    spec.curves.map(({ name }) => name),
    ["a · mean", "a · median"],
  );
  assert.deepEqual(
    spec.rules.map(({ value }) => value),
    [0.1],
  );
  // Values of 0 cannot be drawn on a logarithmic axis.
  assert.deepEqual(spec.curves[0]?.values, [1, null, 3]);
  const linear = traceSpec([{ run: run("a"), position: 0 }], get, { ...SETTINGS, log: false });
  assert.deepEqual(linear.curves[0]?.values, [1, 0, 3]);
});

test("smoothed curves keep the raw curves in the background", () => {
  const get = () => scalar([1, 2]);
  const runs = [{ run: run("a"), position: 0 }];
  const { curves } = traceSpec(runs, get, { ...SETTINGS, smoothing: 0.5 });
  assert.equal(curves.filter(({ isBackground }) => isBackground).length, 2);
  assert.equal(curves.length, 4);
});

test("the rank bound is drawn unless it is far above all curves", () => {
  const get = () => scalar([8, 2]);
  const rules = (class_count: number) => {
    const of = run("a", { snapshots: [snapshot(1, { class_count })] });
    return rankSpec([{ run: of, position: 0 }], get, SETTINGS).rules.map(({ value }) => value);
  };
  assert.deepEqual(rules(10), [9]);
  assert.deepEqual(rules(1000), []);
});

test("the rank is bounded by C−1 for classes, C for labels, and the size d of an input", () => {
  const texts = (changes: Partial<Snapshot>) =>
    rankBounds([{ run: run("a", { snapshots: [snapshot(1, changes)] }), position: 0 }]).map(
      ({ text }) => text,
    );
  assert.deepEqual(texts({}), ["C−1 = 9"]);
  assert.deepEqual(texts({ likelihood: "bernoulli" }), ["C = 10"]);
  assert.deepEqual(texts({ input_shape: [4] }), ["d = 4"]);
  assert.deepEqual(texts({ likelihood: "bernoulli", input_shape: [10] }), ["C = 10"]);
  assert.deepEqual(texts({ class_count: 1001 }), ["d = 784"]);
});

test("runs differ in colour, and each step with snapshots has one marker", () => {
  const get = () => scalar([1, 2]);
  const both = run("a", { snapshots: [snapshot(5), snapshot(5, { name: "walk" }), snapshot(7)] });
  const runs = [both, run("b")].map((item, position) => ({ run: item, position }));
  const colours = rankSpec(runs, get, SETTINGS).curves.map(({ colour }) => colour);
  assert.equal(new Set(colours).size, 2);
  const markers = snapshotMarkers(runs, { run: "a", step: 7 }, false);
  assert.deepEqual(
    markers.map(({ x }) => x),
    [5, 7, 100, 200],
  );
  assert.deepEqual(
    markers.map(({ isCurrent }) => isCurrent),
    [false, true, false, false],
  );
  assert.equal(markers[0]?.label, "a, step 5: open horizontal path, walk");
});

test("classes have distinct line styles, and hidden classes have no curve", () => {
  const names = Array.from({ length: 21 }, (_, i) => (i < 20 ? `class ${i}` : "other"));
  const many = path({ classes: names, probabilities: names.map(() => [0, 0, 1]) });
  const { curves } = classCurves(many, "categorical", false);
  assert.equal(new Set(curves.map(({ look }) => JSON.stringify(look))).size, 21);
  const shown = probabilitySpec(many, "categorical", curves, ["class 3"], false).curves;
  assert.equal(shown.length, 20);
  assert.ok(!shown.some(({ name }) => name === "class 3"));
});

test("independent labels have no remainder, and a line where they count as predicted", () => {
  const labels = path({ classes: ["cat", "dog", "other"] });
  const { curves } = classCurves(labels, "bernoulli", false);
  const look = ({ look: { dash } }: { look: { dash: number[] } }) => dash;
  assert.deepEqual(curves.map(look), [[], [], []]);
  const spec = probabilitySpec(labels, "bernoulli", curves, [], false);
  assert.deepEqual(
    spec.rules.map(({ value, label }) => [value, label]),
    [[0.5, "predicted above ½"]],
  );
  assert.equal(spec.left.label, "probability of each label");
  // Negative control: the last of exclusive classes is the sum of all others.
  const exclusive = classCurves(labels, "categorical", false).curves;
  assert.deepEqual(exclusive.map(look)[2], [2, 2]);
  assert.equal(probabilitySpec(labels, "categorical", exclusive, [], false).rules.length, 0);
});

test("classes whose probability stays below 5 % are faint", () => {
  assert.deepEqual(
    classCurves(path(), "categorical", false).curves.map(({ isFaint }) => isFaint),
    [false, false, true],
  );
});

test("horizontality has a separate axis from 0 to 1", () => {
  const spec = distanceSpec(path(), "horizontal", false);
  assert.deepEqual(
    spec.curves.map(({ axis }) => axis),
    ["right", undefined],
  );
  assert.equal(spec.right?.range?.[0], 0);
  assert.equal(spec.rules.length, 1);
  assert.equal(
    distanceSpec(path({ destination: "", threshold: null }), "horizontal", false).rules.length,
    0,
  );
});

test("the distance of a prediction path is that of predictions, with its tolerance", () => {
  const labels = (kind: "prediction" | "horizontal") => {
    const { left, rules, curves } = distanceSpec(path({ threshold: 0.01 }), kind, false);
    return [left.label, rules[0]?.label, curves[1]?.name];
  };
  const name = "Fisher–Rao distance to the target";
  assert.deepEqual(labels("prediction"), ["Fisher–Rao distance", "tolerance: 0.01", name]);
  const euclidean = ["distance (L2)", "threshold: 0.01", "distance to destination"];
  assert.deepEqual(labels("horizontal"), euclidean);
});

test("values are read at the nearest point of the curves", () => {
  assert.equal(valuesAt(path(), 3.2).distance, 1);
  assert.equal(valuesAt(path(), 1).distance, 3);
  assert.deepEqual(valuesAt(path(), 2).probabilities, [0.5, 0.48, 0.02]);
  assert.equal(valuesAt(path(), 4).horizontality, null);
});

test("the initial frame is the first change of the predicted class", () => {
  assert.equal(initialFrame(path()), 1);
  assert.equal(initialFrame(path({ frame_labels: ["4", "4", "4", "4"] })), 2);
});

test("a chart has a textual description", () => {
  const text = describeChart("Distance", distanceSpec(path(), "horizontal", false));
  assert.match(text, /distance to destination from 3 at 0 to 1 at 4/);
  const empty = { curves: [], rules: [], xLabel: "step", left: { label: "" } };
  assert.equal(describeChart("Trace", empty), "Trace: no curves.");
});

test("a label is placed where no curve passes", () => {
  const box = (left: number) => ({ left, right: left + 10, top: 0, bottom: 10 });
  const boxes = [box(0), box(20), box(40)];
  const polyline = { xs: [0, 5, 30, 50], ys: [5, 5, 50, 50] };
  assert.equal(leastCoveredBox(boxes, [polyline]), boxes[2]);
  assert.equal(leastCoveredBox(boxes, []), boxes[0]);
  assert.equal(leastCoveredBox([], []), undefined);
});
