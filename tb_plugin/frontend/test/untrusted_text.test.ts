/** Names and reasons from logs and links: keys of objects, formulas, expressions, long texts. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fromHostHash } from "../src/host/location.ts";
import { pathFileName } from "../src/path/files.ts";
import { pathCsv, pathJson } from "../src/path/tables.ts";
import { rowsFor } from "../src/rows/rows.ts";
import { toCsv } from "../src/save/csv.ts";
import { fileName } from "../src/save/files.ts";
import { pathFacts, pathTitle, reasonText, spacedName, statusText } from "../src/text/labels.ts";
import { judgement, verdict } from "../src/text/verdict.ts";
import { rankKinds, rankSpec, traceSpec } from "../src/training/curves.ts";
import { snapshotMarkers } from "../src/training/markers.ts";
import { trainingCsv } from "../src/training/table.ts";
import { filterRuns } from "../src/view/filter.ts";
import { fromFragment, toFragment } from "../src/view/fragment.ts";
import { drawnRuns, findOpened, INITIAL_VIEW } from "../src/view/view.ts";
import { choose, generator } from "./random.ts";
import { path, pathIndex, run, snapshot } from "./samples.ts";

const OBJECT_KEYS = ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf"];
const LONG = 1_000_000;

test("names of properties of objects are names like others", () => {
  for (const name of OBJECT_KEYS) {
    const scalars = [`leaf/effective_rank_${name}`, `${name}/trace_mean`, `${name}/trace_median`];
    const ends = { source: name, destination: name };
    const shown = snapshot(5, { name, reason: name, paths: [pathIndex(ends)] });
    const runs = [run("a"), run(name, { snapshots: [shown], scalars })];
    const labels = [
      reasonText(shown),
      spacedName(name),
      pathTitle(shown, pathIndex(ends)),
      pathFacts(name, shown, pathIndex(ends)),
      statusText("horizontal", pathIndex(ends)),
      verdict(path({ ...ends, frame_labels: [name] }), "categorical").text,
      judgement(path({ ...ends, judged: name }), "categorical")?.text ?? "",
    ];
    for (const label of labels) {
      assert.equal(typeof label, "string");
      assert.doesNotMatch(label, /native code|\[object/);
    }
    assert.equal(labels[0], name.replaceAll("_", " "));

    const hidden = { ...INITIAL_VIEW, choices: new Map(runs.map(({ run }) => [run, false])) };
    assert.deepEqual(drawnRuns(runs, hidden, null), []);
    assert.equal(drawnRuns(runs, INITIAL_VIEW, null).length, 2);
    const view = fromFragment(`hide=${name}&show=${name}x&filter=${name}&hide-class=${name}`);
    assert.deepEqual(
      [...view.choices],
      [
        [`${name}x`, true],
        [name, false],
      ],
    );
    assert.deepEqual(fromFragment(toFragment(view)), view);
    assert.deepEqual(filterRuns(runs, name).listed, runs.slice(1));

    const open = findOpened(runs, { run: name, tag: shown.tag, index: 0 });
    assert.equal(open?.run.run, name);
    for (const tab of ["training", "pairs", "runs"] as const)
      assert.ok(open && rowsFor(tab, open, runs).length > 0);
    const drawn = runs.map((run, position) => ({ run, position }));
    const get = () => ({ steps: [1, 2], wall_times: [1, 2], values: [1, 2] });
    assert.ok(rankKinds(drawn).includes(name));
    for (const spec of [rankSpec, traceSpec]) {
      const { curves } = spec(drawn, get, { smoothing: 0, log: true, dark: false });
      assert.ok(curves.some((curve) => curve.name.includes(name)));
    }
    assert.ok(snapshotMarkers(drawn, null, false).some((marker) => marker.run === name));
    assert.ok(trainingCsv(runs, get).includes(name));
    const classes = { classes: [name, "b", "c"], frame_labels: [name, name, name] };
    assert.ok(pathCsv(path(classes), "horizontal").includes(`p(${name})`));
    assert.ok(open && pathJson(open, path(classes)).includes(`"class": "${name}"`));
    assert.ok(open && pathFileName(open, "curves", "csv").endsWith(".csv"));
  }
});

/** Lines that look up a text in an object, whose prototype has further keys. */
function dictionaries(source: string): string[] {
  const isDictionary = /Record<string|\[\w+: string\]:|Object\.fromEntries|\}\[\w+|\bin this\b/;
  return source.split("\n").filter((line) => isDictionary.test(line));
}

