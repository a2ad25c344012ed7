// A section of the page: its heading, what stands beside it, and the states in which it has nothing to show.

import type { ComponentChildren } from "preact";
import type { Problem } from "../client.ts";
import { Mark } from "./mark.tsx";

interface SectionProps {
  id: string;
  title: string;
  note?: ComponentChildren;
  children: ComponentChildren;
}

export function Section({ id, title, note, children }: SectionProps) {
  return (
    <section id={id} class={`panel ${id}`} aria-labelledby={`${id}-title`}>
      <header class="panel-head">
        <h2 id={`${id}-title`}>{title}</h2>
        {note !== undefined && <div class="panel-note">{note}</div>}
      </header>
      {children}
    </section>
  );
}

/** What will appear here, and the command that makes it appear. */
export function Empty({ text, command }: { text: string; command?: string }) {
  return (
    <div class="empty">
      <p>{text}</p>
      {command !== undefined && <code class="command">{command}</code>}
    </div>
  );
}

/** Nothing has come yet. */
export function Loading({ text }: { text: string }) {
  return (
    <div class="empty loading">
      <p>{text}</p>
    </div>
  );
}

/** The server's own words; it is asked again by itself. */
export function Trouble({ problem }: { problem: Problem }) {
  return (
    <p class="trouble" role="status">
      <Mark shape="triangle" /> {problem.message}
      <span class="trouble-next"> · trying again by itself</span>
    </p>
  );
}
