// What of the view is in the address, so that it can be sent to a colleague: `#store=3&product=12&range=24h`.

import type { Range } from "./api.ts";
import type { Cell } from "./cover.ts";

export interface View {
  cell: Cell | null;
  range: Range;
  topic: string | null;
}

export const RANGES: Range[] = ["1h", "24h", "7d"];

function id(text: string | null): number | null {
  if (text === null || !/^-?\d{1,16}$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}

export function parseAddress(hash: string): View {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const store = id(parameters.get("store"));
  const product = id(parameters.get("product"));
  return {
    cell: store === null || product === null ? null : { store, product },
    range: RANGES.find((range) => range === parameters.get("range")) ?? "24h",
    topic: parameters.get("topic"),
  };
}

export function formatAddress({ cell, range, topic }: View): string {
  const parameters = new URLSearchParams();
  if (cell !== null) {
    parameters.set("store", String(cell.store));
    parameters.set("product", String(cell.product));
  }
  parameters.set("range", range);
  if (topic !== null) parameters.set("topic", topic);
  return `#${parameters}`;
}
