// Runs the tests of the page against the made-up shop, in place of the harness that has the real servers:
// npm run try [-- SCREENSHOT]

import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const PORT = "8099";
const KEY = "tw_dev_key";

async function start() {
  const server = fork(join(here, "serve.mjs"), [PORT], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  await once(server, "message");
  return server;
}

let server = await start();
const tests = spawn(process.execPath, [join(here, "../tests/page.mjs"), `http://127.0.0.1:${PORT}/`, ...process.argv.slice(2)], {
  stdio: ["pipe", "pipe", "inherit"],
});

const ended = once(tests, "exit");

async function played(ask) {
  if (ask === "key") return KEY;
  if (ask === "restart") {
    server.kill("SIGKILL");
    await once(server, "exit");
    server = await start();
    return "";
  }
  server.send({ ask, store: 1, product: 1 });
  const [answer] = await once(server, "message");
  return answer;
}

for await (const line of createInterface({ input: tests.stdout })) {
  console.log(line);
  if (line.startsWith("ask: ")) tests.stdin.write(`done ${await played(line.slice("ask: ".length))}\n`);
}
server.kill();
const [code] = await ended;
process.exitCode = code ?? 1;
