/** A canvas with text whose coordinates are CSS pixels. */

import { type Colours, FONT } from "../theme/colours.ts";

export interface Text {
  size: number;
  colour: string;
  weight?: number;
  align?: "left" | "center";
  /** Longer texts are truncated. */
  width?: number;
}

/** Larger canvases fail in some browsers, without an error. */
const MAX_SIDE = 2 ** 15 - 1;
const MAX_PIXELS = 2 ** 26;

export class Picture {
  readonly canvas = document.createElement("canvas");
  readonly context: CanvasRenderingContext2D;

  /** @param sharpness Pixels of the picture per CSS pixel, in each dimension. */
  constructor(
    readonly width: number,
    readonly height: number,
    colours: Colours,
    readonly sharpness = 2,
  ) {
    const [columns, rows] = [Math.ceil(width * sharpness), Math.ceil(height * sharpness)];
    if (Math.max(columns, rows) > MAX_SIDE || columns * rows > MAX_PIXELS) {
      throw new Error(
        `It would have ${columns} × ${rows} pixels, which is too large for a picture. Zoom into a chart to save fewer frames.`,
      );
    }
    this.canvas.width = columns;
    this.canvas.height = rows;
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("The browser provides no 2D canvas.");
    this.context = context;
    context.scale(sharpness, sharpness);
    context.fillStyle = colours.surface;
    context.fillRect(0, 0, width, height);
  }

  /** @param y The baseline. */
  write(text: string, x: number, y: number, style: Text): void {
    const { context } = this;
    context.font = font(style);
    context.fillStyle = style.colour;
    context.textAlign = style.align ?? "left";
    context.fillText(this.truncated(text, style.width), x, y);
  }

  /** Write texts side by side, centred at x. */
  writeBeside(texts: readonly [string, Text][], x: number, y: number): void {
    const widths = texts.map(([text, style]) => this.measure(text, style));
    let left = x - widths.reduce((sum, width) => sum + width, 0) / 2;
    for (const [i, [text, style]] of texts.entries()) {
      this.write(text, left, y, style);
      left += widths[i] ?? 0;
    }
  }

  /** The width of a text as written. */
  measure(text: string, style: Text): number {
    this.context.font = font(style);
    return this.context.measureText(this.truncated(text, style.width)).width;
  }

  toPng(): Promise<Blob> {
    return new Promise((resolve, reject) => {
      this.canvas.toBlob((blob) => {
        if (blob) resolve(blob);
        else reject(new Error("The picture is too large for this browser."));
      }, "image/png");
    });
  }

  private truncated(text: string, width = Infinity): string {
    const letters = [...text];
    const fits = (kept: string) => this.context.measureText(kept).width <= width;
    if (fits(text)) return text;
    while (letters.length > 1 && !fits(`${letters.join("")}…`)) letters.pop();
    return `${letters.join("")}…`;
  }
}

function font({ size, weight = 400 }: Text): string {
  return `${weight} ${size}px ${FONT}`;
}
