/** The curves of a path as CSV and as JSON. */

import type { Kind, Path } from "../data/api.ts";
import { type Cell, toCsv } from "../save/csv.ts";
import type { Opened } from "../view/view.ts";

/** One row per point of the curves. */
export function pathCsv(path: Path, kind: Kind): string {
  const columns: [string, readonly Cell[]][] = [
    ["step", path.curve_steps],
    ...path.classes.map((name, i): [string, Cell[]] => [`p(${name})`, path.probabilities[i] ?? []]),
    [kind === "prediction" ? "fisher_rao_distance" : "distance", path.distance],
    ["horizontality", path.horizontality],
    ["fisher_rao_length", path.fisher_rao_length],
    ["entropy", path.entropy],
  ];
  function* rows(): Generator<Cell[]> {
    yield columns.map(([name]) => name);
    for (const i of path.curve_steps.keys()) yield columns.map(([, values]) => values[i] ?? null);
  }
  return toCsv(rows());
}

/** All data of a path except its images, with the field names of the HTTP API. */
export function pathJson({ key, snapshot }: Opened, path: Path): string {
  const { name, kind, step, epoch, likelihood } = snapshot;
  const { classes, probabilities, frames: _, ...rest } = path;
  const byClass = classes.map((ofClass, i) => ({ class: ofClass, values: probabilities[i] ?? [] }));
  const all = { ...key, name, kind, step, epoch, likelihood, ...rest, probabilities: byClass };
  return `${JSON.stringify(all, null, 1)}\n`;
}
