import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHostHash, toHostHash } from "../src/host/location.ts";
import { rowsFor } from "../src/rows/rows.ts";
import { fromFragment, toFragment } from "../src/view/fragment.ts";
import {
  drawnRuns,
  findOpened,
  INITIAL_VIEW,
  samePathIn,
  snapshotsByName,
  type View,
} from "../src/view/view.ts";
import { pathIndex, run, snapshot } from "./samples.ts";

const names = (runs: { run: string }[]) => runs.map((item) => item.run);

test("a view survives the round trip through the URL, with any characters in names", () => {
  const view: View = {
    filter: "lr=(1|2)&x#",
    choices: new Map([
      ["a/b c&d=é", true],
      ["<img>", false],
      ["__proto__", false],
    ]),
    smoothing: 0.6,
    scale: "linear",
    rows: "pairs",
    open: { run: "a&b=c #%é", tag: "horizontal_path/000000000100-1", index: 3 },
    trainingSteps: [500, 1500],
    pathSteps: [0, 12],
    at: 7,
    hiddenClasses: ["a&b", "=1-2"],
  };
  assert.deepEqual(fromFragment(toFragment(view)), view);
  assert.deepEqual(fromFragment(fromHostHash(`#${toHostHash(toFragment(view))}`)), view);
  assert.notDeepEqual(fromFragment(toFragment({ ...view, smoothing: 0.5 })), view);
});

test("an invalid fragment gives the initial view", () => {
  assert.equal(toFragment(INITIAL_VIEW), "");
  for (const fragment of [
    "",
    "smoothing=7&scale=x&rows=y",
    "run=a",
    "&&=&%",
    "path-steps=9-3&at=-1",
  ]) {
    assert.deepEqual(fromFragment(fragment), INITIAL_VIEW);
  }
  assert.equal(fromFragment("run=a&tag=b&index=-1").open?.index, 0);
  assert.equal(fromHostHash("#scalars&p.other.run=a"), "");
});

test("by default, the last ten runs and the open run are drawn", () => {
  const runs = Array.from({ length: 13 }, (_, i) => run(`r${i}`));
  const drawn = (view: Partial<View>, open = 0) =>
    names(drawnRuns(runs, { ...INITIAL_VIEW, ...view }, runs[open] ?? null));
  assert.deepEqual(drawn({}), ["r0", ...names(runs.slice(3))]);
  assert.deepEqual(
    drawn({
      choices: new Map([
        ["r0", false],
        ["r1", true],
        ["r12", false],
      ]),
    }),
    ["r1", ...names(runs.slice(3, 12))],
  );
});

test("initially, the last horizontal path of the newest run is open", () => {
  const walk = snapshot(900, { name: "orthogonal_walk", kind: "orthogonal" });
  const newer = run("newer", { snapshots: [snapshot(300), snapshot(400), walk] });
  const found = findOpened([newer, run("older")], null);
  assert.equal(found?.run, newer);
  assert.equal(found?.snapshot.step, 400);
  assert.equal(findOpened([run("none", { snapshots: [] })], null), null);
  assert.equal(findOpened([run("walks", { snapshots: [walk] })], null)?.snapshot, walk);
});

test("prediction paths come first, and one of them is open initially", () => {
  const walk = snapshot(50, { name: "orthogonal_walk", kind: "orthogonal" });
  const predictions = [100, 200].map((step) =>
    snapshot(step, { name: "prediction_path", kind: "prediction" }),
  );
  const mixed = run("a", { snapshots: [walk, snapshot(70), ...predictions, snapshot(900)] });
  assert.equal(findOpened([mixed], null)?.snapshot, predictions[1]);
  assert.deepEqual(
    [...snapshotsByName(mixed).keys()],
    ["prediction_path", "orthogonal_walk", "horizontal_path"],
  );
  const address = { run: "a", tag: walk.tag, index: 0 };
  assert.equal(findOpened([mixed], address)?.snapshot, walk);
});

