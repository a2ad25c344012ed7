// STOCK COVER: a grid of stores and products, one cell of which is chosen.

import { memo } from "./memo.ts";
import { useEffect, useRef } from "preact/hooks";
import type { Cover } from "../api.ts";
import { cellAt, figureOf, GAP, layoutOf, moved, sentenceOf, stepOf, tally, type Cell, type Layout, type Step } from "../cover.ts";
import { useSize } from "../hooks.ts";
import { Empty, Loading, Section } from "./section.tsx";

const LEGEND: [Step, string][] = [
  ["out", "out"],
  ["low", "< 3 d"],
  ["fair", "3–14 d"],
  ["high", "> 14 d"],
  ["still", "no sales"],
];

/** Room for the store's number. */
const HEAD_WIDTH = 40;
const px = (pixels: number) => `${pixels}px`;

interface CoverProps {
  cover: Cover | null;
  chosen: Cell | null;
  onChoose: (cell: Cell) => void;
}

export const CoverSection = memo(function CoverSection({ cover, chosen, onChoose }: CoverProps) {
  return (
    <Section id="cover" title="Stock cover" note={cover !== null && cover.stores.length > 0 && <Legend cover={cover} />}>
      {cover === null ? (
        <Loading text="waiting for the first levels" />
      ) : cover.stores.length === 0 ? (
        <Empty
          text="Days of cover of each product in each store appear here once the first snapshot of the stock has been applied."
          command="tidewater simulate"
        />
      ) : (
        <Grid cover={cover} chosen={chosen} onChoose={onChoose} />
      )}
    </Section>
  );
});

function Legend({ cover }: { cover: Cover }) {
  const found = tally(cover);
  return (
    <ul class="legend" aria-label="days of cover, number of cells">
      {LEGEND.map(([step, text]) => (
        <li key={step}>
          <span class={`swatch ${step}`} aria-hidden="true" />
          {text} <span class="num">{found[step]}</span>
        </li>
      ))}
    </ul>
  );
}

function Grid({ cover, chosen, onChoose }: { cover: Cover; chosen: Cell | null; onChoose: (cell: Cell) => void }) {
  const [frame, size] = useSize<HTMLDivElement>();
  const layout = layoutOf(cover.stores.length, cover.products.length, (size?.width ?? 0) - HEAD_WIDTH);
  const body = useRef<HTMLDivElement>(null);
  const byKeyboard = useRef(false);

  // The focus follows the cursor, but is not taken from elsewhere when the address changes.
  useEffect(() => {
    if (!byKeyboard.current) return;
    byKeyboard.current = false;
    body.current?.querySelector<HTMLElement>('[aria-selected="true"]')?.focus();
  }, [chosen]);

  const pressed = (event: KeyboardEvent) => {
    const from = chosen ?? cellOf(event.target);
    const to = from === null ? null : moved(cover, from, event.key);
    if (to === null) return;
    event.preventDefault();
    byKeyboard.current = true;
    onChoose(to);
  };
  const clicked = (event: MouseEvent) => {
    const cell = cellOf(event.target);
    if (cell !== null) onChoose(cell);
  };

  const shown = chosen !== null && cover.stores.includes(chosen.store) && cover.products.includes(chosen.product);
  const entry = shown ? chosen : { store: cover.stores[0] ?? 0, product: cover.products[0] ?? 0 };
  return (
    <div class="cover-frame" ref={frame}>
      <div class="cover-scroll">
        <div ref={body} onKeyDown={pressed} onClick={clicked}>
          {size !== null &&
            layout.bands.map((band) => (
              <Band key={band.from} cover={cover} layout={layout} from={band.from} until={band.until} chosen={chosen} entry={entry} />
            ))}
        </div>
      </div>
      <p class="foot">
        {chosen !== null && sentenceOf(chosen.store, chosen.product, cellAt(cover, chosen))}
        <span class="foot-end">
          {cover.stores.length} of {cover.stores_total} stores, {cover.products.length} of {cover.products_total} products
        </span>
      </p>
    </div>
  );
}

function cellOf(target: EventTarget | null): Cell | null {
  const cell = target instanceof Element ? target.closest<HTMLElement>("[data-store]") : null;
  return cell === null ? null : { store: Number(cell.dataset["store"]), product: Number(cell.dataset["product"]) };
}

interface BandProps {
  cover: Cover;
  layout: Layout;
  from: number;
  until: number;
  chosen: Cell | null;
  /** The cell that the tabulator key comes to. */
  entry: Cell;
}

function Band({ cover, layout, from, until, chosen, entry }: BandProps) {
  const products = cover.products.slice(from, until);
  const cellStyle = { width: px(layout.cellWidth), height: px(layout.cellHeight) };
  return (
    <table
      class={layout.figures ? "cover-grid" : "cover-grid picture"}
      role="grid"
      aria-label={`days of cover by store and product, products ${products[0]} to ${products.at(-1)}`}
      style={{ width: px(HEAD_WIDTH - 4 + products.length * (layout.cellWidth + GAP)) }}
    >
      <thead>
        <tr>
          <th scope="col" class="corner" style={{ width: px(HEAD_WIDTH - 8) }}>
            <span class="hidden">store</span>
          </th>
          {products.map((product) => (
            <th key={product} scope="col" style={{ width: px(layout.cellWidth) }} class="num">
              {product}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {cover.stores.map((store, row) => (
          <tr key={store}>
            <th scope="row" class="num">
              {store}
            </th>
            {products.map((product, column) => {
              const cell = cover.cells[row]?.[from + column] ?? null;
              const selected = chosen?.store === store && chosen.product === product;
              return (
                <td
                  key={product}
                  role="gridcell"
                  class={stepOf(cell)}
                  style={cellStyle}
                  data-store={store}
                  data-product={product}
                  tabIndex={entry.store === store && entry.product === product ? 0 : -1}
                  aria-selected={selected}
                  title={sentenceOf(store, product, cell)}
                >
                  {layout.figures && figureOf(cell, layout.wide)}
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
