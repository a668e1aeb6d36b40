/** Bundles the unit tests, as Node 20 reads no TypeScript, and runs them with Node's runner. */
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";

const OUT = "node_modules/.cache/tests";
const sources = readdirSync("test").filter((name) => name.endsWith(".test.ts"));

rmSync(OUT, { recursive: true, force: true });
await build({
  entryPoints: sources.map((name) => `test/${name}`),
  bundle: true,
  platform: "node",
  format: "esm",
  outdir: OUT,
  outExtension: { ".js": ".mjs" },
  sourcemap: "inline",
  logLevel: "warning",
});
const files = sources.map((name) => `${OUT}/${name.replace(/\.ts$/, ".mjs")}`);
const options = ["--enable-source-maps", "--test", "--test-reporter=spec"];
const run = spawnSync(process.execPath, [...options, ...files], { stdio: "inherit" });
process.exit(run.status ?? 1);
