// Geometry of the chart of sales and stock: pure. Two panels over one another share the axis of time, so that neither
// quantity borrows the other's scale.

import type { Series, SeriesHour } from "./api.ts";
import { dayOfMonth, hourOfDay, isMidnight, type Zone } from "./format.ts";

const HOUR_MS = 3_600_000;

export interface Scale {
  (value: number): number;
}

export function linear(from: [number, number], to: [number, number]): Scale {
  const span = from[1] - from[0] || 1;
  return (value) => to[0] + ((value - from[0]) / span) * (to[1] - to[0]);
}

/** Round values from 0 (or below) to at least `max`, about `wanted` of them. */
export function ticks(min: number, max: number, wanted: number): number[] {
  const span = Math.max(1, max - min);
  const rough = span / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power);
  const first = Math.floor(min / step) * step;
  const found = [first];
  while ((found.at(-1) ?? 0) < max) found.push((found.at(-1) ?? 0) + step);
  return found;
}

export interface Slot {
  hour: SeriesHour;
  /** Where the hour begins and ends, cut to what is shown, in milliseconds. */
  from: number;
  until: number;
}

/** The hours that are shown at all, oldest first. */
export function slots(series: Series): Slot[] {
  const from = Date.parse(series.from);
  const until = Date.parse(series.until);
  return series.hours
    .map((hour) => {
      const start = Date.parse(hour.hour);
      return { hour, from: Math.max(from, start), until: Math.min(until, start + HOUR_MS) };
    })
    .filter((slot) => slot.from < slot.until)
    .sort((left, right) => left.from - right.from);
}

/** The level that an hour ended with; for the last one the level of now, which is newer. */
export function levelOf(slot: Slot, last: boolean, level: number | null): number | null {
  return last && level !== null ? level : slot.hour.closing;
}

/** A step line of levels, broken where none is known, up to `now`: the last hour is not over. */
export function stepPath(found: Slot[], level: number | null, now: number, x: Scale, y: Scale): string {
  let path = "";
  let pen = false;
  found.forEach((slot, index) => {
    const value = levelOf(slot, index === found.length - 1, level);
    if (value === null) {
      pen = false;
      return;
    }
    const height = y(value).toFixed(1);
    path += pen ? `V${height}` : `M${x(slot.from).toFixed(1)} ${height}`;
    path += `H${x(Math.min(slot.until, Math.max(slot.from, now))).toFixed(1)}`;
    pen = true;
  });
  return path;
}

export interface Extent {
  min: number;
  max: number;
}

export function levelExtent(series: Series): Extent {
  const values = series.hours.flatMap((hour) => [hour.minimum, hour.maximum, hour.closing]);
  const known = [...values, series.level].filter((value) => value !== null);
  return { min: Math.min(0, ...known), max: Math.max(1, ...known) };
}

export interface TimeTick {
  at: number;
  text: string;
  strong: boolean;
}

/** Marks of the time axis: quarters of an hour, hours or days, as far apart as `room` pixels ask for. */
export function timeTicks(from: number, until: number, width: number, zone: Zone): TimeTick[] {
  const room = 64;
  const most = Math.max(1, Math.floor(width / room));
  const steps = [0.25, 0.5, 1, 2, 3, 6, 12, 24, 48].map((hours) => hours * HOUR_MS);
  const step = steps.find((candidate) => (until - from) / candidate <= most) ?? 72 * HOUR_MS;
  const shift = zone === "local" ? new Date(from).getTimezoneOffset() * 60_000 : 0;
  const found: TimeTick[] = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= until; at += step) {
    const strong = isMidnight(at, zone);
    found.push({ at, strong, text: strong ? dayOfMonth(at, zone) : hourOfDay(at, zone) });
  }
  return found;
}
