import assert from "node:assert/strict";
import test from "node:test";
import { formatAddress, parseAddress } from "../../src/address.ts";
import type { Columns, Rule, Series, SeriesHour, TopicEvent } from "../../src/api.ts";
import { linear, slots, stepPath, ticks, timeTicks } from "../../src/chart.ts";
import { problemOf } from "../../src/client.ts";
import { beforeOf, comparable, diff, inKey, keyText } from "../../src/diff.ts";
import { causeText, reasonText } from "../../src/reason.ts";
import { changes, COLUMNS, draftOf, GROUPS, shown } from "../../src/rules.ts";
import { settled, severityOf, shapeOf, thicknessOf } from "../../src/stages.ts";
import { bars } from "../../src/worth.ts";

test("the address holds the view, and nonsense in it is nothing", () => {
  const view = { cell: { store: 3, product: 12 }, range: "24h" as const, topic: null };
  assert.equal(formatAddress(view), "#store=3&product=12&range=24h");
  assert.deepEqual(parseAddress("#store=3&product=12&range=24h"), view);
  const other = { cell: { store: -1, product: 0 }, range: "7d" as const, topic: "retail.public.a b&c" };
  assert.deepEqual(parseAddress(formatAddress(other)), other);
  for (const hash of ["", "#", "#store=3", "#store=x&product=1", "#store=1e3&product=2", "#range=9d"]) {
    assert.deepEqual(parseAddress(hash), { cell: null, range: "24h", topic: null }, hash);
  }
});

test("idle and stuck never look alike", () => {
  const stage = (condition: Parameters<typeof severityOf>[0]["condition"], waiting_seconds: number | null) => {
    const severity = severityOf({ condition, waiting_seconds });
    return `${severity} ${shapeOf(condition, severity)}`;
  };
  assert.equal(stage("idle", null), "idle ring");
  assert.equal(stage("working", 0.2), "calm disc");
  assert.equal(stage("working", 5), "calm disc");
  assert.equal(stage("working", 5.1), "late triangle");
  assert.equal(stage("working", 60.1), "bad triangle");
  assert.equal(stage("stuck", 0), "bad triangle");
  assert.equal(stage("failed", null), "bad cross");
  assert.equal(stage("starting", null), "turning half");
  assert.equal(stage("draining", 9), "late triangle");
  assert.equal(stage("unknown", null), "unknown question");
});

test("a stage that works on a trickle does not change its look with each moment", () => {
  assert.equal(settled({ condition: "idle", rate: 0.2 }), "working");
  assert.equal(settled({ condition: "idle", rate: 0 }), "idle");
  assert.equal(settled({ condition: "idle", rate: null }), "idle");
  assert.equal(settled({ condition: "stuck", rate: 40 }), "stuck");
});

test("an arrow is thicker the faster its stage works", () => {
  assert.equal(thicknessOf(null), 1);
  assert.equal(thicknessOf(0), 1);
  const widths = [0.1, 10, 1_000, 100_000, 1e12].map(thicknessOf);
  assert.deepEqual(widths, widths.toSorted((left, right) => left - right));
  assert.equal(widths.at(-1), 12);
});

const row = (on_hand: number): Columns => ({ store_id: 3, on_hand });

function event(offset: number, part: Partial<TopicEvent>): TopicEvent {
  const none = { before: null, after: null, value: null, position: null };
  return { partition: 0, offset, at: "", key: { store_id: 3 }, op: "u", ...none, ...part };
}

test("a diff names each column once", () => {
  const found = diff({ same: 1, gone: null, old: "a" }, { same: 1, old: "b", fresh: { x: 1 } });
  assert.deepEqual(
    found.map(({ column, kind, before, after }) => [column, kind, before, after]),
    [
      ["same", "same", "1", "1"],
      ["old", "changed", "a", "b"],
      ["fresh", "added", null, '{"x":1}'],
      ["gone", "removed", "null", null],
    ],
  );
});

