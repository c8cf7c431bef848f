/** Paths in memory: bounded by bytes, closed after use, fetched again if they were written again. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ImageFrames, Path, PathKey, Run } from "../src/data/api.ts";
import { bytesOf, MAX_CACHE_BYTES, PathStore } from "../src/data/path_store.ts";
import { MAX_SHEET_PIXELS, Sheet, tileSize } from "../src/data/sheet.ts";
import { generator } from "./random.ts";
import { path, run, snapshot } from "./samples.ts";

class Bitmap {
  static open = 0;
  static most = 0;
  static decoding = 0;
  isClosed = false;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    Bitmap.open += width * height;
    Bitmap.most = Math.max(Bitmap.most, Bitmap.open);
  }

  close(): void {
    assert.ok(!this.isClosed, "a bitmap is closed once");
    this.isClosed = true;
    Bitmap.open -= this.width * this.height;
  }
}

const tick = () => new Promise((resolve) => setImmediate(resolve));

/** A browser and a server with one path, and the URLs that were fetched. */
function served(content: () => Path): string[] {
  const urls: string[] = [];
  Bitmap.open = 0;
  Bitmap.most = 0;
  Object.assign(globalThis, {
    fetch: async (url: string) => {
      urls.push(url);
      await tick();
      return url.startsWith("path?") ? Response.json(content()) : new Response("png");
    },
    createImageBitmap: async (_: Blob, size?: { resizeWidth: number; resizeHeight: number }) => {
      Bitmap.decoding += 1;
      assert.equal(Bitmap.decoding, 1, "one sheet is decoded at a time");
      await tick();
      Bitmap.decoding -= 1;
      const frames = content().frames as ImageFrames;
      const rows = Math.ceil((frames.count + Number(frames.destination)) / frames.columns);
      const full = {
        resizeWidth: frames.columns * frames.width,
        resizeHeight: rows * frames.height,
      };
      const { resizeWidth, resizeHeight } = size ?? full;
      return new Bitmap(resizeWidth, resizeHeight);
    },
  });
  return urls;
}

function images(side: number): Path {
  const frames: ImageFrames = {
    type: "image",
    width: side,
    height: side,
    count: 3,
    destination: true,
    columns: 2,
  };
  return path({ frames });
}

const key = (index: number): PathKey => ({ run: "run", tag: snapshot(100).tag, index });

test("the tiles of a sheet keep their size unless the sheet is too large", () => {
  const sheet = (width: number, height: number, count: number, columns: number): ImageFrames => ({
    type: "image",
    width,
    height,
    count,
    columns,
    destination: false,
  });
  // Images of ImageNet, a thousand small frames.
  assert.deepEqual(tileSize(sheet(224, 224, 25, 5)), { width: 224, height: 224 });
  assert.deepEqual(tileSize(sheet(28, 28, 1000, 32)), { width: 28, height: 28 });
  assert.deepEqual(tileSize(sheet(4000, 4000, 4, 2)), { width: 2048, height: 2048 });
  const next = generator(1);
  for (let i = 0; i < 5000; i++) {
    const [width, height, count] = [
      1 + (next() % 2 ** 13),
      1 + (next() % 2 ** 13),
      1 + (next() % 99),
    ];
    const columns = 1 + (next() % count);
    const tile = tileSize(sheet(width, height, count, columns));
    const pixels = tile.width * columns * tile.height * Math.ceil(count / columns);
    assert.ok(pixels <= MAX_SHEET_PIXELS, `${width} × ${height}: ${pixels}`);
    assert.ok(tile.width >= 1 && tile.height >= 1 && tile.width <= width && tile.height <= height);
  }
  const line = tileSize(sheet(2 ** 26, 1, 1, 1));
  assert.deepEqual(line, { width: MAX_SHEET_PIXELS, height: 1 });
});

