// Theme, zone, and the keys that work everywhere.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Range } from "./api.ts";
import type { Zone } from "./format.ts";
import { applyTheme, chosenTheme, chosenZone, rememberZone, systemTheme, type Theme } from "./preferences.ts";

interface Settings {
  theme: Theme;
  zone: Zone;
  toggleTheme: () => void;
  toggleZone: () => void;
}

export function useSettings(): Settings {
  const [theme, setTheme] = useState<Theme>(() => chosenTheme() ?? systemTheme());
  const [zone, setZone] = useState<Zone>(chosenZone);
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: light)");
    const changed = () => setTheme(chosenTheme() ?? systemTheme());
    system.addEventListener("change", changed);
    return () => system.removeEventListener("change", changed);
  }, []);
  const toggleTheme = useCallback(() => {
    setTheme((before) => {
      const next = before === "dark" ? "light" : "dark";
      applyTheme(next);
      return next;
    });
  }, []);
  const toggleZone = useCallback(() => {
    setZone((before) => {
      const next = before === "utc" ? "local" : "utc";
      rememberZone(next);
      return next;
    });
  }, []);
  return { theme, zone, toggleTheme, toggleZone };
}

interface Shortcuts {
  onHelp: () => void;
  onKey: () => void;
  onTheme: () => void;
  onZone: () => void;
  onRange: (range: Range) => void;
}

/** Where a letter takes the focus. */
const PLACES: Record<string, string> = {
  m: "#cover [role=gridcell][tabindex='0']",
  c: "#codes .why-link",
  e: "#rules button[aria-label^='edit']",
  b: "#topics .topic-list button[aria-pressed='true']",
};

const RANGE_KEYS: Record<string, Range> = { "1": "1h", "2": "24h", "3": "7d" };

/** Single keys, while nobody types and no dialog is open. */
export function useShortcuts(resting: boolean, shortcuts: Shortcuts): void {
  // One listener for good, which asks for the latest: a key pressed right after a dialog has closed is not lost.
  const latest = useRef({ resting, shortcuts });
  latest.current = { resting, shortcuts };
  useEffect(() => {
    const listener = (event: KeyboardEvent) => {
      if (!latest.current.resting) pressed(event, latest.current.shortcuts);
    };
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  }, []);
}

function pressed(event: KeyboardEvent, shortcuts: Shortcuts): void {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target instanceof Element && target.closest("input, select, textarea, dialog") !== null) return;
  const range = RANGE_KEYS[key];
  const place = PLACES[key];
  if (key === "?") shortcuts.onHelp();
  else if (key === "k") shortcuts.onKey();
  else if (key === "t") shortcuts.onTheme();
  else if (key === "z") shortcuts.onZone();
  else if (range !== undefined) shortcuts.onRange(range);
  else if (place !== undefined) document.querySelector<HTMLElement>(place)?.focus();
  else return;
  event.preventDefault();
}
