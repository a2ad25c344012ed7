// Figures as people read them. Each function keeps the width of what it says as steady as it can, so that nothing jumps
// when a figure changes.

/** What stands where nothing is known. */
export const NONE = "–";

/** A minus sign that is as wide as a plus. */
const MINUS = "−";

function grouped(value: number, digits: number): string {
  const [whole = "0", fraction] = Math.abs(value).toFixed(digits).split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction === undefined ? "" : `.${fraction}`);
  return value < 0 && Number(text.replaceAll(",", "")) !== 0 ? MINUS + text : text;
}

/** `1,842`; with `digits`, so many behind the point. */
export function count(value: number | null, digits = 0): string {
  return value === null || !Number.isFinite(value) ? NONE : grouped(value, digits);
}

/** A rate: whole from 10 on, one digit below, so that 0.4/s is not 0/s. */
export function rate(value: number | null): string {
  if (value === null) return NONE;
  return count(value, value !== 0 && Math.abs(value) < 10 ? 1 : 0);
}

const UNITS: [seconds: number, unit: string][] = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
];

/** An age or a delay: `3 ms`, `0.4 s`, `12 s`, `5 min`, `3 h`, `2 d`. */
export function duration(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return NONE;
  if (seconds < 0) return `${MINUS}${duration(-seconds)}`;
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  const [length, unit] = UNITS.find(([length]) => seconds >= 2 * length - 0.5) ?? [60, "min"];
  return `${grouped(Math.floor((seconds + 0.5) / length), 0)} ${unit}`;
}

/** Days of cover with one digit below 10: `2.8`, `21`, `99+`. */
export function days(value: number): string {
  if (value >= 99.5) return "99+";
  return value < 9.95 ? value.toFixed(1) : String(Math.round(value));
}

/** A part of one as per cent: `12.0 %`. */
export function share(value: number | null): string {
  return value === null ? NONE : `${(value * 100).toFixed(1)} %`;
}

export function signed(value: number | null, digits: number): string {
  if (value === null) return NONE;
  const text = grouped(value, digits);
  return value > 0 && Number(text.replaceAll(",", "")) !== 0 ? `+${text}` : text;
}

export type Zone = "utc" | "local";

function part(value: number): string {
  return String(value).padStart(2, "0");
}

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  weekday: number;
}

function parts(at: Date, zone: Zone): Parts {
  return zone === "utc"
    ? {
        year: at.getUTCFullYear(),
        month: at.getUTCMonth() + 1,
        day: at.getUTCDate(),
        hour: at.getUTCHours(),
        minute: at.getUTCMinutes(),
        second: at.getUTCSeconds(),
        weekday: at.getUTCDay(),
      }
    : {
        year: at.getFullYear(),
        month: at.getMonth() + 1,
        day: at.getDate(),
        hour: at.getHours(),
        minute: at.getMinutes(),
        second: at.getSeconds(),
        weekday: at.getDay(),
      };
}

function instant(at: string | number): Date | null {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** `14:02:07` */
export function clock(at: string | number, zone: Zone): string {
  const date = instant(at);
  if (date === null) return NONE;
  const { hour, minute, second } = parts(date, zone);
  return `${part(hour)}:${part(minute)}:${part(second)}`;
}

/** `14:00` */
export function hourOfDay(at: string | number, zone: Zone): string {
  return clock(at, zone).slice(0, 5);
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** `Sat 28` */
export function dayOfMonth(at: string | number, zone: Zone): string {
  const date = instant(at);
  if (date === null) return NONE;
  const { weekday, day } = parts(date, zone);
  return `${WEEKDAYS[weekday] ?? ""} ${day}`;
}

/** `2026-11-28 14:02:07` */
export function dateTime(at: string | number, zone: Zone): string {
  const date = instant(at);
  if (date === null) return String(at);
  const { year, month, day } = parts(date, zone);
  return `${year}-${part(month)}-${part(day)} ${clock(at, zone)}`;
}

/** Whether the day begins with this hour. */
export function isMidnight(at: number, zone: Zone): boolean {
  const { hour, minute } = parts(new Date(at), zone);
  return hour === 0 && minute === 0;
}
