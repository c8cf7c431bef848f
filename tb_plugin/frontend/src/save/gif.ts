/** Animated GIFs. */

import { applyPalette, GIFEncoder, type Palette, quantize } from "gifenc/dist/gifenc.esm.js";

export interface GifFrame {
  /** RGBA, in row-major order. */
  pixels: Uint8ClampedArray;
  milliseconds: number;
}

export interface GifSize {
  width: number;
  height: number;
  /** The first row of the caption. The caption has its own colours in the palette. */
  captionTop: number;
}

/** Colours of the caption among the 256 colours of a frame. */
const CAPTION_COLOURS = 40;

/** Encode frames as an endless animation with one palette per frame. */
export async function encodeGif(
  { width, height, captionTop }: GifSize,
  frames: Iterable<GifFrame>,
): Promise<Uint8Array<ArrayBuffer>> {
  const gif = GIFEncoder();
  for (const { pixels, milliseconds } of frames) {
    const image = reduced(pixels.slice(0, 4 * width * captionTop), 256 - CAPTION_COLOURS);
    const caption = reduced(pixels.slice(4 * width * captionTop), CAPTION_COLOURS);
    const palette = [...image.palette, ...caption.palette];
    const indices = new Uint8Array(width * height);
    indices.set(image.indices);
    indices.set(
      caption.indices.map((index) => index + image.palette.length),
      width * captionTop,
    );
    gif.writeFrame(indices, width, height, { palette, delay: milliseconds });
    // Keep the page responsive.
    await new Promise((resolve) => setTimeout(resolve));
  }
  gif.finish();
  return gif.bytes();
}

function reduced(
  pixels: Uint8ClampedArray,
  colours: number,
): { palette: Palette; indices: Uint8Array } {
  if (pixels.length === 0) return { palette: [], indices: new Uint8Array() };
  const palette = quantize(pixels, colours);
  return { palette, indices: applyPalette(pixels, palette) };
}
