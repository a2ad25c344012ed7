// The chart of one cell: the level above, the units sold below, codes as marks on the axis between them.

import { useState } from "preact/hooks";
import type { Series } from "../api.ts";
import { levelExtent, linear, stepPath, ticks, timeTicks, type Scale, type Slot } from "../chart.ts";
import { clock, count, dayOfMonth, duration, hourOfDay, type Zone } from "../format.ts";
import { useSize, type Size } from "../hooks.ts";

const LEFT = 44;
const RIGHT = 4;
/** Room for a panel's name above it. */
const NAME = 18;
/** The lane of the codes' marks. */
const LANE = 18;
const AXIS = 20;
/** Less than this is not drawn, but cut off. */
const WIDTH_MIN = 200;
const HEIGHT_MIN = 200;
/** Part of the height that the level takes of what both panels have. */
const LEVEL_PART = 0.68;

interface Scales {
  width: number;
  height: number;
  levelBottom: number;
  unitsTop: number;
  unitsBottom: number;
  x: Scale;
  level: Scale;
  levelTicks: number[];
  units: Scale;
  unitsTicks: number[];
}

function scalesOf(series: Series, slots: Slot[], { width, height }: Size): Scales {
  const extent = levelExtent(series);
  const levelTicks = ticks(extent.min, extent.max, 4);
  const unitsTicks = ticks(0, Math.max(1, ...slots.map(({ hour }) => hour.units)), 2);
  const ends = (values: number[]): [number, number] => [values[0] ?? 0, values.at(-1) ?? 1];
  const panels = height - 2 * NAME - LANE - AXIS;
  const levelBottom = Math.round(NAME + LEVEL_PART * panels);
  const unitsTop = levelBottom + LANE + NAME;
  const unitsBottom = height - AXIS;
  return {
    width,
    height,
    levelBottom,
    unitsTop,
    unitsBottom,
    x: linear([Date.parse(series.from), Date.parse(series.until)], [LEFT, width - RIGHT]),
    level: linear(ends(levelTicks), [levelBottom, NAME]),
    levelTicks,
    units: linear(ends(unitsTicks), [unitsBottom, unitsTop]),
    unitsTicks,
  };
}

export function Chart({ series, slots, zone }: { series: Series; slots: Slot[]; zone: Zone }) {
  const [frame, size] = useSize<HTMLDivElement>();
  const [pointed, setPointed] = useState<number | null>(null);
  const scales = scalesOf(series, slots, { width: Math.max(WIDTH_MIN, size?.width ?? 0), height: Math.max(HEIGHT_MIN, size?.height ?? 0) });
  const point = (event: PointerEvent) => {
    const left = (event.currentTarget as SVGElement).getBoundingClientRect().left;
    const at = event.clientX - left;
    const index = slots.findIndex((slot) => at >= scales.x(slot.from) && at < scales.x(slot.until));
    setPointed(index < 0 ? null : index);
  };
  const shown = slots[pointed ?? slots.length - 1];
  return (
    <>
      <Readout slot={shown} last={pointed === null} zone={zone} />
      <div class="chart" ref={frame}>
        <svg
          width={scales.width}
          height={scales.height}
          role="img"
          aria-label={`level and hourly sales of product ${series.product_id} in store ${series.store_id}; the table has the figures`}
          onPointerMove={point}
          onPointerLeave={() => setPointed(null)}
        >
          <defs>
            <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <line x1="0" y1="0" x2="0" y2="6" class="hatch" />
            </pattern>
          </defs>
          <Axes scales={scales} series={series} zone={zone} />
          {pointed !== null && shown !== undefined && <Pointed slot={shown} scales={scales} />}
          <Levels series={series} slots={slots} scales={scales} />
          <Units slots={slots} scales={scales} />
          <Codes series={series} scales={scales} zone={zone} />
        </svg>
      </div>
    </>
  );
}

/** Exact figures of an hour, always in the same place. */
function Readout({ slot, last, zone }: { slot: Slot | undefined; last: boolean; zone: Zone }) {
  if (slot === undefined) return null;
  const { hour } = slot;
  return (
    <dl class="readout">
      <div>
        <dt>{last ? "last hour" : dayOfMonth(hour.hour, zone)}</dt>
        <dd class="num">{hourOfDay(hour.hour, zone)}</dd>
      </div>
      <div>
        <dt>level</dt>
        <dd class="num">
          {count(hour.opening)} → {count(hour.closing)}
        </dd>
      </div>
      <div>
        <dt>least–most</dt>
        <dd class="num">
          {count(hour.minimum)}–{count(hour.maximum)}
        </dd>
      </div>
      <div>
        <dt>units sold</dt>
        <dd class="num">{count(hour.units)}</dd>
      </div>
      <div class={hour.stockout_seconds > 0 ? "out" : ""}>
        <dt>out for</dt>
        <dd class="num">{hour.stockout_seconds > 0 ? duration(hour.stockout_seconds) : "0 s"}</dd>
      </div>
      <div>
        <dt>cover</dt>
        <dd class="num">{count(hour.days_of_cover, 1)} d</dd>
      </div>
    </dl>
  );
}

