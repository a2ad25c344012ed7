// Requests to the console's server, and what it says when it cannot answer them.

import type { Range, Rule, Series, Topic, TopicEvent, Why, Worth } from "./api.ts";

/** An answer that is no success, in the server's own words. */
export class Problem extends Error {
  /** 0 when no answer came at all. */
  readonly status: number;
  /** Which field of a rule is wrong. */
  readonly field: string | null;

  constructor(status: number, detail: string, field: string | null = null) {
    super(detail);
    this.status = status;
    this.field = field;
  }
}

/** What problem+json says; the status alone when the body is something else. */
export function problemOf(status: number, body: unknown): Problem {
  const members = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const detail = [members["detail"], members["title"]].find((text) => typeof text === "string");
  const field = members["field"];
  return new Problem(
    status,
    typeof detail === "string" ? detail : `the server answered ${status}`,
    typeof field === "string" ? field : null,
  );
}

async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(path, { ...init, credentials: "omit", headers: { Accept: "application/json", ...init.headers } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "the console's server does not answer");
  }
  const body: unknown = await answer.json().catch(() => null);
  if (!answer.ok) throw problemOf(answer.status, body);
  return body as T;
}

export function readSeries(store: number, product: number, range: Range, signal: AbortSignal): Promise<Series> {
  return ask(`/api/series?store_id=${store}&product_id=${product}&range=${range}`, { signal });
}

export function readWhy(promotion: string, signal: AbortSignal): Promise<Why> {
  return ask(`/api/why?promotion_id=${encodeURIComponent(promotion)}`, { signal });
}

export function readWorth(signal: AbortSignal): Promise<Worth> {
  return ask("/api/worth", { signal });
}

export async function readRules(signal: AbortSignal): Promise<Rule[]> {
  return (await ask<{ rules: Rule[] }>("/api/rules", { signal })).rules;
}

export async function readTopics(signal: AbortSignal): Promise<Topic[]> {
  return (await ask<{ topics: Topic[] }>("/api/topics", { signal })).topics;
}

export async function readTopic(name: string, signal: AbortSignal): Promise<TopicEvent[]> {
  return (await ask<{ events: TopicEvent[] }>(`/api/topics/${encodeURIComponent(name)}?limit=20`, { signal })).events;
}

/** Changes the columns of a rule, or makes one when `rule` is null; the answer is the rule as it is now. */
export function writeRule(rule: number | null, columns: Partial<Rule>, key: string | null): Promise<Rule> {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (key !== null) headers["Authorization"] = `Bearer ${key}`;
  return ask(rule === null ? "/api/rules" : `/api/rules/${rule}`, {
    method: rule === null ? "POST" : "PUT",
    headers,
    body: JSON.stringify(columns),
  });
}
