import assert from "node:assert/strict";
import { test } from "node:test";
import {
  indicesText,
  listName,
  listNames,
  outcome,
  pathTitle,
  predictionText,
  reasonText,
  shortStatus,
  statusText,
} from "../src/text/labels.ts";
import {
  formatCount,
  formatDistance,
  formatProbability,
  formatValue,
} from "../src/text/numbers.ts";
import { path, pathIndex, snapshot } from "./samples.ts";

const WALK = { destination: "", destination_index: null, start_distance: 0, threshold: null };

test("the status describes how a path ended", () => {
  const text = (changes: object) => statusText("horizontal", pathIndex(changes));
  assert.equal(text({}), "stalled after 408 steps · 22.25 of 29.66 left");
  assert.equal(text({ status: "reached", steps: 1 }), "reached after 1 step · 22.25 of 29.66 left");
  assert.equal(
    text({ status: "out_of_steps", steps: 5000 }),
    "ran out of steps after 5\u202f000 · 22.25 of 29.66 left",
  );
  assert.equal(
    text({ status: "out_of_time", steps: 310 }),
    "ran out of time after 310 steps · 22.25 of 29.66 left",
  );
  assert.equal(
    text({ status: "non_finite", final_distance: null }),
    "non-finite after 408 steps · distance unknown",
  );
  assert.equal(text({ status: "blocked" }), "blocked after 408 steps · 22.25 of 29.66 left");
  assert.equal(
    text({ status: "blocked", blocked_by: "domain" }),
    "blocked after 408 steps · valid range · 22.25 of 29.66 left",
  );
  const prediction = (changes: object) => statusText("prediction", pathIndex(changes));
  assert.equal(prediction({ status: "reached" }), "reached after 408 steps · changed by 8.5");
  assert.equal(prediction({ status: "blocked" }), "blocked after 408 steps · 22.25 of 29.66 left");
  assert.equal(
    text({ ...WALK, status: "out_of_steps", steps: 250, final_distance: 17.3 }),
    "walked 250 steps · 17.30 from the start",
  );
});

test("only a path that missed its destination is a partial success", () => {
  assert.equal(outcome(pathIndex()), "partial");
  assert.equal(outcome(pathIndex({ status: "reached" })), "good");
  assert.equal(outcome(pathIndex({ status: "blocked" })), "partial");
  assert.equal(outcome(pathIndex({ ...WALK, status: "blocked" })), "partial");
  assert.equal(outcome(pathIndex({ ...WALK, status: "out_of_steps" })), "good");
  assert.equal(outcome(pathIndex({ ...WALK, status: "out_of_time" })), "partial");
  assert.equal(outcome(pathIndex({ ...WALK, status: "non_finite" })), "bad");
});

test("lists distinguish walks of one class, and walks that took all steps are not failures", () => {
  assert.equal(listName(pathIndex()), "4 → 9");
  assert.equal(listName(pathIndex(WALK)), "4 · no. 24");
  assert.equal(listName(pathIndex({ ...WALK, source_index: null })), "4");
  assert.equal(shortStatus(pathIndex({ ...WALK, status: "out_of_steps" })), "walked");
  assert.equal(shortStatus(pathIndex({ status: "out_of_steps" })), "out of steps");
  assert.equal(shortStatus(pathIndex({ ...WALK, status: "out_of_time" })), "out of time");
});

test("lists distinguish prediction paths from several examples of one class", () => {
  const from = (source: string, source_index: number | null) =>
    pathIndex({ source, source_index, destination_index: null });
  const paths = [from("8", 61), from("8", 61), from("1", 3), from("8", 84), from("5", null)];
  const names = (kind: "prediction" | "horizontal") => listNames(snapshot(1, { kind, paths }));
  assert.deepEqual(names("prediction"), [
    "8 → 9 · no. 61",
    "8 → 9 · no. 61",
    "1 → 9",
    "8 → 9 · no. 84",
    "5 → 9",
  ]);
  assert.deepEqual(names("horizontal"), ["8 → 9", "8 → 9", "1 → 9", "8 → 9", "5 → 9"]);
});

test("predictions of independent labels have no single probability", () => {
  assert.equal(predictionText(path(), 0), "4 0.90");
  const labels = { frame_labels: ["cat, dog", "dog", "no label above ½"] };
  const none = path({ ...labels, frame_probabilities: [null, null, null] });
  assert.equal(predictionText(none, 0), "cat, dog");
  assert.equal(predictionText(none, 2), "no label above ½");
  // Negative control: a missing probability of a class is marked.
  assert.equal(predictionText(path({ frame_probabilities: [null, 0.6, 0.8] }), 0), "4 –");
});

test("titles name the kind of path, its source and its destination", () => {
  assert.equal(pathTitle(snapshot(1), pathIndex()), "Horizontal path 4 → 9");
  const prediction = snapshot(1, { kind: "prediction" });
  assert.equal(pathTitle(prediction, pathIndex()), "Prediction path 4 → 9");
  const walk = snapshot(1, { kind: "orthogonal" });
  assert.equal(pathTitle(walk, pathIndex(WALK)), "Orthogonal walk from 4");
  const aimed = pathIndex({ ...WALK, destination: "9" });
  assert.equal(pathTitle(walk, aimed), "Orthogonal walk from 4 towards 9");
  assert.equal(indicesText(pathIndex()), "examples 24 → 78");
  assert.equal(indicesText(pathIndex(WALK)), "example 24");
  assert.equal(indicesText(pathIndex({ source_index: null })), "");
});

test("the reason of a user-defined trigger is shown with spaces for underscores", () => {
  assert.equal(reasonText(snapshot(1, { reason: "fit_end" })), "end of training");
  assert.equal(reasonText(snapshot(1, { reason: "power_of_two" })), "power of two");
});

test("numbers are short and readable, and missing numbers are dashes", () => {
  assert.deepEqual([0, 999, 10000, -1234567].map(formatCount), [
    "0",
    "999",
    "10\u202f000",
    "\u22121\u202f234\u202f567",
  ]);
  assert.deepEqual(
    [0, 0.25, 2.5, 12345, 0.000123, 1e-5, 2.5e9, -0.5].map((value) => formatValue(value)),
    ["0", "0.25", "2.5", "12\u202f345", "0.000123", "1e\u22125", "2.5e9", "\u22120.5"],
  );
  assert.equal(formatValue(100), "100");
  for (const format of [formatValue, formatDistance, formatProbability])
    assert.equal(format(null), "–");
  assert.equal(formatDistance(22.249), "22.25");
  assert.equal(formatProbability(1), "1.00");
});