test("a superseded snapshot is replaced by the nearest one of the same name", () => {
  const runs = [run("a", { snapshots: [snapshot(100), snapshot(190), snapshot(500)] })];
  const open = { run: "a", tag: "horizontal_path/000000000200-0000000000000000", index: 1 };
  const found = findOpened(runs, open);
  assert.equal(found?.snapshot.step, 190);
  assert.equal(found?.key.index, 1);
  assert.equal(findOpened(runs, { ...open, index: 99 })?.key.index, 0);
  assert.equal(findOpened(runs, { ...open, run: "gone" })?.snapshot.step, 500);
});

test("another snapshot opens with the same pair", () => {
  const pair = pathIndex({ source: "1", destination: "5", source_index: 3 });
  const shuffled = snapshot(300, { paths: [pathIndex({ source: "8" }), pathIndex(), pair] });
  const runs = [run("a")];
  const open = findOpened(runs, { run: "a", tag: snapshot(100).tag, index: 1 });
  assert.ok(open);
  assert.equal(samePathIn(run("a"), shuffled, open).index, 2);
  const other = { ...open, path: { ...pair, source_index: 4 } };
  assert.equal(samePathIn(run("a"), shuffled, other).index, 0);
});

test("each of several paths with equal pairs can be opened and compared", () => {
  const walk = pathIndex({ source: "4", destination: "", source_index: null });
  const other = pathIndex({ source: "8", destination: "", source_index: null });
  const walks = { name: "walk", kind: "orthogonal" as const };
  const runs = ["a", "b"].map((name) =>
    run(name, {
      snapshots: [
        snapshot(100, { ...walks, paths: [walk, other, walk, walk] }),
        snapshot(200, { ...walks, paths: [other, walk, walk, other, walk] }),
        snapshot(300, { ...walks, paths: [walk] }),
      ],
    }),
  );
  const [a] = runs;
  const later = a?.snapshots[1];
  assert.ok(a && later);
  const tag = snapshot(100, walks).tag;
  const found = [0, 1, 2, 3, 4].map((index) => findOpened(runs, { run: "a", tag, index }));
  assert.deepEqual(
    found.map((open) => open?.key.index),
    [0, 1, 2, 3, 0],
  );
  assert.deepEqual(
    found.map((open) => samePathIn(a, later, open).index),
    [1, 0, 2, 4, 1],
  );
  const third = found[3];
  assert.ok(third);
  const indices = (tab: "training" | "pairs" | "runs") =>
    rowsFor(tab, third, runs).map(({ key }) => key.index);
  assert.deepEqual(indices("training"), [3, 4]);
  assert.deepEqual(indices("pairs"), [0, 1, 2, 3]);
  assert.deepEqual(indices("runs"), [3, 3]);
});

test("rows show the pair over training, all pairs of the snapshot, or the pair in each run", () => {
  const a = run("a", {
    snapshots: [
      snapshot(100),
      snapshot(150, { name: "noisy_start" }),
      snapshot(200),
      snapshot(300, { paths: [pathIndex({ source: "7" })] }),
    ],
  });
  const b = run("b", { snapshots: [snapshot(110), snapshot(900)] });
  const open = findOpened([a, b], { run: "a", tag: snapshot(100).tag, index: 1 });
  assert.ok(open);
  const titles = (tab: "training" | "pairs" | "runs") =>
    rowsFor(tab, open, [a, b]).map(({ title }) => title);
  assert.deepEqual(titles("training"), ["step 100", "step 200"]);
  assert.deepEqual(titles("pairs"), ["4 → 9", "1 → 5"]);
  assert.deepEqual(titles("runs"), ["a · step 100", "b · step 110"]);
  assert.deepEqual(
    rowsFor("training", open, []).map(({ key }) => key.index),
    [1, 1],
  );
});
