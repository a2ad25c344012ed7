// What changed between two images of a row.

import type { Columns, TopicEvent } from "./api.ts";

export interface ColumnChange {
  column: string;
  kind: "same" | "changed" | "added" | "removed";
  before: string | null;
  after: string | null;
}

/** A value as one line of text: a string as it is, anything else as JSON. */
export function valueText(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "null");
}

/** A key in words: `store_id 3, product_id 12`. */
export function keyText(key: unknown): string {
  if (key === null) return "";
  if (typeof key !== "object" || Array.isArray(key)) return valueText(key);
  return Object.entries(key)
    .map(([column, value]) => `${column} ${valueText(value)}`)
    .join(", ");
}

/** Whether the key says this column already. */
export function inKey(key: unknown, column: string): boolean {
  return typeof key === "object" && key !== null && column in key;
}

/** Columns in the order of `after`, then those that only `before` has. */
export function diff(before: Columns | null, after: Columns | null): ColumnChange[] {
  const names = [...new Set([...Object.keys(after ?? {}), ...Object.keys(before ?? {})])];
  return names.map((column) => {
    const old = before !== null && column in before ? valueText(before[column]) : null;
    const now = after !== null && column in after ? valueText(after[column]) : null;
    const kind = old === null ? "added" : now === null ? "removed" : old === now ? "same" : "changed";
    return { column, kind, before: old, after: now };
  });
}

export interface Before {
  image: Columns;
  /** Where the image comes from, when the event itself does not carry it. */
  offset: number | null;
}

/**
 * The image before an event. With the replica identity `default` an update does not carry it; then the event before it of
 * the same key has it as its `after`, if it is among those at hand.
 */
export function beforeOf(event: TopicEvent, newestFirst: TopicEvent[]): Before | null {
  if (event.before !== null) return { image: event.before, offset: null };
  if (event.op !== "u" && event.op !== "d") return null;
  const key = valueText(event.key);
  const earlier = newestFirst.find(
    (other) =>
      other.partition === event.partition &&
      other.offset < event.offset &&
      other.after !== null &&
      valueText(other.key) === key,
  );
  return earlier?.after ? { image: earlier.after, offset: earlier.offset } : null;
}

const OPERATIONS: Record<string, string> = {
  c: "created",
  u: "updated",
  d: "deleted",
  r: "read",
  t: "truncated",
};

export function operation(op: TopicEvent["op"]): string {
  return op === null ? "record" : (OPERATIONS[op] ?? op);
}

/** Whether there are two images to compare: of a created row or of one read there is only one. */
export function comparable(event: TopicEvent, before: Before | null): boolean {
  return before !== null && event.after !== null;
}
