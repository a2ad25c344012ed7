// Tests of the page in a browser, against a console that runs: node tests/page.mjs URL [SCREENSHOT]
//
// What has to happen outside the page is asked for over stdio. A line `ask: NAME` wants a line `done …` back:
//
//   change   a stock level changes in the source         done STORE PRODUCT LEVEL
//   code     somebody who is eligible gets a code soon   done
//   key      a key with the scope rules:write            done KEY
//   restart  the console is killed and started again on the same port   done
//
// Ends with `N passed, N failed` and the exit code 0 or 1. Everything is waited for; nothing sleeps.

import { chromium } from "playwright-core";
import { BROWSER } from "./page/browser.mjs";
import { CASES } from "./page/cases.mjs";
import { Errors } from "./page/errors.mjs";
import { Harness } from "./page/harness.mjs";

const [url, screenshot] = process.argv.slice(2);
if (url === undefined) {
  console.error("which page? node tests/page.mjs URL [SCREENSHOT]");
  process.exit(2);
}

/** What went wrong, without the colours of a terminal. */
function told(error) {
  const text = String(error?.message ?? error).replaceAll(/\u001b\[\d*m/g, "");
  return text.replaceAll(/^/gm, "        ");
}

const harness = new Harness();
const browser = await chromium.launch(BROWSER);
const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, colorScheme: "dark" });
const page = await context.newPage();
page.setDefaultTimeout(60_000);
const errors = new Errors(page);
let passed = 0;
let failed = 0;

for (const [name, run] of CASES) {
  try {
    await run({ page, url, harness, errors });
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    // What it left open is not to stand in the way of the others.
    await page.keyboard.press("Escape");
    console.log(`failed  ${name}\n${told(error)}`);
  }
}

if (screenshot !== undefined) {
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 1440, height: 1000 });
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: screenshot });
}
await browser.close();
harness.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
