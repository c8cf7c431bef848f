/** What the page says of a prediction path. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Path } from "../src/data/api.ts";
import { explanation, judgement, shortReason, verdict } from "../src/text/verdict.ts";
import { path } from "./samples.ts";

function prediction(changes: Partial<Path> = {}): Path {
  return path({
    source: "8",
    destination: "3",
    status: "reached",
    frame_labels: ["8", "5", "3"],
    frame_probabilities: [0.98, 0.4, 0.984],
    start_distance: 2.9,
    final_distance: 0.01,
    change: 11.21,
    length_ratio: 1.002,
    ...changes,
  });
}

test("one sentence says what a prediction path is", () => {
  const text = (changes: Partial<Path>) => explanation(prediction(changes), "categorical", "image");
  assert.equal(
    text({}),
    "A change of the image, along directions to which the model reacts, that makes the model as sure of 3 as it was of 8.",
  );
  assert.match(text({ status: "blocked" }), /^It seeks a change of the image/);
  assert.match(text({ destination: "8" }), /gives the probabilities asked for, most of all for 8/);
  // The label of the source is another than its prediction: both are said.
  const mistaken = text({ source: "9" });
  assert.match(
    mistaken,
    /sure of 3 as it was of 8\. The model reads the start, whose label is 9, as 8\./,
  );
  assert.doesNotMatch(text({ source: "#61" }), /whose label/);
  const labels = explanation(prediction({ destination: "dog" }), "bernoulli", "input");
  assert.match(labels, /of the input, .* that reverses the answer of the model for dog\.$/);
});

test("the verdict says what the end is read as, and how large the change is", () => {
  assert.deepEqual(verdict(prediction(), "categorical"), {
    text: "Now read as 3 at 0.98 · changed by 11.2 (Euclidean) · Fisher–Rao length 1.00 times the shortest",
    tone: "good",
  });
  const switched = verdict(prediction({ switch_change: 4.1 }), "categorical").text;
  assert.match(switched, /0\.98 · first read as 3 after a change of 4\.1 · changed by 11\.2/);
  const old = prediction({ change: null, length_ratio: null });
  assert.equal(verdict(old, "categorical").text, "Now read as 3 at 0.98");
});

test("the verdict of a path that did not arrive says why, and how much is left", () => {
  const end: Partial<Path> = { frame_labels: ["8", "8", "8"], final_distance: 1.2 };
  const text = (changes: Partial<Path>) =>
    verdict(prediction({ ...end, ...changes }), "categorical").text;
  assert.equal(
    text({ status: "blocked", blocked_by: "domain" }),
    "Blocked: only values outside of the valid range of the input lead on. The end is read as 8 at 0.98 · 1.20 of 2.90 left (Fisher–Rao) · changed by 11.2 (Euclidean) · Fisher–Rao length 1.00 times the shortest",
  );
  assert.match(
    text({ status: "blocked", blocked_by: "rank" }),
    /^Blocked: no change of the input /,
  );
  assert.match(text({ status: "out_of_steps" }), /^Not reached: the path ran out of steps\. /);
  assert.match(text({ status: "non_finite" }), /NaN or infinity/);
  const tone = (changes: Partial<Path>) => verdict(prediction(changes), "categorical").tone;
  assert.equal(tone({ status: "blocked", blocked_by: "rank" }), "partial");
  assert.equal(tone({ status: "non_finite" }), "bad");
});

test("the verdict on labels says how the probability of the label changed", () => {
  const labels = prediction({
    classes: ["cat", "dog"],
    destination: "dog",
    probabilities: [
      [0.9, 0.9, 0.9],
      [0.07, 0.5, 0.93],
    ],
    frame_labels: ["cat", "cat", "cat, dog"],
    frame_probabilities: [null, null, null],
  });
  const { text } = verdict(labels, "bernoulli");
  assert.match(text, /^Now predicted: cat, dog · dog from 0\.07 to 0\.93 · changed by 11\.2/);
});

test("another network confirms or doubts a path that arrived, and only reports on others", () => {
  const says = (judged: string, changes: Partial<Path> = {}) =>
    judgement(prediction({ judged, judged_probability: 0.91, ...changes }), "categorical");
  assert.equal(says(""), null);
  assert.deepEqual(says("3"), {
    text: "Another network agrees: it says 3 at 0.91.",
    tone: "good",
  });
  assert.deepEqual(says("8"), {
    text: "Another network says: 8 at 0.91. To this network, the end does not look like 3.",
    tone: "partial",
  });
  assert.equal(says("8", { status: "blocked" })?.tone, "neutral");
  assert.equal(
    says("8", { judged_probability: null, status: "stalled" })?.text,
    "Another network says: 8.",
  );
});

test("a list says in a few words why a path did not arrive", () => {
  assert.equal(shortReason(prediction()), "");
  const blocked = (blocked_by: Path["blocked_by"]) =>
    shortReason(prediction({ status: "blocked", blocked_by }));
  assert.equal(blocked("rank"), "blocked: no direction leads on");
  assert.equal(blocked("domain"), "blocked: valid range");
  assert.equal(blocked("prediction"), "blocked: the prediction would change");
  assert.equal(blocked(""), "blocked");
  assert.equal(shortReason(prediction({ status: "out_of_steps" })), "out of steps");
});
