// Bundles the page into the Python package: one ES module, which contains the styles, and the
// licences of the bundled libraries.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const page = here("../tensorboard_plugin_leaf/static/index.js");

const { metafile } = await build({
  entryPoints: [here("src/index.ts")],
  absWorkingDir: here("."),
  outfile: page,
  bundle: true,
  minify: true,
  metafile: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  loader: { ".css": "text" },
});

const paths = Object.keys(metafile.inputs);
const found = paths.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
const libraries = [...new Set(found.filter(Boolean))].sort();
const licences = libraries.map((library) => {
  const folder = here(`node_modules/${library}/`);
  const name = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
  if (!name) throw new Error(`The folder of ${library} contains no licence file.`);
  return `${library}\n\n${readFileSync(folder + name, "utf8").trim()}\n`;
});
writeFileSync(here("../tensorboard_plugin_leaf/static/licences.txt"), licences.join("\n\n"));

const kilobytes = gzipSync(readFileSync(page)).length / 1000;
console.log(`static/index.js: ${kilobytes.toFixed(1)} kB gzipped, of ${libraries.join(", ")}`);
