import assert from "node:assert/strict";
import test from "node:test";
import type { Cover, CoverCell } from "../../src/api.ts";
import { arranged, cellAt, figureOf, firstChoice, layoutOf, moved, sentenceOf, stepOf, tally } from "../../src/cover.ts";

const cell = (on_hand: number, days: number | null): CoverCell => ({ on_hand, units: 30, days });

const COVER: Cover = {
  at: "2026-11-28T14:00:00Z",
  stores: [3, 8],
  products: [10, 11, 40],
  stores_total: 2,
  products_total: 900,
  cells: [
    [cell(12, 2.8), null, cell(90, 21)],
    [cell(40, null), cell(5, 0.4), cell(30, 14)],
  ],
};

test("each cell stands on one step of the ramp", () => {
  const cases: [CoverCell | null, string, string, string][] = [
    [null, "none", "", ""],
    [cell(0, 0), "out", "×", "×"],
    [cell(-2, null), "out", "×", "×"],
    [cell(40, null), "still", "∞", "∞"],
    [cell(12, 2.99), "low", "2", "3.0"],
    [cell(12, 3), "fair", "3", "3.0"],
    [cell(12, 14), "fair", "14", "14"],
    [cell(12, 14.01), "high", "14", "14"],
    [cell(12, 400), "high", "99", "99+"],
  ];
  for (const [input, step, narrow, wide] of cases) {
    assert.equal(stepOf(input), step);
    assert.equal(figureOf(input, false), narrow);
    assert.equal(figureOf(input, true), wide);
  }
  assert.deepEqual(tally(COVER), { out: 0, low: 2, fair: 1, high: 1, still: 1, none: 1 });
});

test("a cell is told in a sentence", () => {
  assert.equal(sentenceOf(3, 10, cell(1200, 2.8)), "store 3, product 10: 2.8 days of cover; 1,200 on hand, 30 sold in 7 days");
  assert.match(sentenceOf(3, 10, cell(0, null)), /out of stock/);
  assert.match(sentenceOf(3, 10, cell(9, null)), /no sales in 7 days; 9 on hand/);
  assert.match(sentenceOf(3, 10, null), /not kept/);
});

test("stores and products stand in the order of their ids, and their cells with them", () => {
  const shuffled: Cover = {
    ...COVER,
    stores: [8, 3],
    products: [40, 10, 11],
    cells: [
      [cell(30, 14), cell(40, null), cell(5, 0.4)],
      [cell(90, 21), cell(12, 2.8), null],
    ],
  };
  assert.deepEqual(arranged(shuffled), COVER);
});

test("the bands hold every product once, each band within the width", () => {
  for (const products of [1, 2, 7, 60, 200]) {
    for (const width of [40, 280, 636, 1300]) {
      const { bands, cellWidth } = layoutOf(8, products, width);
      const held = bands.flatMap(({ from, until }) => Array.from({ length: until - from }, (_, index) => from + index));
      assert.deepEqual(held, Array.from({ length: products }, (_, index) => index));
      for (const { from, until } of bands) assert.ok((until - from) * (cellWidth + 1) <= width, `${products} in ${width}`);
    }
  }
});

test("the cursor moves within the grid only", () => {
  const at = { store: 3, product: 11 };
  assert.deepEqual(moved(COVER, at, "ArrowLeft"), { store: 3, product: 10 });
  assert.deepEqual(moved(COVER, at, "ArrowRight"), { store: 3, product: 40 });
  assert.deepEqual(moved(COVER, at, "ArrowDown"), { store: 8, product: 11 });
  assert.equal(moved(COVER, at, "ArrowUp"), null);
  assert.equal(moved(COVER, { store: 3, product: 40 }, "ArrowRight"), null);
  assert.deepEqual(moved(COVER, at, "End"), { store: 3, product: 40 });
  assert.equal(moved(COVER, at, "a"), null);
  assert.equal(moved(COVER, { store: 99, product: 11 }, "ArrowUp"), null);
});

test("the page opens with the stock that is the nearest to its end", () => {
  assert.deepEqual(firstChoice(COVER), { store: 8, product: 11 });
  assert.equal(firstChoice({ ...COVER, stores: [], cells: [] }), null);
  assert.deepEqual(cellAt(COVER, { store: 8, product: 40 }), cell(30, 14));
  assert.equal(cellAt(COVER, { store: 9, product: 40 }), null);
});
