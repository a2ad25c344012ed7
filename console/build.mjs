// Bundles the page into src/console/page/ of the Rust project, which embeds the three files. They are committed, so that
// cargo alone builds the program. The same sources make the same bytes: no hashes, no times, no addresses of this machine.
//
//   node build.mjs [DIRECTORY]

import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** Where the Rust project embeds the page from. */
export const PAGE = join(here, "../src/console/page");

/** Writes index.html, console.js and console.css into `directory`. */
export async function buildPage(directory) {
  await mkdir(directory, { recursive: true });
  await build({
    absWorkingDir: here,
    entryPoints: { console: "src/main.tsx" },
    outdir: directory,
    bundle: true,
    minify: true,
    format: "iife",
    target: ["es2022", "chrome111", "firefox113", "safari16.4"],
    jsx: "automatic",
    jsxImportSource: "preact",
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
  });
  await build({
    absWorkingDir: here,
    entryPoints: { console: "src/style/console.css" },
    outdir: directory,
    bundle: true,
    minify: true,
    target: ["chrome111", "firefox113", "safari16.4"],
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
  });
  await copyFile(join(here, "src/index.html"), join(directory, "index.html"));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await buildPage(process.argv[2] ?? PAGE);
}
