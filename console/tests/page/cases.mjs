// What the page promises, one after another on the same page: it is loaded once, and once more to see what it remembers.

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { ACCESSIBLE } from "./accessible.mjs";

const SCRIPT_BYTES_MAX = 200_000;

/** Goes to a cell as a colleague does who got the address, without loading the page anew. */
async function choose(page, { store, product }) {
  await page.evaluate((hash) => (location.hash = hash), `#store=${store}&product=${product}&range=24h`);
}

async function waitForLevel(page, { store, product, level }) {
  await page.locator(`#level[data-level="${level}"]`).waitFor();
  await page.locator("#series .level", { hasText: `store ${store}, product ${product}` }).waitFor();
}

async function everySectionHasData({ page, url }) {
  await page.goto(url);
  await page.locator('[data-connection="live"]').waitFor();
  for (const name of ["source", "kafka", "sink"]) await page.locator(".service.ok", { hasText: name }).waitFor();
  await page.locator(".fresh-figure", { hasText: /\d (ms|s)/ }).waitFor();
  assert.equal(await page.locator("#pipeline .stage").count(), 6);
  for (const place of [
    '#cover [role="gridcell"]:not(.none)',
    "#series .step",
    "#series tbody tr",
    "#codes .entry",
    "#worth [data-figure]",
    "#rules tr[data-rule]",
    "#topics .topic-list button",
    "#topics .event",
  ]) {
    await page.locator(place).first().waitFor({ state: "attached", timeout: 120_000 });
  }
}

async function aChangeShowsWithoutReload({ page, harness }) {
  const first = await harness.change();
  await choose(page, first);
  await waitForLevel(page, first);
  await page.evaluate(() => (globalThis.sameDocument = true));
  const second = await harness.change();
  // The harness may change another cell each time.
  if (second.store !== first.store || second.product !== first.product) await choose(page, second);
  await waitForLevel(page, second);
  const cell = page.locator(`#cover [data-store="${second.store}"][data-product="${second.product}"]`);
  if ((await cell.count()) > 0) {
    const title = second.level > 0 ? `${second.level.toLocaleString("en")} on hand` : "out of stock";
    await page.locator(`#cover [data-store="${second.store}"][data-product="${second.product}"][title*="${title}"]`).waitFor();
  }
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true, "the page was loaded anew");
}

async function aLostConnectionIsToldAndHeals({ page, harness, errors }) {
  await errors.expecting(
    () => true,
    async () => {
      const told = page.waitForFunction(
        () => {
          const text = document.querySelector("#lost")?.textContent ?? "";
          const grey = getComputedStyle(document.querySelector("main")).filter.includes("grayscale");
          return grey && /not connected since \d\d:\d\d:\d\d/.test(text);
        },
        null,
        { polling: "raf" },
      );
      await harness.ask("restart");
      await told;
      await page.locator('[data-connection="live"]').waitFor();
      await page.locator("#lost").waitFor({ state: "detached" });
      await page.waitForFunction(() => getComputedStyle(document.querySelector("main")).filter === "none");
      await page.locator(".fresh-figure", { hasText: /\d (ms|s)/ }).waitFor();
      // What failed meanwhile has been asked for again.
      await page.locator(".trouble").first().waitFor({ state: "detached" });
    },
  );
}

async function aNewCodeAppearsWithItsWhy({ page, harness }) {
  const known = await page.locator("#codes .entry").evaluateAll((all) => all.map((entry) => entry.dataset.promotion));
  await harness.ask("code");
  const id = await page
    .waitForFunction(
      (known) =>
        [...document.querySelectorAll("#codes .entry")].map((entry) => entry.dataset.promotion).find((id) => !known.includes(id)),
      known,
    )
    .then((handle) => handle.jsonValue());
  const entry = page.locator(`#codes .entry[data-promotion="${id}"]`);
  const code = await entry.locator(".entry-code").textContent();
  await entry.locator(".why-link").click();
  const why = page.locator("#why");
  await why.locator("h2", { hasText: code }).waitFor();
  assert.ok((await why.locator(".conditions tbody tr").count()) > 0, "no condition is shown");
  assert.match(await why.locator("pre").last().textContent(), /select/i);
  assert.match(await why.locator("pre").first().textContent(), /tidewater rules explain/);
  await page.keyboard.press("Escape");
  await why.waitFor({ state: "detached" });
}

/** Gives the key until `done` is there: a new one takes a moment to hold, and until then is asked for again. */
async function giveKey(page, key, done) {
  const dialog = page.locator("#key-dialog");
  // An empty field is that of another dialog than the one just sent.
  const asked = dialog.locator('[name="key"]:placeholder-shown');
  do {
    await asked.fill(key);
    await dialog.locator("button", { hasText: "use this key" }).click();
    await asked.or(done).first().waitFor();
  } while (!(await done.isVisible()));
}

