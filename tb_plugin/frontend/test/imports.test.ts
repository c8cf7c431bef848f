import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, sep } from "node:path";
import { test } from "node:test";

/** A folder may import from itself and from the lines above its own. */
const LAYERS = [
  ["host", "data", "theme"],
  ["numeric"],
  ["text", "cursor"],
  ["view", "save"],
  ["charts", "frames", "lists"],
  ["path", "rows", "targets", "training"],
  ["page"],
  ["."],
];

type Imports = ReadonlyMap<string, readonly string[]>;

function readImports(): Imports {
  const files = readdirSync("src", { recursive: true, encoding: "utf8" });
  const sources = files.filter((file) => /(?<!\.d)\.ts$/.test(file));
  return new Map(
    sources.map((file) => {
      const statements = readFileSync(join("src", file), "utf8").matchAll(
        /^(?:import|export|\}).*"(\.[^"]+\.ts)";$/gm,
      );
      const paths = [...statements].map(([, path = ""]) => normalize(join(dirname(file), path)));
      return [file, paths];
    }),
  );
}

function layerOf(file: string): number {
  const layer = LAYERS.findIndex((folders) => folders.includes(dirname(file)));
  assert.ok(layer >= 0, `${file}: the folder is missing in LAYERS`);
  return layer;
}

function wrongDirections(imports: Imports): string[] {
  const isAllowed = (from: string, to: string) =>
    dirname(from) === dirname(to) || layerOf(to) < layerOf(from);
  return [...imports].flatMap(([from, paths]) =>
    paths.filter((to) => !isAllowed(from, to)).map((to) => `${from} imports ${to}`),
  );
}

/** The files of one import cycle; empty if there is none. */
function findCycle(imports: Imports): string[] {
  const finished = new Set<string>();
  const search = (file: string, trail: string[]): string[] => {
    if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file];
    if (finished.has(file)) return [];
    for (const next of imports.get(file) ?? []) {
      const cycle = search(next, [...trail, file]);
      if (cycle.length > 0) return cycle;
    }
    finished.add(file);
    return [];
  };
  return [...imports.keys()].map((file) => search(file, [])).find(({ length }) => length > 0) ?? [];
}

test("folders import in one direction", () => {
  const imports = readImports();
  assert.ok([...imports.values()].flat().length > 100);
  for (const path of [...imports.values()].flat()) assert.ok(imports.has(path), path);
  assert.deepEqual(wrongDirections(imports), []);
});

test("imports have no cycle", () => {
  assert.deepEqual(findCycle(readImports()), []);
});

test("a wrong direction and a cycle are reported", () => {
  const file = (...parts: string[]) => parts.join(sep);
  const imports = new Map([
    [file("data", "api.ts"), [file("path", "strip.ts")]],
    [file("path", "strip.ts"), [file("rows", "row.ts"), file("data", "api.ts")]],
  ]);
  assert.equal(wrongDirections(imports).length, 2);
  assert.deepEqual(findCycle(imports), [
    file("data", "api.ts"),
    file("path", "strip.ts"),
    file("data", "api.ts"),
  ]);
});
