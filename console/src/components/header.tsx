// The top of the page: is data moving, and may it be trusted.

import type { Pipeline, State } from "../api.ts";
import { clock, duration, type Zone } from "../format.ts";
import type { Connection } from "../live.ts";
import { useNow } from "../hooks.ts";
import type { Theme } from "../preferences.ts";
import type { Shape } from "../stages.ts";
import { Mark } from "./mark.tsx";

const STATES: Record<State, string> = {
  "warming-up": "warming up",
  behind: "behind",
  current: "current",
};

const STATE_SHAPES: Record<State, Shape> = { "warming-up": "half", behind: "triangle", current: "disc" };

interface HeaderProps {
  pipeline: Pipeline | null;
  connection: Connection;
  theme: Theme;
  zone: Zone;
  keyHeld: boolean;
  onTheme: () => void;
  onZone: () => void;
  onKey: () => void;
  onHelp: () => void;
}

export function Header(props: HeaderProps) {
  const { pipeline, connection, theme, zone, keyHeld } = props;
  return (
    <header class="top">
      <h1 class="brand">
        <svg viewBox="0 0 24 16" width="24" height="16" aria-hidden="true">
          <path d="M1 6c3.7-5 7.3-5 11 0s7.3 5 11 0" />
          <path d="M1 12c3.7-5 7.3-5 11 0s7.3 5 11 0" />
        </svg>
        tidewater
      </h1>
      <Services pipeline={pipeline} />
      <Freshness pipeline={pipeline} connection={connection} />
      <nav class="controls" aria-label="settings">
        <button type="button" id="zone" title="times in UTC or in this browser's zone (z)" onClick={props.onZone}>
          {zone === "utc" ? "UTC" : "local"}
        </button>
        <button
          type="button"
          id="theme"
          aria-label={theme === "dark" ? "light theme" : "dark theme"}
          title="dark or light (t)"
          onClick={props.onTheme}
        >
          <ThemeIcon theme={theme} />
        </button>
        <button type="button" id="key" title="the key that changes rules (k)" onClick={props.onKey}>
          key{keyHeld && <span class="held"> held</span>}
        </button>
        <button type="button" id="help" aria-label="keys" title="list of keys (?)" onClick={props.onHelp}>
          ?
        </button>
      </nav>
    </header>
  );
}

function ThemeIcon({ theme }: { theme: Theme }) {
  return (
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      {theme === "dark" ? (
        <path d="M13.5 10.2A6 6 0 0 1 5.8 2.5a6 6 0 1 0 7.7 7.7Z" fill="currentColor" />
      ) : (
        <>
          <circle cx="8" cy="8" r="3.4" fill="currentColor" />
          <path
            d="M8 .8v2m0 10.4v2M.8 8h2m10.4 0h2M2.9 2.9l1.4 1.4m7.4 7.4 1.4 1.4m-10.2 0 1.4-1.4m7.4-7.4 1.4-1.4"
            stroke="currentColor"
            stroke-width="1.5"
          />
        </>
      )}
    </svg>
  );
}

const SERVICES = ["source", "kafka", "sink"];

function Services({ pipeline }: { pipeline: Pipeline | null }) {
  return (
    <ul class="services" aria-label="services">
      {SERVICES.map((name) => {
        const service = pipeline?.services[name];
        const word = service === undefined ? "unknown" : service.ok ? "ok" : "down";
        return (
          <li key={name} class={`service ${word}`} title={service?.detail ?? "nothing heard yet"}>
            <span class="service-name">{name}</span>{" "}
            <Mark shape={word === "ok" ? "disc" : word === "down" ? "triangle" : "question"} />{" "}
            <span class={word === "unknown" ? "hidden" : ""}>{word}</span>
            {word === "down" && <span class="service-detail">{service?.detail}</span>}
          </li>
        );
      })}
    </ul>
  );
}

function Freshness({ pipeline, connection }: { pipeline: Pipeline | null; connection: Connection }) {
  const state = pipeline?.state ?? null;
  return (
    <p class={`freshness ${state ?? "unknown"}`} role="group" aria-label="freshness">
      {connection.kind === "lost" ? (
        <span class="state">not connected</span>
      ) : (
        <>
          <span class="state">
            <Mark shape={state === null ? "question" : STATE_SHAPES[state]} />{" "}
            {state === null ? "unknown" : STATES[state]}
          </span>
          <span class="fresh-label">fresh</span>
          <span class="fresh-figure num">{duration(pipeline?.fresh_seconds ?? null)}</span>
        </>
      )}
    </p>
  );
}

/** Says that what is seen is old, and since when; it stands over the page, so that nothing moves. */
export function Lost({ connection, zone }: { connection: Connection; zone: Zone }) {
  const lost = connection.kind === "lost";
  const now = useNow(lost);
  if (connection.kind !== "lost") return null;
  const seconds = Math.max(0, Math.round((now - connection.since) / 1000));
  return (
    <p id="lost" role="alert">
      <Mark shape="triangle" /> not connected since <span class="num">{clock(connection.since, zone)}</span> (
      <span class="num">{seconds < 120 ? `${seconds} s` : duration(seconds)}</span>): what you see is from
      then. Connecting again by itself.
    </p>
  );
}