test("a key is told in words", () => {
  assert.equal(keyText({ store_id: 3, product_id: 12 }), "store_id 3, product_id 12");
  assert.equal(keyText("promotions"), "promotions");
  assert.equal(keyText([1]), "[1]");
  assert.equal(keyText(null), "");
  assert.equal(inKey({ store_id: 3 }, "store_id"), true);
  assert.equal(inKey("store_id", "store_id"), false);
});

test("an update without its row before takes the one of the event before", () => {
  const update = event(7, { after: row(9) });
  const other = event(6, { after: row(50), key: { store_id: 4 } });
  const elsewhere = event(5, { after: row(60), partition: 1 });
  const earlier = event(4, { after: row(12), op: "c" });
  assert.deepEqual(beforeOf(update, [update, other, elsewhere, earlier]), { image: row(12), offset: 4 });
  assert.equal(beforeOf(update, [update, other, elsewhere]), null);
  assert.deepEqual(beforeOf(event(7, { before: row(1) }), []), { image: row(1), offset: null });
  assert.equal(beforeOf(event(7, { op: "c", after: row(9) }), [earlier]), null);
  assert.equal(comparable(update, { image: row(12), offset: 4 }), true);
  assert.equal(comparable(event(7, { op: "d" }), { image: row(12), offset: 4 }), false);
});

const RULE: Rule = {
  rule_id: 1, name: "premium overstock", tier: "premium", habit_orders: 2, habit_window: "28 days", demand_window: "7 days",
  days_of_cover_min: 14, on_hand_min: 5, discount_percent: 15, valid_for: "24:00:00", cooldown: "72:00:00", codes_max: 2,
  rest_after_order: "24:00:00", daily_limit: 1000, trigger: "stock", intent_window: "00:15:00", enabled: true,
  starts_at: "-infinity", ends_at: "infinity",
};

test("only what was changed of a rule is sent, in its own type", () => {
  const draft = draftOf(RULE);
  assert.deepEqual(changes(RULE, draft), {});
  assert.deepEqual(changes(RULE, { ...draft, discount_percent: "0", enabled: "false", valid_for: "12 h" }), {
    enabled: false,
    discount_percent: 0,
    valid_for: "12 h",
  });
  assert.deepEqual(changes(RULE, { ...draft, days_of_cover_min: "2,5" }), { days_of_cover_min: 2.5 });
  // What is no number goes as it was typed: the server says what it wants.
  assert.deepEqual(changes(RULE, { ...draft, codes_max: "many" }), { codes_max: "many" });
  assert.deepEqual(changes(null, { ...draftOf(null), name: "three weeks", discount_percent: "20" }), {
    name: "three weeks",
    discount_percent: 20,
  });
});

test("every column of a rule is in the table once, but its id", () => {
  const columns = COLUMNS.map(({ column }) => column);
  assert.deepEqual(columns.toSorted(), Object.keys(RULE).filter((name) => name !== "rule_id").toSorted());
  assert.deepEqual(GROUPS.flatMap((group) => group.columns.map(({ column }) => column)), columns);
});

test("intervals and moments are shown in short", () => {
  const text = (name: keyof Rule, rule = RULE) => shown(COLUMNS.find(({ column }) => column === name)!, rule);
  assert.equal(text("valid_for"), "24 h");
  assert.equal(text("intent_window"), "15 min");
  assert.equal(text("habit_window"), "28 days");
  assert.equal(text("starts_at"), "always");
  assert.equal(text("discount_percent"), "15 %");
  assert.equal(text("enabled", { ...RULE, enabled: false }), "off");
  assert.equal(text("cooldown", { ...RULE, cooldown: "00:00:00" }), "0 s");
});

