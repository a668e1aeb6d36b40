/**
 * Bundles the chat page into dist/: index.html, and assets/ with a content hash in each name.
 *
 * Knows nothing of the server; fails when the first script a visitor needs outgrows its budget.
 */
import { build } from "esbuild";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { gzipSync } from "node:zlib";

const SCRIPT_GZIP_BYTES_MAX = 60 * 1024;
const OUT = "dist";

const shared = {
  bundle: true,
  minify: true,
  target: ["es2022"],
  outdir: `${OUT}/assets`,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  metafile: true,
  legalComments: "none",
  logLevel: "warning",
};

/** The hashed file name that an entry point became. */
function builtName(results, entry) {
  for (const result of results) {
    for (const [file, output] of Object.entries(result.metafile.outputs)) {
      if (output.entryPoint === entry) return basename(file);
    }
  }
  throw new Error(`${entry} was not built`);
}

async function gzipBytes(name) {
  return gzipSync(await readFile(`${OUT}/assets/${name}`), { level: 9 }).length;
}

await rm(OUT, { recursive: true, force: true });
const results = await Promise.all([
  build({
    ...shared,
    entryPoints: ["src/main.ts", "src/style/page.css"],
    format: "esm",
    splitting: true,
  }),
  build({ ...shared, entryPoints: ["src/boot.ts"], format: "iife" }),
]);

const names = {
  main: builtName(results, "src/main.ts"),
  style: builtName(results, "src/style/page.css"),
  boot: builtName(results, "src/boot.ts"),
};
const template = await readFile("src/index.html", "utf8");
const page = template.replace(/\{\{(\w+)\}\}/g, (_, key) => names[key]);
await mkdir(`${OUT}/assets`, { recursive: true });
await writeFile(`${OUT}/index.html`, page);
await cp("src/mark.svg", `${OUT}/assets/mark.svg`);

const bytes = await gzipBytes(names.main);
console.log(`chat page: ${(bytes / 1024).toFixed(1)} KB script, gzip, in ${OUT}/`);
if (bytes > SCRIPT_GZIP_BYTES_MAX) {
  throw new Error(`The script is over its budget of ${SCRIPT_GZIP_BYTES_MAX} bytes, gzip.`);
}
