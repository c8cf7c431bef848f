/** The images of a path, decoded into one bitmap of bounded size. */

import type { ImageFrames } from "./api.ts";

/** A bitmap takes four bytes per pixel: 64 MiB. Larger sheets are reduced. */
export const MAX_SHEET_PIXELS = 2 ** 24;

export interface Size {
  width: number;
  height: number;
}

/** The size of the tiles of a sheet, so that it has at most `MAX_SHEET_PIXELS`. */
export function tileSize({ width, height, columns, ...frames }: ImageFrames): Size {
  const rows = Math.ceil(tileCount(frames) / columns);
  const factor = Math.sqrt(MAX_SHEET_PIXELS / (rows * height) / (columns * width));
  if (factor >= 1) return { width, height };
  const reduced = {
    width: Math.max(1, Math.floor(factor * width)),
    height: Math.max(1, Math.floor(factor * height)),
  };
  // A side of one pixel cannot be reduced further.
  const limit = MAX_SHEET_PIXELS / (rows * columns);
  if (reduced.width * reduced.height <= limit) return reduced;
  return width < height
    ? { width: reduced.width, height: Math.max(1, Math.floor(limit / reduced.width)) }
    : { width: Math.max(1, Math.floor(limit / reduced.height)), height: reduced.height };
}

function tileCount({ count, destination }: Pick<ImageFrames, "count" | "destination">): number {
  return count + Number(destination);
}

/** Decode a sheet. Rejects if the browser cannot read it. */
export async function decodeSheet(png: Blob, frames: ImageFrames): Promise<Sheet> {
  const tile = tileSize(frames);
  if (tile.width === frames.width && tile.height === frames.height) {
    return new Sheet(await createImageBitmap(png), tile, frames.columns);
  }
  const rows = Math.ceil(tileCount(frames) / frames.columns);
  const bitmap = await createImageBitmap(png, {
    resizeWidth: frames.columns * tile.width,
    resizeHeight: rows * tile.height,
    resizeQuality: "medium",
  });
  return new Sheet(bitmap, tile, frames.columns);
}

/**
 * A sheet of tiles.
 *
 * Several parts of the page use one sheet: each keeps it with `retain` and then calls `release`.
 * The memory of the bitmap is free as soon as the last part has released it, which garbage
 * collection would delay.
 */
export class Sheet {
  private users = 1;

  constructor(
    private readonly bitmap: ImageBitmap,
    /** Of one tile, which may be reduced. */
    readonly tile: Size,
    private readonly columns: number,
  ) {}

  get bytes(): number {
    return 4 * this.bitmap.width * this.bitmap.height;
  }

  retain(users = 1): this {
    this.users += users;
    return this;
  }

  release(): void {
    this.users -= 1;
    if (this.users === 0) this.bitmap.close();
  }

  /** Draw one tile into a box. Nothing is drawn after the last release. */
  draw(
    context: CanvasRenderingContext2D,
    frame: number,
    x: number,
    y: number,
    width: number,
    height: number,
  ): void {
    if (this.users <= 0) return;
    const { tile, columns } = this;
    const left = (frame % columns) * tile.width;
    const top = Math.floor(frame / columns) * tile.height;
    context.drawImage(this.bitmap, left, top, tile.width, tile.height, x, y, width, height);
  }
}
