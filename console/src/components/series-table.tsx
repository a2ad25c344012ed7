// The table behind the chart: for screen readers always, for everybody when asked for.

import type { Series } from "../api.ts";
import type { Slot } from "../chart.ts";
import { count, dateTime, duration, NONE, type Zone } from "../format.ts";

interface SeriesTableProps {
  series: Series;
  slots: Slot[];
  zone: Zone;
  visible: boolean;
}

export function SeriesTable({ series, slots, zone, visible }: SeriesTableProps) {
  return (
    <div class={visible ? "table-scroll" : "hidden"} tabIndex={visible ? 0 : undefined}>
      <table class="figures">
        <caption class="hidden">
          hourly sales and stock of product {series.product_id} in store {series.store_id}
        </caption>
        <thead>
          <tr>
            {["hour", "units", "orders", "opening", "closing", "least", "most", "out for", "days of cover"].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {slots.toReversed().map(({ hour }) => (
            <tr key={hour.hour}>
              <th scope="row" class="num">
                {dateTime(hour.hour, zone).slice(0, 16)}
              </th>
              <td class="num">{count(hour.units)}</td>
              <td class="num">{count(hour.orders)}</td>
              <td class="num">{count(hour.opening)}</td>
              <td class="num">{count(hour.closing)}</td>
              <td class="num">{count(hour.minimum)}</td>
              <td class="num">{count(hour.maximum)}</td>
              <td class="num">{hour.stockout_seconds > 0 ? duration(hour.stockout_seconds) : NONE}</td>
              <td class="num">{count(hour.days_of_cover, 1)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
