// The heat map's arithmetic: which step of the ramp a cell stands on, how the grid is cut to the width, how its cursor
// moves.

import type { Cover, CoverCell } from "./api.ts";
import { count, days } from "./format.ts";

/** The same with stores and products in the order of their ids: in that of their sales they would change places. */
export function arranged(cover: Cover): Cover {
  const order = (ids: number[]) => ids.map((_, index) => index).sort((left, right) => (ids[left] ?? 0) - (ids[right] ?? 0));
  const rows = order(cover.stores);
  const columns = order(cover.products);
  return {
    ...cover,
    stores: rows.map((row) => cover.stores[row] ?? 0),
    products: columns.map((column) => cover.products[column] ?? 0),
    cells: rows.map((row) => columns.map((column) => cover.cells[row]?.[column] ?? null)),
  };
}

/** Steps of the ramp, least stock first. `still` is stock that nothing was sold of in seven days. */
export type Step = "out" | "low" | "fair" | "high" | "still" | "none";

const LOW_DAYS = 3;
const HIGH_DAYS = 14;

export function stepOf(cell: CoverCell | null): Step {
  if (cell === null) return "none";
  if (cell.on_hand <= 0) return "out";
  if (cell.days === null) return "still";
  if (cell.days < LOW_DAYS) return "low";
  return cell.days > HIGH_DAYS ? "high" : "fair";
}

/** The figure in a cell. Days are cut, not rounded, so that 2.8 does not read as the 3 of the next step. */
export function figureOf(cell: CoverCell | null, wide: boolean): string {
  switch (stepOf(cell)) {
    case "none":
      return "";
    case "out":
      return "×";
    case "still":
      return "∞";
    default: {
      const value = cell?.days ?? 0;
      return wide ? days(value) : String(Math.min(99, Math.floor(value)));
    }
  }
}

/** A cell in a sentence. */
export function sentenceOf(store: number, product: number, cell: CoverCell | null): string {
  const place = `store ${store}, product ${product}`;
  if (cell === null) return `${place}: not kept there`;
  const figures = `${count(cell.on_hand)} on hand, ${count(cell.units)} sold in 7 days`;
  switch (stepOf(cell)) {
    case "out":
      return `${place}: out of stock; ${figures}`;
    case "still":
      return `${place}: no sales in 7 days; ${count(cell.on_hand)} on hand`;
    default:
      return `${place}: ${days(cell.days ?? 0)} days of cover; ${figures}`;
  }
}

export interface Layout {
  /** Ranges of product columns, one above the other. */
  bands: { from: number; until: number }[];
  /** Pixels, without the gap between two cells. */
  cellWidth: number;
  cellHeight: number;
  figures: boolean;
  wide: boolean;
}

/** Pixels between two cells. */
export const GAP = 1;
/** Two digits fit. */
const CELL_WIDTH_MIN = 19;
const CELL_WIDTH_MAX = 56;
/** From here on a cell has room for a digit behind the point. */
const CELL_WIDTH_WIDE = 36;
/** More rows than these are drawn without figures, as a picture. */
const ROWS_WITH_FIGURES_MAX = 48;

/** Cuts the columns into bands of equal length, each as wide as `width` allows. */
export function layoutOf(stores: number, products: number, width: number): Layout {
  const perBandMax = Math.max(1, Math.floor(width / (CELL_WIDTH_MIN + GAP)));
  const bandCount = Math.max(1, Math.ceil(products / perBandMax));
  const perBand = Math.max(1, Math.ceil(products / bandCount));
  const bands = Array.from({ length: bandCount }, (_, band) => ({
    from: band * perBand,
    until: Math.min(products, (band + 1) * perBand),
  })).filter(({ from, until }) => from < until);
  const cellWidth = Math.min(CELL_WIDTH_MAX, Math.max(CELL_WIDTH_MIN, Math.floor(width / perBand) - GAP));
  const figures = bandCount * stores <= ROWS_WITH_FIGURES_MAX;
  return { bands, cellWidth, cellHeight: figures ? 18 : 12, figures, wide: cellWidth >= CELL_WIDTH_WIDE };
}

export interface Cell {
  store: number;
  product: number;
}

export function cellAt(cover: Cover, { store, product }: Cell): CoverCell | null {
  return cover.cells[cover.stores.indexOf(store)]?.[cover.products.indexOf(product)] ?? null;
}

/** Where the cursor goes from `cell`; null when the key moves nothing. Left and right go on in the band above or below. */
export function moved(cover: Cover, cell: Cell, key: string): Cell | null {
  const row = cover.stores.indexOf(cell.store);
  const column = cover.products.indexOf(cell.product);
  const last = cover.products.length - 1;
  const [toRow, toColumn] =
    key === "ArrowLeft" ? [row, column - 1]
    : key === "ArrowRight" ? [row, column + 1]
    : key === "ArrowUp" ? [row - 1, column]
    : key === "ArrowDown" ? [row + 1, column]
    : key === "Home" ? [row, 0]
    : key === "End" ? [row, last]
    : [-1, -1];
  const store = cover.stores[toRow];
  const product = cover.products[toColumn];
  return store === undefined || product === undefined ? null : { store, product };
}

/** The cell to open with: the one whose stock is the nearest to its end, and sells. */
export function firstChoice(cover: Cover): Cell | null {
  let best: { cell: Cell; days: number } | null = null;
  cover.stores.forEach((store, row) =>
    cover.products.forEach((product, column) => {
      const cell = cover.cells[row]?.[column];
      if (!cell) return;
      const left = cell.on_hand <= 0 ? 0 : (cell.days ?? Number.MAX_VALUE);
      if (best === null || left < best.days) best = { cell: { store, product }, days: left };
    }),
  );
  return (best as { cell: Cell } | null)?.cell ?? null;
}

/** How many cells stand on each step. */
export function tally(cover: Cover): Record<Step, number> {
  const found: Record<Step, number> = { out: 0, low: 0, fair: 0, high: 0, still: 0, none: 0 };
  for (const row of cover.cells) for (const cell of row) found[stepOf(cell)] += 1;
  return found;
}
