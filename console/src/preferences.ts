// What this browser remembers: theme and zone for good, the key until the tab is closed.

import type { Zone } from "./format.ts";

export type Theme = "dark" | "light";

const THEME = "tidewater.theme";
const ZONE = "tidewater.zone";
const KEY = "tidewater.key";

/** Storage may be forbidden, by policy or in a private window: then nothing is remembered. */
function quietly<T>(use: () => T): T | null {
  try {
    return use();
  } catch {
    return null;
  }
}

/** What the person has chosen; null follows the system. */
export function chosenTheme(): Theme | null {
  const text = quietly(() => localStorage.getItem(THEME));
  return text === "dark" || text === "light" ? text : null;
}

export function systemTheme(): Theme {
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

/** Draws the page in `theme`. The system's own is forgotten again, so that the page goes on following it. */
export function applyTheme(theme: Theme): void {
  if (theme === systemTheme()) {
    quietly(() => localStorage.removeItem(THEME));
    delete document.documentElement.dataset["theme"];
  } else {
    quietly(() => localStorage.setItem(THEME, theme));
    document.documentElement.dataset["theme"] = theme;
  }
}

export function chosenZone(): Zone {
  return quietly(() => localStorage.getItem(ZONE)) === "local" ? "local" : "utc";
}

export function rememberZone(zone: Zone): void {
  quietly(() => localStorage.setItem(ZONE, zone));
}

/** The key that changes rules. */
export function heldKey(): string | null {
  return quietly(() => sessionStorage.getItem(KEY));
}

export function holdKey(key: string | null): void {
  quietly(() => (key === null ? sessionStorage.removeItem(KEY) : sessionStorage.setItem(KEY, key)));
}
