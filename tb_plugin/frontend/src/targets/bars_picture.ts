/** The bars of all targets as a picture. */

import type { Likelihood } from "../data/api.ts";
import { Picture, type Text } from "../save/picture.ts";
import type { Colours } from "../theme/colours.ts";
import { barText, longest, share } from "./bars.ts";
import { switchChange, type Target } from "./targets.ts";

const WIDTH = 560;
const MARGIN = 16;
const ROW = 22;
const BAR = 14;
const HEADER = 70;
const NAME = 110;
const LENGTH = 220;
const GAP = 8;
const HATCH = 6;

export interface ShownBars {
  title: string;
  subtitle: string;
  /** Path and run of the bars. */
  origin: string;
  targets: readonly Target[];
  likelihood: Likelihood;
}

export function barsPicture(shown: ShownBars, colours: Colours): Promise<Blob> {
  const { targets, likelihood } = shown;
  const picture = new Picture(WIDTH, HEADER + targets.length * ROW + MARGIN, colours);
  const secondary: Text = {
    size: 12,
    colour: colours["text-secondary"],
    width: WIDTH - 2 * MARGIN,
  };
  const title: Text = { size: 14, weight: 500, colour: colours.text, width: WIDTH - 2 * MARGIN };
  picture.write(shown.title, MARGIN, MARGIN + 11, title);
  picture.write(shown.subtitle, MARGIN, MARGIN + 28, secondary);
  picture.write(shown.origin, MARGIN, MARGIN + 44, secondary);
  const largest = longest(targets);
  const left = MARGIN + NAME + GAP;
  for (const [i, target] of targets.entries()) {
    const top = HEADER + i * ROW + 4;
    const length = LENGTH * share(target, largest);
    const name = { size: 12, colour: colours.text, width: NAME };
    picture.write(target.path.destination, MARGIN, top + 11, name);
    drawBar(picture.context, left, top, length, switchChange(target.path) !== null, colours);
    const after = left + length + GAP;
    picture.write(barText(target, likelihood), after, top + 11, {
      ...secondary,
      width: WIDTH - MARGIN - after,
    });
  }
  return picture.toPng();
}

function drawBar(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  length: number,
  isSolid: boolean,
  colours: Colours,
): void {
  context.fillStyle = colours.accent;
  if (isSolid) {
    context.fillRect(x, y, length, BAR);
    return;
  }
  context.save();
  context.beginPath();
  context.rect(x, y, length, BAR);
  context.clip();
  context.strokeStyle = colours.accent;
  context.lineWidth = 1.5;
  context.stroke();
  for (let at = x - BAR; at < x + length; at += HATCH) {
    context.beginPath();
    context.moveTo(at, y + BAR);
    context.lineTo(at + BAR, y);
    context.stroke();
  }
  context.restore();
}
