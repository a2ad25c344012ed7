// What the server tells without being asked: the state that its events make, and the connection that they come over.

import type { Code, Cover, Pipeline, Worth } from "./api.ts";
import { arranged } from "./cover.ts";

/** One server-sent event. */
export type LiveEvent =
  | { kind: "pipeline"; data: Pipeline }
  | { kind: "cover"; data: Cover }
  | { kind: "codes"; data: { codes: Code[] } }
  | { kind: "worth"; data: Worth };

export type Connection = { kind: "connecting" } | { kind: "live" } | { kind: "lost"; since: number };

export interface Live {
  connection: Connection;
  /** Rises when a lost connection is back: what was asked for before is asked for again. */
  generation: number;
  pipeline: Pipeline | null;
  cover: Cover | null;
  codes: Code[] | null;
  worth: Worth | null;
}

export const NOTHING_YET: Live = {
  connection: { kind: "connecting" },
  generation: 0,
  pipeline: null,
  cover: null,
  codes: null,
  worth: null,
};

/** Codes kept in the feed. */
export const CODES_MAX = 100;

/** The feed with `news` in it: one entry for each promotion, its last word, newest first. */
export function mergeCodes(known: Code[] | null, news: Code[]): Code[] {
  const byId = new Map((known ?? []).map((code) => [code.promotion_id, code]));
  for (const code of news) byId.set(code.promotion_id, code);
  return [...byId.values()]
    .sort((left, right) => right.issued_at.localeCompare(left.issued_at) || right.code.localeCompare(left.code))
    .slice(0, CODES_MAX);
}

/** The state after `events`. */
export function applied(live: Live, events: LiveEvent[]): Live {
  return events.reduce<Live>((state, event) => {
    switch (event.kind) {
      case "pipeline":
        return { ...state, pipeline: event.data };
      case "cover":
        return { ...state, cover: arranged(event.data) };
      case "codes":
        return { ...state, codes: mergeCodes(state.codes, event.data.codes) };
      case "worth":
        return { ...state, worth: event.data };
    }
  }, live);
}

/** Events are shown at most four times a second. */
const SHOWN_EVERY_MS = 250;
/** The server speaks twice a second; after this long in silence the connection is taken for dead. */
const SILENCE_MAX_MS = 6_000;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 4_000;

const KINDS: LiveEvent["kind"][] = ["pipeline", "cover", "codes", "worth"];

/**
 * Follows /api/live until the returned function is called. An `EventSource` reconnects by itself only after some failures,
 * and never notices a peer that went silent; so each failure closes it, and this opens the next.
 */
export function follow(show: (live: Live) => void): () => void {
  let live = NOTHING_YET;
  let source: EventSource | null = null;
  let waiting: LiveEvent[] = [];
  let flush: ReturnType<typeof setTimeout> | null = null;
  let silence: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let retryMs = RETRY_FIRST_MS;
  let shownAt = 0;
  let heardAt = Date.now();

  const set = (next: Live) => show((live = next));

  const flushed = () => {
    flush = null;
    shownAt = Date.now();
    const events = waiting;
    waiting = [];
    set(applied(live, events));
  };

  const heard = () => {
    heardAt = Date.now();
    clearTimeout(silence);
    silence = setTimeout(lost, SILENCE_MAX_MS);
    if (live.connection.kind === "live") return;
    retryMs = RETRY_FIRST_MS;
    const again = live.connection.kind === "lost" ? 1 : 0;
    set({ ...live, connection: { kind: "live" }, generation: live.generation + again });
  };

  const received = (event: LiveEvent) => {
    heard();
    waiting.push(event);
    flush ??= setTimeout(flushed, Math.max(0, shownAt + SHOWN_EVERY_MS - Date.now()));
  };

  const lost = () => {
    source?.close();
    clearTimeout(silence);
    clearTimeout(retry);
    if (live.connection.kind !== "lost") set({ ...live, connection: { kind: "lost", since: heardAt } });
    retry = setTimeout(connect, retryMs);
    retryMs = Math.min(RETRY_MAX_MS, retryMs * 2);
  };

  const connect = () => {
    const opened = new EventSource("/api/live");
    source = opened;
    silence = setTimeout(lost, SILENCE_MAX_MS);
    opened.onerror = lost;
    for (const kind of KINDS) {
      opened.addEventListener(kind, (message) => {
        if (source === opened) received({ kind, data: JSON.parse(message.data) } as LiveEvent);
      });
    }
  };

  connect();
  return () => {
    source?.close();
    for (const timer of [flush, silence, retry]) if (timer) clearTimeout(timer);
  };
}
