// The page that is committed is the one that the sources make, and within its limits.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { buildPage, PAGE } from "../build.mjs";

const FILES = ["index.html", "console.js", "console.css"];

test("the committed page is what the sources make: run `make console`", async () => {
  const directory = await mkdtemp(join(tmpdir(), "tidewater-page-"));
  try {
    await buildPage(directory);
    for (const name of FILES) {
      assert.ok((await readFile(join(directory, name))).equals(await readFile(join(PAGE, name))), `${name} is old`);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test("the script is under 200 kB compressed", async () => {
  assert.ok(gzipSync(await readFile(join(PAGE, "console.js"))).length < 200_000);
});

test("the page has nothing inline and nothing of other hosts, which its policy would forbid", async () => {
  const html = await readFile(join(PAGE, "index.html"), "utf8");
  assert.doesNotMatch(html, /<style|style=|\son\w+=|<script(?![^>]*\ssrc=)/);
  // An SVG's namespace is no address that anything is loaded from.
  const addresses = html.replaceAll("http://www.w3.org/2000/svg", "").match(/https?:\/\/[^"' ]+/g);
  assert.equal(addresses, null);
  assert.doesNotMatch(await readFile(join(PAGE, "console.css"), "utf8"), /url\(|@import/);
});
