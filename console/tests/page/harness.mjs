// Asks for what has to happen outside the page, over stdio.

import { createInterface } from "node:readline";

export class Harness {
  constructor() {
    this.lines = createInterface({ input: process.stdin });
    this.answers = this.lines[Symbol.asyncIterator]();
  }

  /** The words behind `done`. */
  async ask(name) {
    console.log(`ask: ${name}`);
    for (;;) {
      const { value, done } = await this.answers.next();
      if (done) throw new Error(`the harness is gone, asked for ${name}`);
      const [first, ...words] = value.trim().split(/\s+/);
      if (first === "done") return words;
    }
  }

  /** A level that changed: of which store and product, and to what. */
  async change() {
    const [store, product, level] = (await this.ask("change")).map(Number);
    return { store, product, level };
  }

  close() {
    this.lines.close();
  }
}
