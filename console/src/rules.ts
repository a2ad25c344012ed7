// The columns of the table of rules, and what an edit changes: pure.

import type { Rule } from "./api.ts";

export type Column = Exclude<keyof Rule, "rule_id">;

export interface ColumnShape {
  column: Column;
  label: string;
  /** What the columns beside it have in common. */
  group: string;
  kind: "text" | "number" | "flag" | "choice";
  choices?: string[];
  /** Characters of its input. */
  width: number;
  unit?: string;
}

export const COLUMNS: ColumnShape[] = [
  { column: "name", label: "rule", group: "", kind: "text", width: 16 },
  { column: "enabled", label: "enabled", group: "", kind: "flag", width: 3 },
  { column: "discount_percent", label: "discount", group: "code", kind: "number", width: 5, unit: "%" },
  { column: "valid_for", label: "valid for", group: "code", kind: "text", width: 8 },
  { column: "tier", label: "tier", group: "whom", kind: "choice", choices: ["premium", "standard"], width: 9 },
  { column: "habit_orders", label: "orders", group: "whom", kind: "number", width: 4 },
  { column: "habit_window", label: "within", group: "whom", kind: "text", width: 7 },
  { column: "days_of_cover_min", label: "days of cover ≥", group: "what stock", kind: "number", width: 5 },
  { column: "on_hand_min", label: "on hand ≥", group: "what stock", kind: "number", width: 5 },
  { column: "demand_window", label: "demand of", group: "what stock", kind: "text", width: 7 },
  { column: "trigger", label: "trigger", group: "when", kind: "choice", choices: ["stock", "intent"], width: 7 },
  { column: "intent_window", label: "intent within", group: "when", kind: "text", width: 8 },
  { column: "starts_at", label: "from", group: "when", kind: "text", width: 10 },
  { column: "ends_at", label: "until", group: "when", kind: "text", width: 10 },
  { column: "cooldown", label: "cooldown", group: "how often", kind: "text", width: 8 },
  { column: "codes_max", label: "codes", group: "how often", kind: "number", width: 4 },
  { column: "rest_after_order", label: "after order", group: "how often", kind: "text", width: 8 },
  { column: "daily_limit", label: "a day", group: "how often", kind: "number", width: 6 },
];

/** Columns that stand together, in their order. */
export const GROUPS: { name: string; columns: ColumnShape[] }[] = [...new Set(COLUMNS.map(({ group }) => group))].map(
  (name) => ({ name, columns: COLUMNS.filter(({ group }) => group === name) }),
);

/** What stands in the inputs of a row. */
export type Draft = Record<Column, string>;

export function draftOf(rule: Rule | null): Draft {
  return Object.fromEntries(
    COLUMNS.map(({ column }) => [column, rule === null ? "" : String(rule[column])]),
  ) as Draft;
}

/** A number as one; text that is none goes to the server as it was typed, which then says what it wants. */
function valueOf({ kind }: ColumnShape, text: string): string | number | boolean {
  if (kind === "flag") return text === "true";
  if (kind !== "number") return text;
  const trimmed = text.trim().replace(",", ".");
  return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : text;
}

/** The columns whose input says something else than the rule; of a new rule those that are filled in. */
export function changes(rule: Rule | null, draft: Draft): Partial<Rule> {
  const before = draftOf(rule);
  return Object.fromEntries(
    COLUMNS.filter(({ column }) => draft[column] !== before[column]).map((shape) => [
      shape.column,
      valueOf(shape, draft[shape.column]),
    ]),
  );
}

/** An interval or a moment in short: `24:00:00` as `24 h`, the infinities as words. */
export function shown({ column, kind, unit }: ColumnShape, rule: Rule): string {
  const value = rule[column];
  if (kind === "flag") return value === true ? "on" : "off";
  const text = String(value);
  if (text === "-infinity") return "always";
  if (text === "infinity") return "no end";
  const interval = /^(\d+):(\d\d):(\d\d)$/.exec(text);
  if (interval !== null && kind === "text") return shortInterval(interval.slice(1).map(Number));
  return unit === undefined ? text : `${text} ${unit}`;
}

function shortInterval([hours = 0, minutes = 0, seconds = 0]: number[]): string {
  const parts = [
    hours > 0 ? `${hours} h` : "",
    minutes > 0 ? `${minutes} min` : "",
    seconds > 0 ? `${seconds} s` : "",
  ].filter((part) => part !== "");
  return parts.length === 0 ? "0 s" : parts.join(" ");
}
