/** The size of the change to one target over training, as a chart. */

import type { ChartSpec, Marker } from "../charts/spec.ts";
import { fromZero } from "../charts/ticks.ts";
import type { PathKey } from "../data/api.ts";
import { distanceText } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import { shortReason } from "../text/verdict.ts";
import { sameKey } from "../view/view.ts";
import { longest } from "./bars.ts";
import { type Moment, switchChange } from "./targets.ts";

/** The line connects moments at which the target is predicted. The others are only points. */
export function changeSpec(moments: readonly Moment[], colour: string): ChartSpec {
  const steps = moments.map(({ step }) => step);
  const values = moments.map(({ path }) => switchChange(path));
  return {
    curves: [{ name: "change", steps, values, colour, width: 2 }],
    rules: [],
    xLabel: "optimizer step",
    left: { label: "change (Euclidean)", range: fromZero(longest(moments)) },
  };
}

/** A point for each moment whose change is known. */
export function changePoints(moments: readonly Moment[], open: PathKey, colour: string): Marker[] {
  return moments.flatMap(({ key, path, step }) => {
    const y = switchChange(path) ?? path.change;
    if (y === null) return [];
    const facts = [distanceText("prediction", path), shortReason(path)].filter(Boolean).join(", ");
    return {
      x: step,
      y,
      isHollow: switchChange(path) === null,
      run: key.run,
      label: `step ${formatCount(step)}: ${facts}`,
      colour,
      isCurrent: sameKey(key, open),
    };
  });
}
