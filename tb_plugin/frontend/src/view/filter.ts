/** Filters the names of runs by a regular expression. */

import { RE2JS } from "re2js";
import type { Run } from "../data/api.ts";

const MAX_LETTERS = 1000;

export interface Filter {
  matches: (name: string) => boolean;
  /** Why all names match, if the expression cannot be used. */
  error: string | null;
}

let latest: { expression: string; filter: Filter } | null = null;

/**
 * Parse a regular expression, which matches any part of a name in any case.
 *
 * The engine has no backtracking: its time is linear in the length of a name. With the engine of
 * the browser, an expression such as `^(a+)+$` from a link would stop the page.
 */
export function parseFilter(expression: string): Filter {
  if (latest?.expression !== expression) latest = { expression, filter: parse(expression) };
  return latest.filter;
}

function parse(expression: string): Filter {
  const all = (error: string | null): Filter => ({ matches: () => true, error });
  if (expression === "") return all(null);
  if (expression.length > MAX_LETTERS) return all(`A filter has at most ${MAX_LETTERS} letters.`);
  try {
    const pattern = RE2JS.compile(expression, RE2JS.CASE_INSENSITIVE);
    return { matches: (name) => pattern.test(name), error: null };
  } catch {
    const isKnown = /\(\?<?[=!]|\\[1-9]/.test(expression);
    const unsupported = "Filters do not support (?=…), (?!…), (?<=…), (?<!…) and \\1.";
    return all(isKnown ? unsupported : "This is not a valid regular expression.");
  }
}

/** The runs whose names match the filter; all runs if the filter is invalid. */
export function listedRuns(runs: readonly Run[], expression: string): Run[] {
  const { matches } = parseFilter(expression);
  return runs.filter(({ run }) => matches(run));
}
