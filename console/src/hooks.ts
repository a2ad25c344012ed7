// What the sections share: asking again and again, the width of an element, a clock.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";
import { Problem } from "./client.ts";

export interface Asked<T> {
  /** The last answer; kept while a later one fails. */
  answer: T | null;
  problem: Problem | null;
  again: () => void;
  /** Takes `answer` for the server's, until that gives another. */
  put: (answer: T) => void;
}

export interface Asking<T> {
  /** What the question is about: the answer to another one is not shown. */
  key: string;
  /** The connection that it is asked over: over a new one it is asked again, and the old answer stays meanwhile. */
  generation: number;
  read: (signal: AbortSignal) => Promise<T>;
  /** Null: never again by itself. */
  everyMs: number | null;
}

/** After a failure it is asked again this soon. */
const RETRY_MS = 3_000;

/** Asks, again and again, and soon after a failure. While the page is hidden it rests. */
export function useAsked<T>({ key, generation, read, everyMs }: Asking<T>): Asked<T> {
  const [state, setState] = useState<{ key: string; answer: T | null; problem: Problem | null }>({
    key,
    answer: null,
    problem: null,
  });
  const [turn, setTurn] = useState(0);

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const next = (milliseconds: number | null) => {
      if (milliseconds !== null && !abort.signal.aborted) timer = setTimeout(ask, milliseconds);
    };
    const ask = () => {
      if (document.hidden) return next(RETRY_MS);
      read(abort.signal).then(
        (answer) => {
          if (abort.signal.aborted) return;
          setState({ key, answer, problem: null });
          next(everyMs);
        },
        (error: unknown) => {
          if (abort.signal.aborted) return;
          const problem = error instanceof Problem ? error : new Problem(0, String(error));
          setState((before) => ({ key, answer: before.key === key ? before.answer : null, problem }));
          next(RETRY_MS);
        },
      );
    };
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
    // `read` is made anew by each drawing; `key` says when it means something else.
  }, [key, generation, turn, everyMs]);

  const current = state.key === key;
  return {
    answer: current ? state.answer : null,
    problem: current ? state.problem : null,
    again: () => setTurn((value) => value + 1),
    put: (answer) => setState({ key, answer, problem: null }),
  };
}

export interface Size {
  width: number;
  height: number;
}

/** An element's size in whole pixels; null until it is drawn. */
export function useSize<T extends HTMLElement>(): [RefObject<T | null>, Size | null] {
  const element = useRef<T>(null);
  const [size, setSize] = useState<Size | null>(null);
  useLayoutEffect(() => {
    const measured = element.current;
    if (measured === null) return undefined;
    const measure = () => {
      const now = { width: measured.clientWidth, height: measured.clientHeight };
      setSize((before) => (before?.width === now.width && before.height === now.height ? before : now));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(measured);
    return () => observer.disconnect();
  }, []);
  return [element, size];
}

/** Now, in milliseconds, told every second while `running`. */
export function useNow(running: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!running) return undefined;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}
