// Whether everybody can use the page, as far as axe can tell: dark and light, wide and narrow, dialogs and the form.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDE = { width: 1440, height: 1000 };
const NARROW = { width: 390, height: 844 };

async function violations(page) {
  // Evaluated, not added as a script: the page's policy rightly forbids that.
  if (await page.evaluate(() => globalThis.axe === undefined)) await page.evaluate(AXE);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  // One place of each kind of violation says enough.
  return found.map(({ id, nodes: [{ target, failureSummary }, ...others] }) => `${id} at ${target}, ${others.length} more: ${failureSummary}`);
}

/** What is over the page: a name, how it is opened, and where it then is. */
const OVER = [
  ["list of keys", (page) => page.keyboard.press("?"), "#keys"],
  ["key dialog", (page) => page.keyboard.press("k"), "#key-dialog"],
  ["why", (page) => page.locator("#codes .why-link").first().click(), "#why .conditions"],
];

async function withoutViolation({ page }, size, colorScheme) {
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  await page.locator('[data-connection="live"]').waitFor();
  assert.deepEqual(await violations(page), []);
  for (const [name, open, place] of OVER) {
    await open(page);
    await page.locator(place).first().waitFor();
    assert.deepEqual(await violations(page), [], name);
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
  }
  await page.locator("#rules button[aria-label^='edit']").first().click();
  await page.locator("#rules .rule-form").waitFor();
  await page.locator("#topics .event-line").first().click();
  await page.locator("#topics .event.open").waitFor();
  await page.locator("#series button", { hasText: "table" }).click();
  await page.locator("#series .table-scroll table").waitFor();
  assert.deepEqual(await violations(page), [], "form, event and table");
  await page.locator("#series button", { hasText: "table" }).click();
  await page.locator("#topics .event.open .event-line").click();
  await page.locator("#rules button", { hasText: "cancel" }).click();
}

async function noHorizontalScroll({ page }) {
  await page.setViewportSize(NARROW);
  const { scroll, inner } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    inner: innerWidth,
  }));
  assert.ok(scroll <= inner, `${scroll} pixels in ${inner}`);
  await page.setViewportSize(WIDE);
}

export const ACCESSIBLE = [
  ["axe finds nothing: wide, dark", (context) => withoutViolation(context, WIDE, "dark")],
  ["axe finds nothing: wide, light", (context) => withoutViolation(context, WIDE, "light")],
  ["axe finds nothing: narrow, light", (context) => withoutViolation(context, NARROW, "light")],
  ["axe finds nothing: narrow, dark", (context) => withoutViolation(context, NARROW, "dark")],
  ["no horizontal scroll at 390 pixels", noHorizontalScroll],
];