test("arms share one scale that has zero on it", () => {
  assert.deepEqual(bars([2, 4, null]), [{ from: 0, length: 0.5 }, { from: 0, length: 1 }, null]);
  assert.deepEqual(bars([-1, 3]), [{ from: 0, length: 0.25 }, { from: 0.25, length: 0.75 }]);
  assert.deepEqual(bars([0, 0]), [{ from: 0, length: 0 }, { from: 0, length: 0 }]);
  assert.deepEqual(bars([null]), [null]);
});

function hour(at: number, closing: number | null): SeriesHour {
  const start = new Date(Date.UTC(2026, 10, 28, at)).toISOString();
  return { hour: start, orders: 1, units: 2, opening: 9, closing, minimum: closing, maximum: 9, stockout_seconds: 0, days_of_cover: null };
}

test("the line of levels steps at the hour, breaks where nothing is known, and ends at the level of now", () => {
  const series: Series = {
    store_id: 1, product_id: 2, range: "24h", from: "2026-11-28T00:30:00Z", until: "2026-11-28T04:30:00Z", level: 1,
    hours: [hour(4, 3), hour(0, 8), hour(1, 6), hour(2, null), hour(5, 3)], codes: [], query: "",
  };
  const found = slots(series);
  assert.deepEqual(found.map(({ hour: { hour: at } }) => at.slice(11, 13)), ["00", "01", "02", "04"]);
  const x = linear([Date.parse(series.from), Date.parse(series.until)], [0, 4]);
  const y = linear([0, 10], [10, 0]);
  assert.equal(stepPath(found, series.level, Date.parse(series.until), x, y), "M0.0 2.0H0.5V4.0H1.5M3.5 9.0H4.0");
  assert.equal(stepPath(found, series.level, Date.parse("2026-11-28T04:15:00Z"), x, y).slice(-12), "M3.5 9.0H3.8");
});

test("ticks are round and hold the extent", () => {
  assert.deepEqual(ticks(0, 60, 4), [0, 20, 40, 60]);
  assert.deepEqual(ticks(0, 1, 4), [0, 1]);
  assert.deepEqual(ticks(-3, 7, 4), [-5, 0, 5, 10]);
  for (const max of [1, 3, 9, 47, 333, 12_345]) assert.ok((ticks(0, max, 4).at(-1) ?? 0) >= max);
});

test("marks of time fit the width", () => {
  const from = Date.UTC(2026, 10, 27, 14, 20);
  for (const hours of [1, 24, 168]) {
    for (const width of [300, 620]) {
      const found = timeTicks(from, from + hours * 3_600_000, width, "utc");
      assert.ok(found.length >= 2 && found.length <= width / 60, `${hours} h in ${width}: ${found.length}`);
    }
  }
  const midnight = timeTicks(from, from + 24 * 3_600_000, 620, "utc").find(({ strong }) => strong);
  assert.equal(midnight?.text, "Sat 28");
});

test("a reason is told in words", () => {
  const reason = { tier: "premium", orders: 3, habit_days: 28, on_hand: 40, cover_days: 21.3, cause: "stock" as const, cause_position: null };
  assert.equal(reasonText(reason), "premium, bought 3× in 28 d, cover 21 d");
  assert.equal(reasonText({ ...reason, cover_days: null }), "premium, bought 3× in 28 d, 40 on hand, no sales");
  assert.equal(reasonText({ ...reason, cover_days: null, on_hand: null }), "premium, bought 3× in 28 d");
  assert.equal(causeText(null), "not recorded");
});

test("a problem is told in the server's words, whatever shape they come in", () => {
  const told = (status: number, body: unknown) => {
    const { message, field } = problemOf(status, body);
    return [message, field];
  };
  assert.deepEqual(told(422, { title: "Unprocessable", detail: "must be 1 to 100", field: "discount_percent" }), ["must be 1 to 100", "discount_percent"]);
  assert.deepEqual(told(503, { title: "unavailable" }), ["unavailable", null]);
  assert.deepEqual(told(502, null), ["the server answered 502", null]);
  assert.deepEqual(told(502, "text"), ["the server answered 502", null]);
});
