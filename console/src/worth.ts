// The figures by which the arms are compared, and their common scale: pure.

import type { Arm } from "./api.ts";
import { count, duration, share, signed } from "./format.ts";

export interface Figure {
  id: string;
  label: string;
  /** Measured, or made by a model of how shoppers respond. */
  kind: "measured" | "model";
  value: (arm: Arm) => number | null;
  text: (value: number | null) => string;
}

export const FIGURES: Figure[] = [
  { id: "p50", label: "cause → code, p50", kind: "measured", value: (arm) => arm.cause_to_code_p50_seconds, text: duration },
  { id: "p99", label: "cause → code, p99", kind: "measured", value: (arm) => arm.cause_to_code_p99_seconds, text: duration },
  { id: "codes", label: "codes issued", kind: "measured", value: (arm) => arm.codes, text: (value) => count(value) },
  { id: "redeemed", label: "redeemed share", kind: "measured", value: (arm) => arm.redeemed_share, text: share },
  { id: "units", label: "units per customer", kind: "measured", value: (arm) => arm.units_per_customer, text: (value) => count(value, 2) },
  { id: "uplift", label: "units more than the holdout", kind: "measured", value: (arm) => arm.uplift_units, text: (value) => signed(value, 2) },
  { id: "cost", label: "cost of discount", kind: "measured", value: (arm) => arm.discount_cost, text: (value) => count(value, 2) },
  { id: "excess", label: "excess units", kind: "measured", value: (arm) => arm.excess_units, text: (value) => count(value) },
  { id: "stockout", label: "stock-out hours", kind: "measured", value: (arm) => arm.stockout_hours, text: (value) => count(value, 1) },
];

const ORDER: Arm["arm"][] = ["batch", "stream", "holdout"];

/** The old way first, so that the eye goes from it to the new one. */
export function ordered(arms: Arm[]): Arm[] {
  return ORDER.flatMap((name) => arms.filter(({ arm }) => arm === name));
}

export interface Bar {
  /** Parts of the whole width, 0 to 1. */
  from: number;
  length: number;
}

/** The bar of each value on one scale that has zero on it; null where nothing is known. */
export function bars(values: (number | null)[]): (Bar | null)[] {
  const known = values.filter((value) => value !== null);
  const least = Math.min(0, ...known);
  const span = Math.max(0, ...known) - least;
  return values.map((value) => {
    if (value === null) return null;
    if (span === 0) return { from: 0, length: 0 };
    return { from: (Math.min(0, value) - least) / span, length: Math.abs(value) / span };
  });
}