test("no object is a dictionary of texts", () => {
  const files = readdirSync("src", { recursive: true, encoding: "utf8" });
  const found = files
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => dictionaries(readFileSync(join("src", file), "utf8")));
  // The colours of the style sheet have fixed names.
  assert.deepEqual(found, ["  return Object.fromEntries(entries) as Colours;"]);
});

test("dictionaries are found", () => {
  assert.equal(dictionaries("const REASONS: Record<string, string> = {").length, 1);
  assert.equal(dictionaries("const move = { a: 1 }[key];").length, 1);
  assert.equal(dictionaries("const moves = new Map<string, number>();").length, 0);
});

/** The cells of a table as a spreadsheet reads it: quotes count at the beginning of a cell. */
function cells(table: string, separator: string): string[] {
  const found: string[] = [];
  let at = 0;
  while (at < table.length) {
    let cell = "";
    if (table[at] === '"') {
      at += 1;
      while (at < table.length && !(table[at] === '"' && table[at + 1] !== '"')) {
        if (table[at] === '"') at += 1;
        cell += table[at];
        at += 1;
      }
      at += 1;
    }
    while (at < table.length && table[at] !== separator && !/[\r\n]/.test(table[at] ?? "")) {
      cell += table[at];
      at += 1;
    }
    found.push(cell);
    at += 1;
  }
  return found;
}

/** The cells of a reader that does not know quotes. */
function plainCells(table: string, separator: string): string[] {
  return table.split(/[\r\n]/).flatMap((line) => line.split(separator));
}

