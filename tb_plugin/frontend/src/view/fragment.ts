/** Converts a view to a URL fragment and back. */

import type { Range } from "../numeric/range.ts";
import { INITIAL_VIEW, type RowsTab, type View } from "./view.ts";

const ROWS: readonly RowsTab[] = ["training", "pairs", "runs"];

const MAX_NAMES = 2000;

/** The fields that differ from the initial view, as `name=value&…`. */
export function toFragment(view: View): string {
  const search = new URLSearchParams();
  if (view.filter) search.set("filter", view.filter);
  for (const [run, drawn] of view.choices) search.append(drawn ? "show" : "hide", run);
  if (view.smoothing !== INITIAL_VIEW.smoothing) search.set("smoothing", String(view.smoothing));
  if (view.scale !== INITIAL_VIEW.scale) search.set("scale", view.scale);
  if (view.trainingSteps) search.set("training-steps", view.trainingSteps.join("-"));
  if (view.rows !== INITIAL_VIEW.rows) search.set("rows", view.rows);
  if (view.open) {
    search.set("run", view.open.run);
    search.set("tag", view.open.tag);
    search.set("index", String(view.open.index));
  }
  if (view.pathSteps) search.set("path-steps", view.pathSteps.join("-"));
  if (view.at !== null) search.set("at", String(view.at));
  for (const name of view.hiddenClasses) search.append("hide-class", name);
  return search.toString();
}

/** Parse a fragment. Invalid fields keep their initial values. */
export function fromFragment(fragment: string): View {
  const search = new URLSearchParams(fragment);
  const run = search.get("run");
  const tag = search.get("tag");
  const smoothing = Number(search.get("smoothing"));
  return {
    filter: search.get("filter") ?? INITIAL_VIEW.filter,
    choices: new Map([
      ...names(search, "show").map((name) => [name, true] as const),
      ...names(search, "hide").map((name) => [name, false] as const),
    ]),
    smoothing: smoothing > 0 && smoothing < 1 ? smoothing : INITIAL_VIEW.smoothing,
    scale: search.get("scale") === "linear" ? "linear" : INITIAL_VIEW.scale,
    trainingSteps: range(search.get("training-steps")),
    rows: ROWS.find((tab) => tab === search.get("rows")) ?? INITIAL_VIEW.rows,
    open:
      run !== null && tag !== null ? { run, tag, index: count(search.get("index")) ?? 0 } : null,
    pathSteps: range(search.get("path-steps")),
    at: count(search.get("at")),
    hiddenClasses: names(search, "hide-class"),
  };
}

/** The names of a field. A link from elsewhere may have any number of them. */
function names(search: URLSearchParams, field: string): string[] {
  return search.getAll(field).slice(0, MAX_NAMES);
}

function count(text: string | null): number | null {
  return text !== null && /^\d{1,12}$/.test(text) ? Number(text) : null;
}

/** "120-300" */
function range(text: string | null): Range | null {
  const [from = null, to = null] = (text?.split("-") ?? []).map(count);
  return from !== null && to !== null && from < to ? [from, to] : null;
}