function Axes({ scales, series, zone }: { scales: Scales; series: Series; zone: Zone }) {
  const { x, level, units, width } = scales;
  const end = width - RIGHT;
  const times = timeTicks(Date.parse(series.from), Date.parse(series.until), width - LEFT - RIGHT, zone);
  return (
    <g class="axes">
      {scales.levelTicks.map((value) => (
        <g key={`l${value}`}>
          <line x1={LEFT} x2={end} y1={level(value)} y2={level(value)} class={value === 0 ? "zero" : ""} />
          <text x={LEFT - 6} y={level(value) + 4} text-anchor="end">
            {count(value)}
          </text>
        </g>
      ))}
      {scales.unitsTicks.map((value) => (
        <g key={`u${value}`}>
          <line x1={LEFT} x2={end} y1={units(value)} y2={units(value)} class={value === 0 ? "zero" : ""} />
          <text x={LEFT - 6} y={units(value) + 4} text-anchor="end">
            {count(value)}
          </text>
        </g>
      ))}
      {times
        .filter(({ strong }) => strong)
        .map(({ at }) => (
          <line key={at} x1={x(at)} x2={x(at)} y1={NAME} y2={scales.unitsBottom} class="midnight" />
        ))}
      {times.map(({ at, text, strong }) => (
        <text key={at} x={x(at)} y={scales.height - 4} text-anchor="middle" class={strong ? "strong" : ""}>
          {x(at) > LEFT + 12 && x(at) < end - 12 ? text : ""}
        </text>
      ))}
      <text x={LEFT} y={NAME - 7} class="axis-name">
        level
      </text>
      <text x={LEFT} y={scales.unitsTop - 7} class="axis-name">
        units an hour
      </text>
    </g>
  );
}

function Pointed({ slot, scales: { x, unitsBottom } }: { slot: Slot; scales: Scales }) {
  return <rect class="pointed" x={x(slot.from)} width={x(slot.until) - x(slot.from)} y={NAME} height={unitsBottom - NAME} />;
}

function Levels({ series, slots, scales: { x, level, levelBottom } }: { series: Series; slots: Slot[]; scales: Scales }) {
  return (
    <g class="levels">
      {slots.map((slot) => {
        const { minimum, maximum, stockout_seconds } = slot.hour;
        const from = x(slot.from);
        const width = x(slot.until) - from;
        return (
          <g key={slot.from}>
            {minimum !== null && maximum !== null && maximum > minimum && (
              <rect class="band" x={from} width={width} y={level(maximum)} height={level(minimum) - level(maximum)} />
            )}
            {stockout_seconds > 0 && (
              <rect class="stockout" x={from} width={width} y={NAME} height={levelBottom - NAME} fill="url(#hatch)" />
            )}
          </g>
        );
      })}
      <path class="step" d={stepPath(slots, series.level, Date.now(), x, level)} />
    </g>
  );
}

function Units({ slots, scales: { x, units, unitsBottom } }: { slots: Slot[]; scales: Scales }) {
  return (
    <g class="bars">
      {slots
        .filter(({ hour }) => hour.units > 0)
        .map(({ hour, from, until }) => {
          const width = x(until) - x(from);
          const gap = width > 6 ? 2 : width > 3 ? 1 : 0;
          const top = units(hour.units);
          return <rect key={from} x={x(from) + gap / 2} width={Math.max(1, width - gap)} y={top} height={unitsBottom - top} />;
        })}
    </g>
  );
}

function Codes({ series, scales: { x, levelBottom }, zone }: { series: Series; scales: Scales; zone: Zone }) {
  const from = Date.parse(series.from);
  const until = Date.parse(series.until);
  const shown = series.codes.filter(({ issued_at }) => Date.parse(issued_at) >= from && Date.parse(issued_at) <= until);
  return (
    <g class="marks">
      {shown.map(({ code, issued_at, state }) => {
        const at = x(Date.parse(issued_at));
        return (
          <path key={code} class={state} d={`M${at - 5} ${levelBottom + 15}h10l-5-9Z`}>
            <title>
              {clock(issued_at, zone)} {code} {state}
            </title>
          </path>
        );
      })}
    </g>
  );
}
