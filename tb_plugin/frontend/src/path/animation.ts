/** A path as an animation of its frames, with label and probability. */

import { type Cursor, shownFrames } from "../cursor/cursor.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { drawFrame, frameSize } from "../frames/picture.ts";
import { encodeGif, type GifFrame } from "../save/gif.ts";
import { Picture } from "../save/picture.ts";
import { frameProbability, pairName } from "../text/labels.ts";
import { formatCount } from "../text/numbers.ts";
import type { Colours } from "../theme/colours.ts";
import type { Opened } from "../view/view.ts";

const TILE_PIXELS = 280;
const CAPTION = 48;
const FRAME_MS = 160;
/** The last frame is shown longer. */
const LAST_FRAME_MS = 1200;

export async function pathAnimation(
  opened: Opened,
  loaded: LoadedPath,
  cursor: Cursor,
  colours: Colours,
): Promise<Blob> {
  const tile = frameSize(loaded, TILE_PIXELS);
  const width = Math.max(tile.width, TILE_PIXELS);
  const height = tile.height + CAPTION;
  const shown = shownFrames(cursor);
  function* frames(): Generator<GifFrame> {
    for (const frame of shown) {
      const picture = new Picture(width, height, colours, 1);
      drawFrame(picture, loaded, frame, (width - tile.width) / 2, 0, tile, colours);
      writeCaption(picture, opened, loaded, frame, colours);
      const { data } = picture.context.getImageData(0, 0, width, height);
      yield { pixels: data, milliseconds: frame === shown.at(-1) ? LAST_FRAME_MS : FRAME_MS };
    }
  }
  const size = { width, height, captionTop: tile.height };
  return new Blob([await encodeGif(size, frames())], { type: "image/gif" });
}

function writeCaption(
  picture: Picture,
  { path: ends }: Opened,
  { path }: LoadedPath,
  frame: number,
  colours: Colours,
): void {
  const middle = picture.width / 2;
  const top = picture.height - CAPTION;
  const secondary = { colour: colours["text-secondary"], size: 16 };
  const name = { colour: colours.text, size: 16, weight: 500, width: picture.width - 60 };
  const probability = ` ${frameProbability(path, frame)}`;
  const caption = [path.frame_labels[frame] ?? "", name] as const;
  picture.writeBeside([[...caption], [probability, secondary]], middle, top + 20);
  const step = `step ${formatCount(path.frame_steps[frame] ?? 0)} of ${formatCount(path.steps)}`;
  const note = { ...secondary, size: 12, align: "center", width: picture.width - 8 } as const;
  picture.write(`${pairName(ends)} · ${step}`, middle, top + 38, note);
}