async function aRuleIsEditedWithAKey({ page, url, harness, errors }) {
  const rule = page.locator("#rules tr[data-rule]").first();
  const id = await rule.getAttribute("data-rule");
  const row = page.locator(`#rules tr[data-rule="${id}"]`);
  await row.locator("button", { hasText: "edit" }).click();
  const discount = row.locator('[name="discount_percent"]');
  const before = await discount.inputValue();
  await discount.fill("0");
  await discount.press("Enter");
  const dialog = page.locator("#key-dialog");
  await dialog.waitFor();
  const [key] = await harness.ask("key");
  await errors.expecting(
    (text) => /\b4\d\d\b/.test(text) && text.includes("/api/rules/"),
    async () => {
      const words = row.locator('[data-column="discount_percent"] .field-problem');
      await giveKey(page, key, words);
      assert.notEqual((await words.textContent()).trim(), "");
    },
  );
  const after = before === "17" ? "18" : "17";
  await discount.fill(after);
  await discount.press("Enter");
  await row.locator('td[data-column="discount_percent"]', { hasText: `${after} %` }).waitFor();
  const { rules } = await (await page.request.get(new URL("/api/rules", url).href)).json();
  assert.equal(rules.find(({ rule_id }) => String(rule_id) === id).discount_percent, Number(after));
}

async function theTopicBrowserShowsADiff({ page, harness }) {
  await harness.change();
  await harness.change();
  await page.locator('#topics [data-topic$=".inventory"]').click();
  const event = page.locator('#topics .event[data-op="u"]:has(del)').first();
  await event.locator(".event-line").click();
  const changed = page.locator("#topics .event.open .diff tr.changed");
  await changed.first().waitFor();
  assert.notEqual(await changed.first().locator(".old").textContent(), await changed.first().locator(".new").textContent());
  await page.locator("#topics .event.open .event-line").click();
  await page.locator("#topics .event.open").waitFor({ state: "detached" });
}

async function theKeyboardReachesWhatTheMouseDoes({ page, url }) {
  await page.keyboard.press("m");
  await page.waitForFunction(() => document.activeElement?.getAttribute("role") === "gridcell");
  const at = () => page.evaluate(() => ({ ...document.activeElement.dataset }));
  const cells = page.locator('#cover [role="gridcell"]');
  await page.keyboard.press("Home");
  const first = await cells.first().evaluate((cell) => cell.dataset.product);
  await page.waitForFunction((product) => document.activeElement?.dataset.product === product, first);
  if ((await page.locator("#cover thead th").count()) > 2) {
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction((product) => document.activeElement?.dataset.product !== product, first);
  }
  const { store, product } = await at();
  assert.match(await page.evaluate(() => location.hash), new RegExp(`store=${store}&product=${product}&`));
  await page.keyboard.press("1");
  await page.waitForFunction(() => location.hash.includes("range=1h"));
  await page.keyboard.press("2");
  await page.waitForFunction(() => location.hash.includes("range=24h"));
  // The address alone brings a colleague to the same cell.
  const other = await page.context().newPage();
  await other.goto(url + (await page.evaluate(() => location.hash)));
  await other.locator("#series .level", { hasText: `store ${store}, product ${product}` }).waitFor();
  await other.close();
  await page.keyboard.press("?");
  await page.locator("#keys kbd").first().waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#keys").waitFor({ state: "detached" });
}

async function theThemeIsChosenAndRemembered({ page }) {
  const back = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await back();
  await page.locator("#theme").click();
  await page.waitForFunction((dark) => getComputedStyle(document.documentElement).backgroundColor !== dark, dark);
  const light = await back();
  await page.reload();
  await page.locator('[data-connection="live"]').waitFor();
  assert.equal(await back(), light, "it was forgotten");
  await page.locator("#theme").click();
  await page.waitForFunction((dark) => getComputedStyle(document.documentElement).backgroundColor === dark, dark);
}

async function theScriptIsLight({ page, url }) {
  const answer = await page.request.get(new URL("/console.js", url).href);
  const bytes = gzipSync(await answer.body()).length;
  assert.ok(bytes < SCRIPT_BYTES_MAX, `${bytes} bytes`);
}

async function thePolicyIsStrict({ page, url }) {
  const policy = (await page.request.get(url)).headers()["content-security-policy"] ?? "";
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) {
    assert.ok(policy.includes(part), `${part} is not in: ${policy}`);
  }
}

async function nothingWentWrongUnasked({ errors }) {
  assert.deepEqual(errors.found, []);
}

export const CASES = [
  ["every section has data", everySectionHasData],
  ["a change shows without reload", aChangeShowsWithoutReload],
  ["a lost connection is told, and heals", aLostConnectionIsToldAndHeals],
  ["a new code appears, with its why", aNewCodeAppearsWithItsWhy],
  ["a rule is edited with a key, and the server's words stand at the field", aRuleIsEditedWithAKey],
  ["the topic browser shows a diff", theTopicBrowserShowsADiff],
  ["the keyboard reaches what the mouse does", theKeyboardReachesWhatTheMouseDoes],
  ["the theme is chosen and remembered", theThemeIsChosenAndRemembered],
  ...ACCESSIBLE,
  ["the script is light", theScriptIsLight],
  ["the policy is strict", thePolicyIsStrict],
  ["no error of the console and no failed request over the whole run", nothingWentWrongUnasked],
];
