/** What a row shows of a path. It does not keep the arrays and images of the path. */

import type { TemplateResult } from "lit";
import type { Path } from "../data/api.ts";
import { frameInColumn } from "../frames/columns.ts";
import { aspectRatio, drawnChannels, signalRange } from "../frames/frames.ts";
import { signalLines } from "../frames/signal_lines.ts";
import { predictionText } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";

export interface Cell {
  title: string;
  /** The lines of a signal; null for an image. */
  lines: TemplateResult | null;
}

export interface RowContent {
  cells: Cell[];
  /** Number of frames of the path. */
  frames: number;
}

/** The size of a frame, which a row keeps while it is out of view. */
export interface RowShape {
  isSignal: boolean;
  aspectRatio: number;
}

export function rowContent(path: Path, columns: number): RowContent {
  const { frames, frame_steps } = path;
  const cells = Array.from({ length: columns }, (_, column): Cell => {
    const frame = frameInColumn(column, columns, frame_steps.length);
    const step = formatCount(frame_steps[frame] ?? 0);
    return {
      title: `step ${step}: ${predictionText(path, frame)}`,
      lines:
        frames.type === "signal"
          ? signalLines(drawnChannels(frames, frame), signalRange(frames))
          : null,
    };
  });
  return { cells, frames: frame_steps.length };
}

export function rowShape({ frames }: Path): RowShape {
  return frames.type === "signal"
    ? { isSignal: true, aspectRatio: 1 }
    : { isSignal: false, aspectRatio: aspectRatio(frames) };
}
