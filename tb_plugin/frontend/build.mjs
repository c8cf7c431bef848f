// Bundles the page into the Python package: one ES module, styles inside.
import { build } from "esbuild";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { readFileSync } from "node:fs";

const outfile = fileURLToPath(
  new URL("../tensorboard_plugin_leaf/static/index.js", import.meta.url),
);

await build({
  entryPoints: [fileURLToPath(new URL("src/index.ts", import.meta.url))],
  outfile,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  loader: { ".css": "text" },
});

const kilobytes = gzipSync(readFileSync(outfile)).length / 1000;
console.log(`${outfile}: ${kilobytes.toFixed(1)} kB gzipped`);
