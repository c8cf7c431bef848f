/** Filters the names of runs by a regular expression. */

import { RE2JS } from "re2js";
import type { Run } from "../data/api.ts";

const MAX_LETTERS = 1000;
/** Instructions of an expression, estimated before it is compiled: 0.1 s. */
const MAX_ESTIMATE = 30_000;
/** Instructions of an expression. Most expressions that are written by hand have less than 100. */
const MAX_INSTRUCTIONS = 500;
/** Instructions times letters of all names: at most 4 ns each. */
const MAX_WORK = 1e8;

const TOO_COMPLEX = "This regular expression is too complex. Use fewer or smaller repeats {n,m}.";

export interface Filtered {
  /** The runs whose names match. */
  listed: readonly Run[];
  /** Why all runs are listed, if the expression cannot be used. */
  error: string | null;
}

let latest: { runs: readonly Run[]; expression: string; filtered: Filtered } | null = null;

/**
 * Filter runs by a regular expression, which matches any part of a name in any case.
 *
 * The engine has no backtracking: its time is at most the letters of the names times the
 * instructions of the expression. Both are limited. With the engine of the browser, an expression
 * such as `^(a+)+$` from a link would stop the page.
 */
export function filterRuns(runs: readonly Run[], expression: string): Filtered {
  if (latest?.runs !== runs || latest.expression !== expression) {
    latest = { runs, expression, filtered: filtered(runs, expression) };
  }
  return latest.filtered;
}

function filtered(runs: readonly Run[], expression: string): Filtered {
  const all = (error: string | null): Filtered => ({ listed: runs, error });
  if (expression === "") return all(null);
  if (expression.length > MAX_LETTERS) return all(`A filter has at most ${MAX_LETTERS} letters.`);
  if (estimate(expression) > MAX_ESTIMATE) return all(TOO_COMPLEX);
  const pattern = compile(expression);
  if (typeof pattern === "string") return all(pattern);
  const size = pattern.programSize();
  const letters = runs.reduce((sum, { run }) => sum + run.length, 0);
  if (size > MAX_INSTRUCTIONS || size * letters > MAX_WORK) return all(TOO_COMPLEX);
  return { listed: runs.filter(({ run }) => pattern.test(run)), error: null };
}

/** An upper bound of the instructions: repeats such as `{0,1000}` are copies, also nested ones. */
function estimate(expression: string): number {
  let largest = 1;
  let nested = 1;
  for (const [, group, from, to] of expression.matchAll(/(\)?)\{(\d+)(?:,(\d*))?\}/g)) {
    const count = Math.max(Number(from), Number(to ?? 0), 1);
    if (group) nested *= count;
    else largest = Math.max(largest, count);
  }
  return expression.length * largest * nested;
}

/** The compiled expression, or a sentence that says why it is invalid. */
function compile(expression: string): RE2JS | string {
  try {
    return RE2JS.compile(expression, RE2JS.CASE_INSENSITIVE);
  } catch {
    const isKnown = /\(\?<?[=!]|\\[1-9]/.test(expression);
    const unsupported = "Filters do not support (?=…), (?!…), (?<=…), (?<!…) and \\1.";
    return isKnown ? unsupported : "This is not a valid regular expression.";
  }
}
