// PIPELINE: the six stages in the order in which a change goes through them, each with its oldest waiting item.

import type { Latency, Pipeline, Stage } from "../api.ts";
import { duration, rate } from "../format.ts";
import { settled, severityOf, shapeOf, thicknessOf } from "../stages.ts";
import { Mark } from "./mark.tsx";
import { Section } from "./section.tsx";

const STAGES: Stage["id"][] = ["postgres", "replicate", "kafka", "aggregate", "decide", "dispatch"];

/** What is drawn until the server has spoken. */
function unknownStage(id: Stage["id"]): Stage {
  return { id, condition: "unknown", rate: null, rate_unit: "", waiting_seconds: null, waiting: "", detail: null };
}

export function PipelineSection({ pipeline }: { pipeline: Pipeline | null }) {
  const stages = pipeline?.stages ?? STAGES.map(unknownStage);
  return (
    <Section id="pipeline" title="Pipeline" note={<Latencies latency={pipeline?.latency ?? null} />}>
      <ol class="stages">
        {stages.map((stage, index) => (
          <StageBox key={stage.id} stage={stage} before={stages[index - 1] ?? null} />
        ))}
      </ol>
    </Section>
  );
}

function StageBox({ stage, before }: { stage: Stage; before: Stage | null }) {
  const condition = settled(stage);
  const severity = severityOf({ ...stage, condition });
  return (
    <li class={`stage ${severity}`} data-stage={stage.id}>
      {before !== null && <Arrow rate={before.rate} />}
      <div class="box" title={stage.detail ?? undefined}>
        <div class="box-head">
          <span class="stage-name">{stage.id}</span>
          <span class="condition">
            <Mark shape={shapeOf(condition, severity)} /> {condition}
          </span>
        </div>
        <div class="box-age">
          <span class="age num">{duration(stage.waiting_seconds)}</span>
          <span class="box-rate num">
            {rate(stage.rate)} <span class="unit">{stage.rate_unit}</span>
          </span>
        </div>
        <div class="box-foot">{severity === "bad" && stage.detail !== null ? stage.detail : stage.waiting || "\u00a0"}</div>
      </div>
    </li>
  );
}

/** From the stage before: the faster that one works, the thicker. */
function Arrow({ rate: value }: { rate: number | null }) {
  const moving = value !== null && value > 0;
  const thickness = thicknessOf(value);
  return (
    <svg class={moving ? "arrow moving" : "arrow"} viewBox="0 0 28 28" width="28" height="28" aria-hidden="true">
      <line x1="1" y1="14" x2="19" y2="14" stroke-width={thickness} />
      <path d="M17 6.5 27 14 17 21.5Z" />
    </svg>
  );
}

function Latencies({ latency }: { latency: Latency | null }) {
  const figures: [string, number | null][] = [
    ["commit → Kafka", latency?.commit_to_kafka_seconds ?? null],
    ["state's age", latency?.applied_age_seconds ?? null],
    ["cause → code p50", latency?.cause_to_code_p50_seconds ?? null],
    ["p99", latency?.cause_to_code_p99_seconds ?? null],
  ];
  return (
    <dl class="latencies">
      {figures.map(([label, seconds]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd class="num">{duration(seconds)}</dd>
        </div>
      ))}
    </dl>
  );
}
