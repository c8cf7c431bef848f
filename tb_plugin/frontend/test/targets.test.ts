/** Which prediction paths are compared. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathIndex, Snapshot } from "../src/data/api.ts";
import { barText, longest, share } from "../src/targets/bars.ts";
import { changePoints, changeSpec } from "../src/targets/over_training.ts";
import { momentsCsv, targetsCsv } from "../src/targets/tables.ts";
import { momentsOf, targetsOf } from "../src/targets/targets.ts";
import { findOpened } from "../src/view/view.ts";
import { pathIndex, run, snapshot } from "./samples.ts";

type Facts = Partial<PathIndex>;

function to(destination: string, change: number | null, facts: Facts = {}): PathIndex {
  const ends = { source: "8", destination, source_index: 61, destination_index: null };
  return pathIndex({ ...ends, status: "reached", change, ...facts });
}

function predictions(step: number, paths: PathIndex[]): Snapshot {
  return snapshot(step, { name: "prediction_path", kind: "prediction", paths });
}

function open(snapshots: Snapshot[], index: number) {
  const a = run("a", { snapshots });
  const opened = findOpened([a], { run: "a", tag: snapshots[0]?.tag ?? "", index });
  assert.ok(opened);
  return opened;
}

const names = (paths: { path: PathIndex }[]) => paths.map(({ path }) => path.destination);

test("targets of one example are sorted: those that were reached first, by size", () => {
  const paths = [
    to("1", 20),
    to("3", 11),
    to("5", 2, { status: "blocked", blocked_by: "domain" }),
    to("7", null),
    to("9", 30, { source_index: 62 }),
    to("0", 4),
  ];
  const targets = targetsOf(open([predictions(1, paths)], 0));
  assert.deepEqual(names(targets), ["0", "3", "1", "7", "5"]);
  assert.deepEqual(
    targets.map(({ key }) => key.index),
    [5, 1, 0, 3, 2],
  );
  assert.deepEqual(names(targetsOf(open([predictions(1, paths)], 4))), ["9"]);
  // Other kinds of paths have no targets.
  assert.deepEqual(targetsOf(open([snapshot(1, { paths })], 0)), []);
});

test("without positions, the paths around a path that go to other targets are of one example", () => {
  const unknown = { source_index: null };
  const paths = [
    to("3", 1, unknown),
    to("5", 2, unknown),
    to("3", 3, unknown),
    to("5", 4, unknown),
    to("5", 5, { source: "1", source_index: null }),
    to("3", 6, { source: "1", source_index: null }),
  ];
  const changes = (index: number) =>
    targetsOf(open([predictions(1, paths)], index)).map(({ path }) => path.change);
  assert.deepEqual([0, 1, 2, 3, 4, 5].map(changes), [
    [1, 2],
    [1, 2],
    [3, 4],
    [3, 4],
    [5, 6],
    [5, 6],
  ]);
});

test("bars have the length of the change, and say what is doubtful", () => {
  const paths = [to("3", 5), to("5", 10), to("7", null)];
  const targets = targetsOf(open([predictions(1, paths)], 0));
  assert.deepEqual(
    targets.map((target) => share(target, longest(targets))),
    [0.5, 1, 0],
  );
  assert.deepEqual(
    targets.map((target) => share(target, 0)),
    [0, 0, 0],
  );
  const text = (path: PathIndex) =>
    barText({ key: { run: "a", tag: "b", index: 0 }, path }, "categorical");
  assert.equal(text(to("3", 5.125)), "5.13");
  assert.equal(
    text(to("3", 5, { status: "blocked", blocked_by: "rank" })),
    "5 · blocked: no direction leads on",
  );
  assert.equal(text(to("3", 5, { judged: "8" })), "5 · another network: 8");
  assert.equal(text(to("3", 5, { judged: "3" })), "5");
  assert.equal(text(to("3", null)), "–");
  // A path that stalls after the prediction has switched is as long as the change that switches it.
  const stalled = to("7", 9, { status: "stalled", switch_change: 2 });
  assert.equal(text(stalled), "2 · stalled");
  const nearest = targetsOf(open([predictions(1, [to("3", 5), stalled])], 0));
  assert.deepEqual(
    nearest.map(({ path }) => path.destination),
    ["7", "3"],
  );
});

test("the change to one target over training leaves gaps where it was not reached", () => {
  const snapshots = [
    predictions(100, [to("5", 1), to("3", 20)]),
    snapshot(150),
    predictions(200, [to("3", 9, { status: "blocked", blocked_by: "domain" })]),
    predictions(300, [to("5", 1)]),
    predictions(400, [to("3", 10)]),
    predictions(500, [to("3", null)]),
  ];
  const opened = open(snapshots, 1);
  const moments = momentsOf(opened);
  assert.deepEqual(
    moments.map(({ step, key }) => [step, key.index]),
    [
      [100, 1],
      [200, 0],
      [400, 0],
      [500, 0],
    ],
  );
  const { curves, left } = changeSpec(moments, "#000");
  assert.deepEqual(curves[0]?.values, [20, null, 10, null]);
  assert.ok(left.range && left.range[0] === 0 && left.range[1] > 20);
  const points = changePoints(moments, opened.key, "#000");
  assert.deepEqual(
    points.map(({ x, y, isHollow, isCurrent }) => [x, y, isHollow, isCurrent]),
    [
      [100, 20, false, true],
      [200, 9, true, false],
      [400, 10, false, false],
    ],
  );
  assert.equal(points[1]?.label, "step 200: 22.25 of 29.66 left, blocked: valid range");
});

test("changes are saved with their status", () => {
  const opened = open(
    [predictions(100, [to("=1", 2, { judged: "8", judged_probability: 0.5 })])],
    0,
  );
  const [head, row] = targetsCsv(targetsOf(opened)).split("\r\n");
  assert.match(head ?? "", /^target,change,switch_change,status,blocked_by,/);
  assert.equal(row, "'=1,2,,reached,,408,1.9,29.66,22.25,1,8,0.5");
  assert.match(momentsCsv(momentsOf(opened)), /\r\n100,'=1,2,,reached,/);
});
