/** Texts from logs, made safe to show: short, and without characters that change other texts. */

import type { Path, PathIndex, Run, Snapshot } from "./api.ts";

const MAX_LETTERS = 200;
const MAX_SENTENCE = 1000;
const REPLACEMENT = "\ufffd";

/**
 * Control characters, half of a surrogate pair, marks that reverse the order of the letters around
 * them, and letters without width, by which two equal texts differ.
 */
const MISLEADING =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are replaced
  /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u206f\ufeff\p{Cs}]/gu;

/** The text to show for a name from a log. */
export function shown(text: string, letters = MAX_LETTERS): string {
  // Two units per letter are enough. The rest of a long text is not read.
  const start = text.slice(0, 2 * letters + 2);
  const cleaned = start.replace(MISLEADING, REPLACEMENT);
  if (cleaned.length <= letters) return cleaned;
  const kept = [...cleaned];
  return kept.length <= letters ? cleaned : `${kept.slice(0, letters - 1).join("")}…`;
}

/** A run whose texts can be shown. Its name and tags are keys of requests, and stay as they are. */
export function shownRun(run: Run): Run {
  const damaged = run.damaged.map(({ tag, message }) => ({
    tag: shown(tag),
    message: shown(message, MAX_SENTENCE),
  }));
  return { ...run, damaged, snapshots: run.snapshots.map(shownSnapshot) };
}

function shownSnapshot(snapshot: Snapshot): Snapshot {
  return {
    ...snapshot,
    reason: shown(snapshot.reason),
    frame_note: shown(snapshot.frame_note, MAX_SENTENCE),
    paths: snapshot.paths.map(shownEnds),
  };
}

/** A path whose texts can be shown. */
export function shownPath(path: Path): Path {
  return {
    ...shownEnds(path),
    classes: path.classes.map((name) => shown(name)),
    frame_labels: path.frame_labels.map((name) => shown(name)),
  };
}

function shownEnds<P extends Path | PathIndex>(path: P): P {
  const { source, destination, judged } = path;
  return {
    ...path,
    source: shown(source),
    destination: shown(destination),
    judged: shown(judged),
  };
}
