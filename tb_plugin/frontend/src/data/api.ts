/** The HTTP API of the plugin (`http_api.md`): its types, and one function per route. */

export type Kind = "horizontal" | "prediction" | "orthogonal";
/** C exclusive classes, or C independent labels with a probability each. */
export type Likelihood = "categorical" | "bernoulli";
export type Status =
  | "reached"
  | "blocked"
  | "stalled"
  | "out_of_steps"
  | "out_of_time"
  | "non_finite";
/** What blocks a path; see `http_api.md`. */
export type Barrier = "" | "rank" | "domain" | "prediction";

/** The scalars of a path. A distance that is not finite is null. */
export interface PathScalars {
  source: string;
  destination: string;
  source_index: number | null;
  destination_index: number | null;
  status: Status;
  steps: number;
  start_distance: number | null;
  final_distance: number | null;
  threshold: number | null;
  /** Euclidean distance between the first and the last point. */
  change: number | null;
  euclidean_length: number | null;
  /** Fisher–Rao length over the Fisher–Rao distance of the first and the last prediction. */
  switch_change: number | null;
  length_ratio: number | null;
  blocked_by: Barrier;
  /** What another network predicts for the last point; empty without one. */
  judged: string;
  judged_probability: number | null;
}

export interface PathIndex extends PathScalars {
  mean_horizontality: number | null;
}

export interface Snapshot {
  tag: string;
  name: string;
  kind: Kind;
  step: number;
  epoch: number;
  reason: string;
  session: string;
  wall_time: number;
  class_count: number;
  input_shape: number[];
  scaled: boolean;
  likelihood: Likelihood;
  /** What a frame shows, if that is not the whole input. */
  frame_note: string;
  paths: PathIndex[];
}

export interface Damaged {
  tag: string;
  message: string;
}

export interface Run {
  run: string;
  snapshots: Snapshot[];
  /** Snapshots that are not listed, because there are too many. */
  omitted: number;
  /** Snapshots of steps that a resumed training repeated. */
  superseded: number;
  damaged: Damaged[];
  damaged_omitted: number;
  scalars: string[];
  scalars_omitted: number;
}

export interface RunList {
  runs: Run[];
  runs_omitted: number;
}

export type Values = (number | null)[];

export interface ImageFrames {
  type: "image";
  height: number;
  width: number;
  count: number;
  destination: boolean;
  columns: number;
}

export interface SignalFrames {
  type: "signal";
  channels: number;
  length: number;
  values: Values[][];
  destination: Values[] | null;
}

/** One path: S points of curves, K classes, F frames. */
export interface Path extends PathScalars {
  classes: string[];
  curve_steps: number[];
  probabilities: Values[];
  distance: Values;
  horizontality: Values;
  fisher_rao_length: Values;
  entropy: Values;
  frame_steps: number[];
  /** The predicted class, or the predicted labels: "cat, dog". */
  frame_labels: string[];
  /** Null for independent labels, which have a probability each. */
  frame_probabilities: Values;
  /** A hash of the stored path. */
  digest: string;
  frames: ImageFrames | SignalFrames;
}

export interface Scalar {
  steps: number[];
  wall_times: number[];
  values: Values;
}

/** Names one path: the `index`-th of the snapshot `tag` in `run`. */
export interface PathKey {
  run: string;
  tag: string;
  index: number;
}

/** The error of all requests. Its message is a sentence for the page. */
export class ApiError extends Error {}

const TIMEOUT_MS = 60_000;

export function fetchRuns(): Promise<RunList> {
  return fetchJson<RunList>("snapshots");
}

export function fetchPath(key: PathKey): Promise<Path> {
  return fetchJson<Path>(`path?${query(key)}`);
}

/** Fetch the sprite sheet of a path as PNG: all frames, then the destination. */
export function fetchFrames(key: PathKey, digest: string): Promise<Blob> {
  return request(`frames?${query({ ...key, digest })}`, (response) => response.blob());
}

export function fetchScalar(run: string, tag: string): Promise<Scalar> {
  return fetchJson<Scalar>(`scalars?${query({ run, tag })}`);
}

function query(parameters: object): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) search.set(name, String(value));
  return search.toString();
}

async function fetchJson<T>(url: string): Promise<T> {
  const content: unknown = await request(url, (response) => response.json());
  return content as T;
}

async function request<T>(url: string, read: (response: Response) => Promise<T>): Promise<T> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    // Responses that never change are marked as cacheable. Others are fetched again.
    response = await fetch(url, { signal, credentials: "same-origin" });
  } catch {
    throw new ApiError(
      signal.aborted
        ? `TensorBoard did not respond within ${TIMEOUT_MS / 1000} seconds.`
        : "TensorBoard cannot be reached. Check that it is still running.",
    );
  }
  if (!response.ok) {
    // TensorBoard adds the kind of the error as a prefix, which does not help users.
    const message = (await response.text().catch(() => "")).trim().replace(/^Not found: /, "");
    throw new ApiError(message || `TensorBoard responded with status ${response.status}.`);
  }
  try {
    return await read(response);
  } catch {
    throw new ApiError("The response of TensorBoard is incomplete or cannot be read.");
  }
}
