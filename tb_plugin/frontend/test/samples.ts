/** Small runs, snapshots and paths. */

import type { Path, PathIndex, Run, Snapshot } from "../src/data/api.ts";

export function pathIndex(changes: Partial<PathIndex> = {}): PathIndex {
  return {
    source: "4",
    destination: "9",
    source_index: 24,
    destination_index: 78,
    status: "stalled",
    steps: 408,
    start_distance: 29.66,
    final_distance: 22.25,
    threshold: 1,
    change: 8.5,
    euclidean_length: 9.1,
    switch_change: null,
    length_ratio: 1.9,
    blocked_by: "",
    judged: "",
    judged_probability: null,
    mean_horizontality: 0.8,
    ...changes,
  };
}

export function snapshot(step: number, changes: Partial<Snapshot> = {}): Snapshot {
  const name = changes.name ?? "horizontal_path";
  return {
    tag: `${name}/${String(step).padStart(12, "0")}-17979cfe362a0000`,
    name,
    kind: "horizontal",
    step,
    epoch: 1,
    reason: "step",
    session: "17979cfe362a0000",
    wall_time: step,
    class_count: 10,
    input_shape: [1, 28, 28],
    scaled: false,
    likelihood: "categorical",
    frame_note: "",
    paths: [pathIndex(), pathIndex({ source: "1", destination: "5", source_index: 3 })],
    ...changes,
  };
}

export function run(name: string, changes: Partial<Run> = {}): Run {
  const scalars = ["leaf/effective_rank_entropy", "leaf/tangent_dimension", "leaf/trace_mean"];
  return {
    run: name,
    snapshots: [snapshot(100), snapshot(200)],
    omitted: 0,
    superseded: 0,
    damaged: [],
    damaged_omitted: 0,
    scalars_omitted: 0,
    scalars: [...scalars, "leaf/trace_median"],
    ...changes,
  };
}

export function path(changes: Partial<Path> = {}): Path {
  return {
    ...pathIndex({ steps: 4 }),
    classes: ["4", "9", "other"],
    curve_steps: [0, 2, 4],
    probabilities: [
      [0.9, 0.5, 0.1],
      [0.09, 0.48, 0.88],
      [0.01, 0.02, 0.02],
    ],
    distance: [3, 2, 1],
    horizontality: [0.5, 0.6, null],
    fisher_rao_length: [0, 1, 2],
    entropy: [0.3, 0.8, 0.4],
    frame_steps: [0, 3, 4],
    frame_labels: ["4", "9", "9"],
    frame_probabilities: [0.9, 0.6, 0.88],
    digest: "0123456789abcdef0123456789abcdef",
    frames: { type: "image", height: 2, width: 2, count: 3, destination: true, columns: 2 },
    ...changes,
  };
}
