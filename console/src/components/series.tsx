// SALES AND STOCK of the chosen cell.

import { memo } from "./memo.ts";
import { useState } from "preact/hooks";
import type { Range, Series } from "../api.ts";
import { RANGES } from "../address.ts";
import { slots } from "../chart.ts";
import { readSeries } from "../client.ts";
import type { Cell } from "../cover.ts";
import { count, type Zone } from "../format.ts";
import { useAsked } from "../hooks.ts";
import { Chart } from "./chart.tsx";
import { Copied } from "./copied.tsx";
import { Empty, Loading, Section, Trouble } from "./section.tsx";
import { SeriesTable } from "./series-table.tsx";

interface SeriesProps {
  cell: Cell | null;
  range: Range;
  zone: Zone;
  generation: number;
  /** The level that the heat map has of this cell, which is newer than the series'; null: it has none of it. */
  level: number | null;
  onCell: (cell: Cell) => void;
  onRange: (range: Range) => void;
}

/** Hours move slowly, and cost the sink more than the level, which comes with the heat map. */
const EVERY_MS = 20_000;
/** Of a cell that the heat map does not show. */
const EVERY_MS_ALONE = 5_000;

export const SeriesSection = memo(function SeriesSection(props: SeriesProps) {
  const { cell, range, zone, generation } = props;
  const [asTable, setAsTable] = useState(false);
  const asked = useAsked<Series | null>({
    key: cell === null ? "" : `${cell.store} ${cell.product} ${range}`,
    generation,
    read: (signal) => (cell === null ? Promise.resolve(null) : readSeries(cell.store, cell.product, range, signal)),
    everyMs: cell === null ? null : props.level === null ? EVERY_MS_ALONE : EVERY_MS,
  });
  const series = asked.answer === null ? null : { ...asked.answer, level: props.level ?? asked.answer.level };

  return (
    <Section
      id="series"
      title="Sales and stock"
      note={
        <>
          <CellForm cell={cell} onCell={props.onCell} />
          <RangeChoice range={range} onRange={props.onRange} />
          <button type="button" class="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            table
          </button>
        </>
      }
    >
      {asked.problem !== null && <Trouble problem={asked.problem} />}
      {cell === null ? (
        <Empty text="Choose a cell of the heat map: its hourly sales and its level appear here." />
      ) : series === null ? (
        asked.problem === null && <Loading text={`store ${cell.store}, product ${cell.product}: reading`} />
      ) : (
        <Drawn series={series} zone={zone} asTable={asTable} />
      )}
    </Section>
  );
});

function Drawn({ series, zone, asTable }: { series: Series; zone: Zone; asTable: boolean }) {
  const found = slots(series);
  return (
    <>
      <p class="level">
        <span class="level-figure num" id="level" data-level={series.level ?? ""}>
          {count(series.level)}
        </span>{" "}
        on hand now, store {series.store_id}, product {series.product_id}
      </p>
      {found.length === 0 ? (
        <Empty text="Nothing was sold and no level was kept in this range. A longer one may have more." />
      ) : (
        <>
          {!asTable && <Chart series={series} slots={found} zone={zone} />}
          <SeriesTable series={series} slots={found} zone={zone} visible={asTable} />
        </>
      )}
      <details class="query">
        <summary>the same figures in psql</summary>
        <Copied label="query, on the sink" text={series.query} />
      </details>
    </>
  );
}

function CellForm({ cell, onCell }: { cell: Cell | null; onCell: (cell: Cell) => void }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const [store, product] = [fields.get("store"), fields.get("product")].map((text) => Number(text || Number.NaN));
    if (Number.isSafeInteger(store) && Number.isSafeInteger(product)) onCell({ store: store ?? 0, product: product ?? 0 });
  };
  // Leaving a field chooses as Enter does.
  const left = (event: FocusEvent) => (event.currentTarget as HTMLInputElement).form?.requestSubmit();
  return (
    <form class="cell-form" onSubmit={submit} key={`${cell?.store} ${cell?.product}`}>
      <label>
        store <input name="store" class="num" inputMode="numeric" size={4} defaultValue={String(cell?.store ?? "")} onChange={left as never} />
      </label>
      <label>
        product <input name="product" class="num" inputMode="numeric" size={6} defaultValue={String(cell?.product ?? "")} onChange={left as never} />
      </label>
      <button type="submit" class="hidden" tabIndex={-1}>
        choose
      </button>
    </form>
  );
}

function RangeChoice({ range, onRange }: { range: Range; onRange: (range: Range) => void }) {
  const names: Record<Range, string> = { "1h": "1 h", "24h": "24 h", "7d": "7 d" };
  return (
    <div class="choice" role="group" aria-label="time range">
      {RANGES.map((one) => (
        <button key={one} type="button" aria-pressed={one === range} onClick={() => onRange(one)}>
          {names[one]}
        </button>
      ))}
    </div>
  );
}
