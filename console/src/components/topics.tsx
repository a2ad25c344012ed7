// TOPICS: the last events of one, and what each of them changed.

import { memo } from "./memo.ts";
import { useState } from "preact/hooks";
import type { Topic, TopicEvent } from "../api.ts";
import { readTopic, readTopics } from "../client.ts";
import { count, type Zone } from "../format.ts";
import { useAsked } from "../hooks.ts";
import { Empty, Loading, Section, Trouble } from "./section.tsx";
import { EventRow, eventId } from "./topic-event.tsx";

interface TopicsProps {
  topic: string | null;
  zone: Zone;
  generation: number;
  onTopic: (topic: string) => void;
}

const TOPICS_EVERY_MS = 10_000;
const EVENTS_EVERY_MS = 3_000;

export const TopicsSection = memo(function TopicsSection({ topic, zone, generation, onTopic }: TopicsProps) {
  const asked = useAsked({ key: "topics", generation, read: readTopics, everyMs: TOPICS_EVERY_MS });
  const topics = asked.answer;
  const chosen = topic ?? topics?.find(({ name }) => name.endsWith(".inventory"))?.name ?? topics?.[0]?.name ?? null;
  return (
    <Section id="topics" title="Topics" note={chosen !== null && <code>tidewater tail {chosen}</code>}>
      {asked.problem !== null && <Trouble problem={asked.problem} />}
      {topics === null ? (
        asked.problem === null && <Loading text="asking Kafka for its topics" />
      ) : topics.length === 0 ? (
        <Empty text="The topics of change events appear here once the replicator has made them." command="tidewater replicate" />
      ) : (
        <div class="topics-body">
          <TopicList topics={topics} chosen={chosen} onTopic={onTopic} />
          {chosen !== null && <Events key={chosen} topic={chosen} zone={zone} generation={generation} />}
        </div>
      )}
    </Section>
  );
});

function TopicList({ topics, chosen, onTopic }: { topics: Topic[]; chosen: string | null; onTopic: (topic: string) => void }) {
  return (
    <ul class="topic-list" aria-label="topics" tabIndex={0}>
      {topics.map(({ name, partitions, records }) => (
        <li key={name}>
          <button type="button" data-topic={name} aria-pressed={name === chosen} onClick={() => onTopic(name)}>
            <span class="topic-name">{name}</span>
            <span class="topic-size num" title={`${partitions} partitions`}>
              {count(records)} <span class="unit">in {partitions}</span>
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function Events({ topic, zone, generation }: { topic: string; zone: Zone; generation: number }) {
  const [open, setOpen] = useState<string | null>(null);
  // While somebody reads an event the list stands still.
  const asked = useAsked<TopicEvent[]>({
    key: topic,
    generation,
    read: (signal) => readTopic(topic, signal),
    everyMs: open === null ? EVENTS_EVERY_MS : null,
  });
  const [held, setHeld] = useState<TopicEvent[] | null>(null);
  const events = open === null ? asked.answer : (held ?? asked.answer);
  const toggle = (event: TopicEvent) => {
    const id = eventId(event);
    setHeld(events);
    setOpen(open === id ? null : id);
  };
  return (
    <div class="events">
      {asked.problem !== null && <Trouble problem={asked.problem} />}
      {events === null ? (
        asked.problem === null && <Loading text={`reading ${topic}`} />
      ) : events.length === 0 ? (
        <Empty text="No record in this topic yet: the next one appears here." />
      ) : (
        <ol class="event-list" aria-label={`last records of ${topic}, newest first`}>
          {events.map((event) => (
            <EventRow
              key={eventId(event)}
              event={event}
              events={events}
              zone={zone}
              open={open === eventId(event)}
              onToggle={() => toggle(event)}
            />
          ))}
        </ol>
      )}
    </div>
  );
}
