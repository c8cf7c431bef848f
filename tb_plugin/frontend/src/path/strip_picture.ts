/** The strip of a path as a picture: source, frames, destination and status. */

import { type Cursor, shownFrames } from "../cursor/cursor.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { destinationFrame, differenceScale } from "../frames/frames.ts";
import { drawChange, drawFrame, frameSize } from "../frames/picture.ts";
import { clipZoom } from "../numeric/step_range.ts";
import { Picture, type Text } from "../save/picture.ts";
import {
  frameProbability,
  framesText,
  outcome,
  pathFacts,
  pathTitle,
  statusText,
  stepsText,
} from "../text/labels.ts";
import { formatCount, formatValue } from "../text/numbers.ts";
import { judgement, verdict } from "../text/verdict.ts";
import type { Colours } from "../theme/colours.ts";
import type { Opened } from "../view/view.ts";

const SHARPNESS = 2;
const TILE_PIXELS = 144;
const MARGIN = 16;
const HEADER = 74;
const HEADER_LINE = 16;
const CAPTION = 36;
const GAP = 6;
/** Between the frames and the source or destination. */
const WIDE_GAP = 22;
const MIN_WIDTH = 420;
const RED = "red: brighter";
const MIN_WIDTH_WITH_VERDICT = 640;
const MAX_COLUMNS = 12;

export function stripPicture(
  opened: Opened,
  loaded: LoadedPath,
  cursor: Cursor,
  colours: Colours,
  dark: boolean,
): Promise<Blob> {
  const frames = shownFrames(cursor);
  const count = frames.length;
  const lines = Math.ceil(count / MAX_COLUMNS);
  const columns = Math.ceil(count / lines);
  const tile = frameSize(loaded, TILE_PIXELS);
  const column = tile.width / SHARPNESS + GAP;
  const line = tile.height / SHARPNESS + CAPTION;
  const destination = destinationFrame(loaded);
  const isPrediction = opened.snapshot.kind === "prediction";
  const ends = (destination === null && !isPrediction ? 1 : 2) * (column - GAP + WIDE_GAP);
  const needed = 2 * MARGIN + ends + columns * column - GAP;
  const width = Math.max(needed, isPrediction ? MIN_WIDTH_WITH_VERDICT : MIN_WIDTH);
  const top = HEADER + (isPrediction ? HEADER_LINE : 0);
  const picture = new Picture(width, top + lines * line + MARGIN, colours);

  writeHeader(picture, opened, loaded, cursor, colours);
  const caption = (x: number, y: number, name: string, value: string, note: string) => {
    const captions = { size: 11, colour: colours.text, weight: 500, width: column - 2 };
    const secondary: Text = { size: 11, colour: colours["text-secondary"] };
    const middle = x + (column - GAP) / 2;
    const below = y + tile.height / SHARPNESS;
    const rest = value && ` ${value}`;
    const room = Math.max(column - 2 - picture.measure(rest, secondary), 12);
    picture.writeBeside(
      [
        [name, { ...captions, width: room }],
        [rest, secondary],
      ],
      middle,
      below + 14,
    );
    const small: Text = { ...secondary, size: 10, align: "center", width: column };
    picture.write(note, middle, below + 27, small);
  };
  const draw = (frame: number, x: number, y: number, name: string, value: string, note: string) => {
    drawFrame(picture, loaded, frame, x, y, tile, colours);
    caption(x, y, name, value, note);
  };
  const { path } = loaded;
  draw(0, MARGIN, top, path.source, "", "source");
  const left = MARGIN + column - GAP + WIDE_GAP;
  for (const [i, frame] of frames.entries()) {
    const x = left + (i % columns) * column;
    const y = top + Math.floor(i / columns) * line;
    const probability = frameProbability(path, frame);
    const step = `step ${formatCount(path.frame_steps[frame] ?? 0)}`;
    draw(frame, x, y, path.frame_labels[frame] ?? "", probability, step);
  }
  const x = left + columns * column - GAP + WIDE_GAP;
  if (isPrediction) {
    const end = path.frame_steps.length - 1;
    drawChange(picture, loaded, end, x, top, tile, colours, dark);
    const largest = formatValue(differenceScale(loaded) / 255, 2);
    caption(x, top, "change", loaded.sheet ? `±${largest}` : "", loaded.sheet ? RED : "");
  } else if (destination !== null) {
    draw(destination, x, top, path.destination, "", "destination");
  }
  return picture.toPng();
}

function writeHeader(
  picture: Picture,
  { key, snapshot, path }: Opened,
  loaded: LoadedPath,
  cursor: Cursor,
  colours: Colours,
): void {
  const width = picture.width - 2 * MARGIN;
  const title: Text = { size: 16, weight: 500, colour: colours.text, width };
  picture.write(pathTitle(snapshot, path), MARGIN, MARGIN + 13, title);
  const zoom = clipZoom(cursor.range, [0, loaded.path.steps]);
  const facts = [pathFacts(key.run, snapshot, path)];
  const omitted = framesText(shownFrames(cursor).length, cursor.frames);
  if (omitted) facts.push(omitted);
  if (zoom) facts.push(stepsText(zoom, loaded.path.steps));
  const secondary: Text = { size: 12, colour: colours["text-secondary"], width };
  picture.write(facts.join(" · "), MARGIN, MARGIN + 30, secondary);
  const status: Text = { size: 12, colour: colours[outcome(path)], width };
  if (snapshot.kind !== "prediction") {
    picture.write(statusText(snapshot.kind, path), MARGIN, MARGIN + 46, status);
    return;
  }
  picture.write(verdict(loaded.path, snapshot.likelihood).text, MARGIN, MARGIN + 46, status);
  const judged = judgement(path, snapshot.likelihood);
  if (!judged) return;
  const colour = judged.tone === "neutral" ? colours["text-secondary"] : colours[judged.tone];
  picture.write(judged.text, MARGIN, MARGIN + 46 + HEADER_LINE, { ...status, colour });
}
