// Bundles the unit tests, since node 20 reads no TypeScript, and runs them with node's own runner.

import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../build/unit");
await rm(out, { recursive: true, force: true });
const sources = (await readdir(join(here, "unit"))).filter((name) => name.endsWith(".test.ts"));
await build({
  entryPoints: sources.map((name) => join(here, "unit", name)),
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  logLevel: "warning",
});
const bundles = sources.map((name) => join(out, name.replace(/\.ts$/, ".mjs")));
const { status } = spawnSync(process.execPath, ["--test", ...bundles, join(here, "built.test.mjs")], { stdio: "inherit" });
process.exitCode = status ?? 1;