function formulas(table: string): string[] {
  return [",", ";", "\t", "|"]
    .flatMap((separator) => [...cells(table, separator), ...plainCells(table, separator)])
    .map((cell) => cell.replace(/^[\s"]+/, ""))
    .filter((cell) => /^[=+\-@＝＋－＠]/u.test(cell) && !/^-?[\d.]+(e[+-]?\d+)?$/.test(cell));
}

test("no part of a text is a formula in a spreadsheet, wherever it splits lines", () => {
  const next = generator(1);
  const letters = [..."ab=+-@;,|\t\n\r\"' ", "＝", "＋", "－", "＠", "=cmd()", ";=", "\t@"];
  for (let i = 0; i < 5_000; i++) {
    const text = () =>
      Array.from({ length: 1 + (next() % 7) }, () => choose(next, letters)).join("");
    const table = toCsv([
      [text(), -1.5, text()],
      [text(), text(), null],
    ]);
    assert.deepEqual(formulas(table), [], JSON.stringify(table));
  }
});

test("formulas in cells are found, and texts without them stay as they are", () => {
  assert.deepEqual(formulas("x;=cmd()\r\n"), ["=cmd()", "=cmd()"]);
  assert.equal(formulas('1,"a\t=1"\r\n').length, 2);
  assert.deepEqual(formulas("x,-1.5\r\n-2\r\n"), []);
  assert.equal(
    toCsv([["digits - adam", "lr=0.1", "a+b", "p(x;-1)", "e@f", -2, 1e-7]]),
    "digits - adam,lr=0.1,a+b,p(x;'-1),e@f,-2,1e-7\r\n",
  );
});

test("filters are regular expressions in any case, and an invalid one hides no runs", () => {
  const runs = [run("sgd/1"), run("adam/1"), run("sgd/2"), run("É")];
  const names = (expression: string) => filterRuns(runs, expression).listed.map((item) => item.run);
  const error = (expression: string) => filterRuns(runs, expression).error;
  assert.deepEqual(names("^sgd/[12]$"), ["sgd/1", "sgd/2"]);
  assert.deepEqual(names("ADAM"), ["adam/1"]);
  assert.deepEqual(names("é|adam\\/\\d+"), ["adam/1", "É"]);
  assert.deepEqual(names("(?:sgd|adam)/1"), ["sgd/1", "adam/1"]);
  assert.equal(names("").length, 4);
  assert.equal(error("[a-z]+"), null);
  for (const invalid of ["(", "*", "[", "a{2,1}", "x".repeat(1001), "((x{1,99}){1,99}){9}"]) {
    assert.equal(names(invalid).length, 4);
    assert.notEqual(error(invalid), null);
  }
  assert.match(error("^(?!adam)") ?? "", /do not support/);
  assert.match(error("(a)\\1") ?? "", /do not support/);
});

/** Expressions that take exponential or quadratic time with backtracking. */
const SLOW = ["^(a+)+$", "(a|a)*$x", "(a*)*b", "(.*)(.*)(.*)(.*)x", "(a|b)*a(a|b){100}c"];

test("no filter stops the page", () => {
  const runs = Array.from({ length: 300 }, (_, i) => run(`${"a".repeat(4000)}${i}!`));
  const start = performance.now();
  for (const expression of SLOW) filterRuns(runs, expression);
  for (const expression of SLOW) filterRuns([run(`${"a".repeat(LONG)}!`)], expression);
  // Backtracking would take longer than the age of the universe.
  assert.ok(performance.now() - start < 60_000);
});

/** Expressions of few letters that the engine turns into very many instructions. */
const LARGE = [
  `${".{0,1000}".repeat(90)}!$`,
  `${"[^x]{0,1000}".repeat(75)}!$`,
  `${"(.{0,1000})".repeat(80)}$`,
  `${"(?:(?:x?){30}){30}".repeat(50)}$`,
  `(${".?".repeat(480)}){1000}$`,
  `${"\\pL{1000}".repeat(100)}`,
  `${"(?:.{0,9}){0,9}".repeat(60)}!$`,
  ".{0,600}!$",
];

/** Expressions that users write. */
const USUAL = [
  "lr=(0\\.1|0\\.01).*seed=\\d{1,3}$",
  "^(sgd|adam|rmsprop)/version_\\d+$",
  "\\d{4}-\\d{2}-\\d{2}_\\d{2}-\\d{2}-\\d{2}",
  "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
  "(\\d{1,3}\\.){3}\\d{1,3}",
  "resnet(18|34|50).{0,100}seed=[0-4]",
  Array.from({ length: 60 }, (_, i) => `version_${i}`).join("|"),
];

test("an expression that is too complex lists all runs, and usual ones are not too complex", () => {
  const named = (count: number) =>
    Array.from({ length: count }, (_, i) => run(`${"resnet18-lr=0.1-".repeat(9)}seed=${i}`));
  const [few, many] = [named(40), named(2000)];
  const start = performance.now();
  for (const runs of [few, many]) {
    for (const expression of LARGE) {
      const { listed, error } = filterRuns(runs, expression);
      assert.equal(listed.length, runs.length, expression);
      assert.match(error ?? "", /too complex/, expression);
    }
    for (const expression of USUAL) assert.equal(filterRuns(runs, expression).error, null);
  }
  assert.equal(filterRuns(few, "[^!]{0,200}$!").error, null);
  assert.match(filterRuns(many, "[^!]{0,200}$!").error ?? "", /too complex/);
  assert.ok(performance.now() - start < 5_000);
});

test("names are matched once for each expression and list of runs", () => {
  const runs = [run("a"), run("b")];
  const first = filterRuns(runs, "a");
  assert.equal(filterRuns(runs, "a"), first);
  assert.equal(filterRuns(runs, "b").listed[0]?.run, "b");
  assert.equal(filterRuns([run("ab")], "b").listed.length, 1);
});

test("texts of a million letters are handled in linear time", () => {
  const start = performance.now();
  for (const part of [
    "-",
    ".",
    "\n",
    "=",
    ";",
    "'",
    "0",
    "/1",
    "/effective_rank_",
    "a/",
    "&hide=b",
  ]) {
    const text = part.repeat(LONG / part.length);
    toCsv([[text]]);
    fileName([text, `${text}x`], "csv");
    fromFragment(fromHostHash(`#leaf&p.leaf.filter=${text}&p.leaf.run=${text}`));
    filterRuns([run(text)], text);
    const tag = `${text}/trace_mean`;
    traceSpec([{ run: run("a", { scalars: [tag, text] }), position: 0 }], () => null, {
      smoothing: 0,
      log: true,
      dark: false,
    });
    rankKinds([
      { run: run("a", { scalars: [text, `${text}/effective_rank_${text}`] }), position: 0 },
    ]);
    for (const tag of [text, `${text}-`, `a/${text}`, `${text}/12-`])
      findOpened([run("a")], { run: "a", tag, index: 0 });
    reasonText(snapshot(1, { reason: text }));
  }
  assert.ok(performance.now() - start < 60_000);
});
