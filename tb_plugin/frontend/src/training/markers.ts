/** Marks of the snapshots on training charts. */

import type { Marker } from "../charts/spec.ts";
import { shown } from "../data/untrusted_text.ts";
import { spacedName, withRest } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import { runColour } from "../theme/palette.ts";
import type { TrainingRun } from "./runs.ts";

const MAX_NAMES = 10;

/** One marker per run and step with snapshots. The marker of the open snapshot is current. */
export function snapshotMarkers(
  runs: TrainingRun[],
  open: { run: string; step: number } | null,
  dark: boolean,
): Marker[] {
  return runs.flatMap(({ run, position }) => {
    const names = new Map<number, Set<string>>();
    for (const { step, name } of run.snapshots) {
      const ofStep = names.get(step);
      if (ofStep) ofStep.add(name);
      else names.set(step, new Set([name]));
    }
    return [...names].map(([step, ofStep]) => ({
      x: step,
      run: run.run,
      label: `${shown(run.run)}, step ${formatCount(step)}: open ${withRest([...ofStep].map(spacedName), MAX_NAMES)}`,
      colour: runColour(position, dark),
      isCurrent: open?.run === run.run && open.step === step,
    }));
  });
}
