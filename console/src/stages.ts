// How a stage of the pipeline is drawn: pure.

import type { Condition, Stage } from "./api.ts";

/** What a stage asks of whoever looks: `late` and `bad` are the two that need a person. */
export type Severity = "calm" | "idle" | "turning" | "late" | "bad" | "unknown";

const LATE_SECONDS = 5;
const BAD_SECONDS = 60;

export function severityOf({ condition, waiting_seconds }: Pick<Stage, "condition" | "waiting_seconds">): Severity {
  const waits = waiting_seconds ?? 0;
  if (condition === "failed" || condition === "stuck" || waits > BAD_SECONDS) return "bad";
  if (waits > LATE_SECONDS) return "late";
  if (condition === "starting" || condition === "draining") return "turning";
  if (condition === "unknown") return "unknown";
  return condition === "idle" ? "idle" : "calm";
}

export type Shape = "disc" | "ring" | "triangle" | "cross" | "half" | "question";

/**
 * What the stage did in the last while. One that works on a trickle has nothing waiting at most moments that it is asked;
 * its box would change its look twice a second.
 */
export function settled({ condition, rate }: Pick<Stage, "condition" | "rate">): Condition {
  return condition === "idle" && rate !== null && rate > 0 ? "working" : condition;
}

/** State is shown by shape too: idle and stuck never look alike, in any colour. */
export function shapeOf(condition: Condition, severity: Severity): Shape {
  if (condition === "failed") return "cross";
  if (severity === "bad" || severity === "late") return "triangle";
  if (condition === "idle") return "ring";
  if (condition === "starting" || condition === "draining") return "half";
  return condition === "unknown" ? "question" : "disc";
}

const THICKNESS_MAX = 12;

/** Pixels of an arrow: logarithmic, since rates span from one row in a minute to 100,000 a second. */
export function thicknessOf(rate: number | null): number {
  if (rate === null || rate <= 0) return 1;
  return Math.min(THICKNESS_MAX, Math.round(2 + 2 * Math.log10(1 + rate)));
}
