// Serves the page with a made-up shop behind it: npm run dev [-- PORT] [-- PORT empty|trouble]. The page is built anew on
// each request for it, and sent under the policy that the real server sends.
//
// As a child process with a channel it also plays what the tests of the page ask for: `change`, `code`.

import { mkdtemp, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildPage } from "../build.mjs";
import { Shop } from "./shop.mjs";

const [port = "8090", mood = ""] = process.argv.slice(2);
const shop = new Shop({ empty: mood === "empty", trouble: mood === "trouble" });
const page = await mkdtemp(join(tmpdir(), "tidewater-page-"));
const KEY = "tw_dev_key";
let keySeen = 0;
const FILES = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/console.js": ["console.js", "text/javascript; charset=utf-8"],
  "/console.css": ["console.css", "text/css; charset=utf-8"],
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const listeners = new Set();

const tell = (kind, data, to = listeners) => {
  for (const response of to) response.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
};
const json = (response, body, status = 200) => {
  response.writeHead(status, { "Content-Type": status < 400 ? "application/json" : "application/problem+json" });
  response.end(JSON.stringify(body));
};
const problem = (response, status, detail, field) => json(response, { title: "problem", status, detail, field }, status);

function live(response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const one = [response];
  tell("pipeline", shop.pipeline(), one);
  tell("cover", shop.cover(), one);
  tell("codes", { codes: shop.codes.slice(0, 50) }, one);
  tell("worth", shop.worth(), one);
  listeners.add(response);
  response.on("close", () => listeners.delete(response));
}

async function bodyOf(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

async function write(request, response, id) {
  // As the real server does, it takes a new key only after a moment.
  const known = request.headers.authorization === `Bearer ${KEY}` && keySeen++ > 2;
  if (!known) return problem(response, 401, "the key is unknown or was revoked");
  const columns = await bodyOf(request);
  if (columns.discount_percent !== undefined && !(columns.discount_percent >= 1 && columns.discount_percent <= 100)) {
    return problem(response, 422, `must be from 1 to 100, not ${columns.discount_percent}`, "discount_percent");
  }
  if (id === null) {
    const { rule } = await import("./shop.mjs");
    const made = { ...rule(shop.rules.length + 1, "") , ...columns };
    shop.rules.push(made);
    return json(response, made, 201);
  }
  const found = shop.rules.find(({ rule_id }) => rule_id === id);
  if (found === undefined) return problem(response, 404, `there is no rule ${id}`);
  return json(response, Object.assign(found, columns));
}

const TOPICS = ["retail.events", "retail.heartbeat", "retail.promotions", "retail.public.customers", "retail.public.inventory", "retail.public.orders"];

function answer(request, response, url) {
  const { pathname: path, searchParams: asked } = url;
  const topic = /^\/api\/topics\/([^/]+)$/.exec(path)?.[1];
  const rule = /^\/api\/rules\/(\d+)$/.exec(path)?.[1];
  if (path === "/api/live") return live(response);
  if (mood === "trouble" && path !== "/api/topics" && topic === undefined && path.startsWith("/api/")) return problem(response, 503, "the sink does not answer: too many clients already");
  if (path === "/api/series") return json(response, shop.series(Number(asked.get("store_id")), Number(asked.get("product_id")), asked.get("range")));
  if (path === "/api/why") return shop.why(asked.get("promotion_id")) ? json(response, shop.why(asked.get("promotion_id"))) : problem(response, 404, "no such code");
  if (path === "/api/worth") return json(response, shop.worth());
  if (path === "/api/rules" && request.method === "GET") return json(response, { rules: shop.rules });
  if (path === "/api/rules") return write(request, response, null);
  if (rule !== undefined) return write(request, response, Number(rule));
  if (path === "/api/topics") return json(response, { topics: shop.stores.length === 0 ? [] : TOPICS.map((name, index) => ({ name, partitions: 6, records: index * 18_420 })) });
  if (topic !== undefined) return json(response, { topic, events: shop.events.slice(0, Number(asked.get("limit") ?? 20)) });
  return problem(response, 404, `there is nothing at ${path}`);
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  response.setHeader("Content-Security-Policy", POLICY);
  const file = FILES[url.pathname];
  if (file === undefined) return answer(request, response, url);
  if (url.pathname === "/") await buildPage(page);
  response.writeHead(200, { "Content-Type": file[1], "Cache-Control": "no-cache" });
  return response.end(await readFile(join(page, file[0])));
});

setInterval(() => tell("pipeline", shop.pipeline()), 500);
setInterval(() => tell("cover", shop.cover()), 2_000);
setInterval(() => tell("worth", shop.worth()), 10_000);
if (mood === "" && shop.stores.length > 0) {
  setInterval(() => shop.sell(), 700);
  setInterval(() => tell("codes", { codes: [shop.issue()] }), 9_000);
}

process.on("message", ({ ask, store, product }) => {
  if (ask === "change") {
    const done = shop.sell(shop.stores.indexOf(store), shop.products.indexOf(product));
    process.send(`${done.store} ${done.product} ${done.level}`);
  } else {
    tell("codes", { codes: [shop.issue()] });
    process.send("");
  }
});
// A harness that is gone takes its server with it.
process.on("disconnect", () => process.exit(0));
server.listen(Number(port), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${port}/ (key: ${KEY})`);
  process.send?.("listening");
});
