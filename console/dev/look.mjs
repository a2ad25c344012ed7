// Pictures of the page in its states, for whoever changes its look: node dev/look.mjs URL DIRECTORY

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { BROWSER } from "../tests/page/browser.mjs";

const [url = "http://127.0.0.1:8090/", directory = "build/look"] = process.argv.slice(2);
await mkdir(directory, { recursive: true });
const browser = await chromium.launch(BROWSER);

async function picture(name, { width, height, theme, fullPage = false, before = async () => {} }) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: theme });
  page.on("console", (message) => message.type() === "error" && console.log(name, message.text()));
  page.on("pageerror", (error) => console.log(name, error.message));
  await page.goto(url);
  await page.locator('[data-connection="live"]').waitFor();
  await page.waitForTimeout(1_200);
  await before(page);
  await page.screenshot({ path: join(directory, `${name}.png`), fullPage });
  await page.close();
}

const wide = { width: 1440, height: 1000 };
await picture("wide-dark", { ...wide, theme: "dark" });
await picture("wide-light", { ...wide, theme: "light" });
await picture("full-dark", { ...wide, theme: "dark", fullPage: true });
await picture("narrow-dark", { width: 390, height: 844, theme: "dark", fullPage: true });
await picture("narrow-light", { width: 390, height: 844, theme: "light", fullPage: true });
await picture("why-dark", { ...wide, theme: "dark", before: async (page) => {
  const why = page.locator("#codes .why-link").first();
  if (await why.count()) { await why.click(); await page.locator("#why .conditions, #why .trouble").first().waitFor(); }
} });
await picture("edit-dark", { ...wide, theme: "dark", fullPage: true, before: async (page) => {
  const edit = page.locator("#rules button[aria-label^='edit']").first();
  if (await edit.count()) await edit.click();
  const event = page.locator("#topics .event-line").first();
  if (await event.count()) await event.click();
} });
await browser.close();
