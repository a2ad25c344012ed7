// One record of a topic: a line that says what changed, and the whole of it when it is opened.

import type { TopicEvent } from "../api.ts";
import { beforeOf, comparable, diff, inKey, keyText, operation, valueText, type Before, type ColumnChange } from "../diff.ts";
import { clock, dateTime, NONE, type Zone } from "../format.ts";

export function eventId({ partition, offset }: TopicEvent): string {
  return `${partition}:${offset}`;
}

interface EventRowProps {
  event: TopicEvent;
  /** Those beside it, newest first: an update's row before it may be among them. */
  events: TopicEvent[];
  zone: Zone;
  open: boolean;
  onToggle: () => void;
}

export function EventRow({ event, events, zone, open, onToggle }: EventRowProps) {
  const before = beforeOf(event, events);
  const changes = diff(before?.image ?? null, event.after);
  return (
    <li class={open ? "event open" : "event"} data-op={event.op ?? ""}>
      <button type="button" class="event-line" aria-expanded={open} onClick={onToggle}>
        <time class="num" dateTime={event.at}>
          {clock(event.at, zone)}
        </time>
        <span class={`op op-${event.op ?? "none"}`}>{operation(event.op)}</span>
        <span class="event-key num">{keyText(event.key)}</span>
        <span class="event-summary">
          <Summary event={event} before={before} changes={changes} />
        </span>
        <span class="event-place num">
          {event.partition}:{event.offset}
        </span>
      </button>
      {open && <Opened event={event} before={before} changes={changes} zone={zone} />}
    </li>
  );
}

interface ChangesProps {
  event: TopicEvent;
  before: Before | null;
  changes: ColumnChange[];
}

function Summary({ event, before, changes }: ChangesProps) {
  if (event.op === null) return <>{event.value === null ? "no value" : valueText(event.value)}</>;
  if (!comparable(event, before)) {
    const others = changes.filter(({ column }) => !inKey(event.key, column));
    return <>{others.map(({ column, after, before: old }) => `${column} ${after ?? old}`).join(", ")}</>;
  }
  const changed = changes.filter(({ kind }) => kind !== "same");
  if (changed.length === 0) return <>the row as it was</>;
  return (
    <>
      {changed.map(({ column, before: old, after }) => (
        <span key={column} class="short-change">
          {column} <del>{old ?? NONE}</del> → <ins>{after ?? NONE}</ins>
        </span>
      ))}
    </>
  );
}

function Opened({ event, before, changes, zone }: ChangesProps & { zone: Zone }) {
  return (
    <div class="event-body">
      <p class="event-facts num">
        {dateTime(event.at, zone)} · partition {event.partition}, offset {event.offset}
        {event.position !== null && <> · position {event.position}</>}
      </p>
      {event.op === null ? (
        <pre tabIndex={0}>{JSON.stringify(event.value, null, 2)}</pre>
      ) : (
        <DiffTable event={event} before={before} changes={changes} />
      )}
      <p class="event-note">{noteOf(event, before)}</p>
    </div>
  );
}

function noteOf(event: TopicEvent, before: Before | null): string {
  if (before?.offset != null) return `The event does not carry the row before it (replica identity default): it is taken from offset ${before.offset}, the change before of this key.`;
  if (before === null && event.op === "u") return "The event does not carry the row before it (replica identity default), and the change before of this key is not among the last events.";
  if (event.op === "t") return "The table was truncated: every row of this partition is gone.";
  return "";
}

function DiffTable({ event, before, changes }: ChangesProps) {
  const both = comparable(event, before);
  const sign = { same: " ", changed: "~", added: both ? "+" : " ", removed: both ? "−" : " " };
  return (
    <div class="table-scroll" tabIndex={0}>
      <table class="figures diff">
        <thead>
          <tr>
            <th scope="col">
              <span class="hidden">change</span>
            </th>
            <th scope="col">column</th>
            {(both || before !== null) && <th scope="col">before</th>}
            {event.after !== null && <th scope="col">after</th>}
          </tr>
        </thead>
        <tbody>
          {changes.map(({ column, kind, before: old, after }) => (
            <tr key={column} class={both ? kind : "same"}>
              <td class="num">{sign[kind]}</td>
              <th scope="row">{column}</th>
              {(both || before !== null) && <td class="num old">{old ?? NONE}</td>}
              {event.after !== null && <td class="num new">{after ?? NONE}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