test("a log of huge images takes little memory, and small images stay in the cache", async () => {
  for (const [side, isCached] of [
    [4000, false],
    [224, true],
  ] as const) {
    const urls = served(() => images(side));
    const store = new PathStore();
    const open = await store.load(key(0), true);
    // All rows of all pairs are visible, and each draws and lets go of its images.
    const rows = Array.from({ length: 40 }, async (_, i) => {
      const { sheet } = await store.load(key(i));
      await tick();
      sheet?.release();
    });
    await Promise.all(rows);
    const held = MAX_SHEET_PIXELS + MAX_CACHE_BYTES / 4;
    assert.ok(Bitmap.most <= held + 3 * MAX_SHEET_PIXELS, `${Bitmap.most} pixels at most`);
    assert.ok(Bitmap.open <= held, `${Bitmap.open} pixels`);
    open.sheet?.release();
    const before = urls.length;
    for (let i = 30; i < 40; i++) (await store.load(key(i))).sheet?.release();
    assert.equal(urls.length > before, !isCached);
  }
});

test("images that are used are not closed, and all others are", async () => {
  served(() => images(1000));
  const store = new PathStore();
  const both = await Promise.all([store.load(key(0)), store.load(key(0))]);
  assert.equal(both[0], both[1]);
  const bitmap = (both[0].sheet as unknown as { bitmap: Bitmap }).bitmap;
  for (let i = 1; i < 9; i++) (await store.load(key(i))).sheet?.release();
  both[0].sheet?.release();
  assert.ok(!bitmap.isClosed);
  both[1].sheet?.release();
  assert.ok(bitmap.isClosed);
  // Nothing is drawn after the last release, and nothing fails.
  let drawn = 0;
  const context = { drawImage: () => (drawn += 1) } as unknown as CanvasRenderingContext2D;
  both[1].sheet?.draw(context, 0, 0, 0, 1, 1);
  assert.equal(drawn, 0);
  const other = new Sheet(new Bitmap(2, 2) as unknown as ImageBitmap, { width: 1, height: 1 }, 2);
  other.draw(context, 3, 0, 0, 1, 1);
  assert.equal(drawn, 1);
});

test("large arrays count as much as large images", () => {
  const values = Array.from({ length: 1000 }, () => new Array<number>(1000).fill(0));
  const steps = new Array<number>(1000).fill(0);
  const large = path({ probabilities: values, curve_steps: steps });
  assert.ok(bytesOf({ path: large, sheet: null }) > 8e6);
  assert.ok(bytesOf({ path: path(), sheet: null }) < 2000);
});

test("frames are requested by the digest of their path", async () => {
  const urls = served(() => images(4));
  (await new PathStore().load(key(2))).sheet?.release();
  assert.match(urls[0] ?? "", /^path\?run=run&tag=.*&index=2$/);
  assert.match(urls[1] ?? "", /^frames\?.*&index=2&digest=0123456789abcdef0123456789abcdef$/);
});

test("a path is fetched again if its snapshot was written again", async () => {
  const urls = served(() => images(4));
  const store = new PathStore();
  const list = (changes: object): Run[] => [run("run", { snapshots: [snapshot(100, changes)] })];
  const requests = async (runs: Run[]) => {
    const before = urls.length;
    store.setRuns(runs);
    (await store.load(key(0))).sheet?.release();
    return urls.length - before;
  };
  assert.equal(await requests(list({})), 2);
  assert.equal(await requests(list({})), 0);
  assert.equal(await requests(list({ wall_time: 5 })), 2);
  assert.equal(await requests(list({ wall_time: 5, paths: [] })), 2);
});

test("a path whose images cannot be read is an error, and a later request tries again", async () => {
  const urls = served(() => images(4));
  const decode = globalThis.createImageBitmap;
  Object.assign(globalThis, { createImageBitmap: () => Promise.reject(new Error("no")) });
  const store = new PathStore();
  await assert.rejects(store.load(key(0)), /cannot read the images/);
  Object.assign(globalThis, { createImageBitmap: decode });
  (await store.load(key(0))).sheet?.release();
  assert.equal(urls.length, 4);
});
