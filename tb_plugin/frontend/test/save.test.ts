import assert from "node:assert/strict";
import { test } from "node:test";
import { frameSize } from "../src/frames/picture.ts";
import { pathFileName } from "../src/path/files.ts";
import { pathCsv, pathJson } from "../src/path/tables.ts";
import { toCsv } from "../src/save/csv.ts";
import { fileName } from "../src/save/files.ts";
import { encodeGif } from "../src/save/gif.ts";
import { trainingCsv } from "../src/training/table.ts";
import { findOpened } from "../src/view/view.ts";
import { path, run, snapshot } from "./samples.ts";

test("a table quotes only the fields that need quotes", () => {
  assert.equal(toCsv([["a", 'b,"c"', "d\ne", "f\r"]]), 'a,"b,""c""","d\ne","f\r"\r\n');
  assert.equal(toCsv([["a b", 1.5, null, -2e-7, ""]]), "a b,1.5,,-2e-7,\r\n");
  assert.equal(toCsv([]), "");
});

test("texts are never formulas in a spreadsheet, and numbers stay numbers", () => {
  const texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", '=HYPERLINK("x","y")'];
  for (const field of toCsv(texts.map((text) => [text]))
    .split("\r\n")
    .slice(0, -1)) {
    assert.match(field, /^"?'/);
  }
  assert.equal(toCsv([["a=1", -1, "'"]]), "a=1,-1,'\r\n");
});

test("file names are built from the names of the content and contain only safe characters", () => {
  assert.equal(
    fileName(["digits/sgd", "horizontal_path", "step-3000", "4 → 9"], "csv"),
    "leaf_digits-sgd_horizontal_path_step-3000_4-to-9.csv",
  );
  assert.equal(fileName(["../..", "<b>", 'a:b\\c|"d"*?'], "png"), "leaf_b_a-b-c-d.png");
  assert.equal(fileName(["ünï", "数字", "  "], "gif"), "leaf_ünï_数字.gif");
  const long = fileName(
    Array.from({ length: 9 }, () => "数".repeat(100)),
    "gif",
  );
  assert.ok(new TextEncoder().encode(long).length <= 204);
  assert.ok(long.endsWith("数.gif"));
});

test("file names of a path contain run, name, step and pair", () => {
  const open = findOpened([run("a/b", { snapshots: [snapshot(7)] })], null);
  assert.ok(open);
  const name = pathFileName(open, "curves", "csv");
  assert.equal(name, "leaf_a-b_horizontal_path_step-7_4-to-9_curves.csv");
});

test("the CSV file of a path has one column per curve, with classes by name", () => {
  const named = path({ classes: ["4", 'a,"b"\n', "=other"] });
  const lines = pathCsv(named, "horizontal").split("\r\n");
  assert.equal(
    lines[0],
    'step,p(4),"p(a,""b""\n)",p(=other),distance,horizontality,fisher_rao_length,entropy',
  );
  assert.equal(lines[1], "0,0.9,0.09,0.01,3,0.5,0,0.3");
  // A missing value is an empty field.
  assert.equal(lines[3], "4,0.1,0.88,0.02,1,,2,0.4");
  assert.equal(lines.length, 5);
});

test("the JSON file of a path contains its origin and status, without images", () => {
  const open = findOpened([run("a", { snapshots: [snapshot(7)] })], null);
  assert.ok(open);
  const content = JSON.parse(pathJson(open, path())) as Record<string, unknown>;
  assert.equal(content.run, "a");
  assert.equal(content.tag, open.key.tag);
  assert.equal(content.step, 7);
  assert.equal(content.steps, 4);
  assert.equal(content.status, "stalled");
  assert.equal(content.threshold, 1);
  assert.deepEqual(content.frame_labels, ["4", "9", "9"]);
  assert.deepEqual((content.probabilities as unknown[])[1], {
    class: "9",
    values: [0.09, 0.48, 0.88],
  });
  assert.ok(!("frames" in content));
});

test("the CSV file of training has one row per logged value", () => {
  const get = (_: string, tag: string) =>
    tag === "leaf/trace_mean" ? { steps: [0, 5], wall_times: [1, 2], values: [1, null] } : null;
  assert.equal(
    trainingCsv([run("=a")], get),
    "run,tag,step,value\r\n'=a,leaf/trace_mean,0,1\r\n'=a,leaf/trace_mean,5,\r\n",
  );
});

test("an animation has a duration per frame and repeats endlessly", async () => {
  const frames = [40, 80, 200].map((grey, i) => ({
    pixels: new Uint8ClampedArray(4 * 6 * 5).fill(grey).map((v, at) => (at % 4 === 3 ? 255 : v)),
    milliseconds: 100 + 100 * i,
  }));
  const bytes = await encodeGif({ width: 6, height: 5, captionTop: 4 }, frames);
  const text = Buffer.from(bytes).toString("latin1");
  assert.equal(text.slice(0, 6), "GIF89a");
  assert.deepEqual([bytes[6], bytes[8]], [6, 5]);
  assert.ok(text.includes("NETSCAPE2.0\x03\x01\x00\x00\x00"));
  // Each frame has a graphic control extension with its delay in hundredths of a second.
  const extensions = text.split("\x21\xf9\x04").slice(1);
  const delays = extensions.map((bytes) => Buffer.from(bytes, "latin1").readUInt16LE(1));
  assert.deepEqual(delays, [10, 20, 30]);
  assert.ok(text.endsWith("\x3b"));
});

test("small images are enlarged by whole numbers, and large images are reduced", () => {
  const sized = (width: number, height: number) => {
    const frames = { type: "image", width, height, count: 1, destination: false, columns: 1 };
    return frameSize({ path: path({ frames: frames as never }), sheet: null }, 144);
  };
  assert.deepEqual(sized(28, 28), { width: 140, height: 140 });
  assert.deepEqual(sized(48, 32), { width: 144, height: 96 });
  assert.deepEqual(sized(224, 112), { width: 144, height: 72 });
  assert.deepEqual(sized(1, 1), { width: 144, height: 144 });
});
