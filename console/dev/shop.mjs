// A made-up shop for work on the page: it answers as the console's server does, from figures that a seed gives.

const STAGES = ["postgres", "replicate", "kafka", "aggregate", "decide", "dispatch"];
const HOUR = 3_600_000;
const ARMS = { batch: 0.45, stream: 0.45, holdout: 0.1 };

/** Numbers from 0 to 1 that are the same on each start. */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const iso = (milliseconds) => new Date(milliseconds).toISOString();
const uuid = (number) => `0f1c4ad1-7a65-5d5c-9ac7-${String(number).padStart(12, "0")}`;

export class Shop {
  constructor({ stores = 8, products = 60, empty = false, trouble = false, seed = 7 } = {}) {
    this.random = random(seed);
    this.trouble = trouble;
    this.stores = empty ? [] : Array.from({ length: stores }, (_, index) => index + 1);
    this.products = empty ? [] : Array.from({ length: products }, (_, index) => index + 1);
    this.cells = this.stores.map(() => this.products.map(() => this.level()));
    this.rules = empty ? [] : [rule(1, "premium overstock"), { ...rule(2, "near the shelf"), trigger: "intent", discount_percent: 10, enabled: false }];
    this.codes = [];
    this.offset = 4000;
    this.events = [];
    if (!empty) for (let index = 0; index < 30; index += 1) this.issue(Date.now() - (30 - index) * 47_000);
    if (!empty) for (let index = 0; index < 24; index += 1) this.sell();
  }

  level() {
    if (this.random() < 0.03) return null;
    const daily = this.random() < 0.06 ? 0 : 0.5 + 12 * this.random() ** 3;
    const onHand = this.random() < 0.05 ? 0 : Math.round(2 + 200 * this.random() ** 2);
    return cell(onHand, Math.round(daily * 7));
  }

  cover() {
    return {
      at: iso(Date.now()),
      stores: this.stores,
      products: this.products,
      stores_total: this.stores.length,
      products_total: this.products.length === 0 ? 0 : 200,
      cells: this.cells,
    };
  }

  pipeline() {
    const empty = this.stores.length === 0;
    const idle = { condition: "idle", rate: 0, waiting_seconds: null, waiting: "", detail: null };
    const jitter = () => 0.8 + 0.4 * this.random();
    const working = {
      postgres: { rate: 1842 * jitter(), rate_unit: "rows/s", waiting_seconds: 0.003, waiting: "0 B kept" },
      replicate: { rate: 1842 * jitter(), rate_unit: "rows/s", waiting_seconds: 0.011 * jitter(), waiting: "212 in the batch" },
      kafka: { rate: 1840 * jitter(), rate_unit: "records/s", waiting_seconds: 0.2 * jitter(), waiting: "388 records unread" },
      aggregate: { rate: 1839 * jitter(), rate_unit: "records/s", waiting_seconds: 0.1 * jitter(), waiting: "1 batch" },
      decide: { rate: 3.2 * jitter(), rate_unit: "pairs/s", waiting_seconds: 0, waiting: "0 pairs due" },
      dispatch: { ...idle, rate_unit: "codes/s", waiting: `${this.codes.length} sent` },
    };
    if (this.trouble) {
      Object.assign(working.aggregate, { condition: "stuck", rate: 0, waiting_seconds: 312, waiting: "571,204 records", detail: "the sink refuses connections: too many clients already" });
      Object.assign(working.kafka, { waiting_seconds: 23, waiting: "571,204 records unread" });
    }
    return {
      at: iso(Date.now()),
      state: this.trouble ? "behind" : empty ? "warming-up" : "current",
      fresh_seconds: this.trouble ? 312 : empty ? null : 0.3 + 0.3 * this.random(),
      services: {
        source: { ok: true, detail: "slot tidewater, read now" },
        kafka: { ok: true, detail: "3 brokers" },
        sink: this.trouble ? { ok: false, detail: "too many clients already" } : { ok: true, detail: "schema 31" },
      },
      stages: STAGES.map((id) => ({ id, condition: "working", detail: null, ...(empty ? { ...idle, rate_unit: "rows/s", rate: null } : working[id]) })),
      latency: empty
        ? { commit_to_kafka_seconds: null, applied_age_seconds: null, cause_to_code_p50_seconds: null, cause_to_code_p99_seconds: null }
        : { commit_to_kafka_seconds: 0.011, applied_age_seconds: 0.4, cause_to_code_p50_seconds: 0.31, cause_to_code_p99_seconds: 0.92 },
    };
  }

  issue(at = Date.now()) {
    const number = this.codes.length + 1;
    const states = ["dispatched", "dispatched", "redeemed", "issued", "dispatched", "expired", "withdrawn"];
    const code = {
      promotion_id: uuid(number),
      code: `TIDE-4K7${(number * 7919).toString(36).toUpperCase().padStart(4, "Q")}`,
      rule_id: 1,
      rule: "premium overstock",
      customer_id: 1 + Math.floor(this.random() * 20_000),
      store_id: this.stores[Math.floor(this.random() * this.stores.length)],
      product_id: this.products[Math.floor(this.random() * this.products.length)],
      discount_percent: 15,
      state: states[number % states.length],
      issued_at: iso(at),
      dispatched_at: iso(at + 300),
      valid_until: iso(at + 24 * HOUR),
      redeemed_at: null,
      source: "stream",
      reason: { tier: "premium", orders: 2 + (number % 4), habit_days: 28, on_hand: 40, cover_days: number % 5 === 0 ? null : 15 + (number % 20), cause: "stock", cause_position: `1:0/16B${number}F8:3` },
    };
    this.codes.unshift(code);
    return code;
  }

  /** A sale somewhere: a level falls, and the topic has an event more. */
  sell(store = Math.floor(this.random() * this.stores.length), product = Math.floor(this.random() * this.products.length)) {
    const before = this.cells[store][product] ?? cell(10, 7);
    const after = cell(Math.max(0, before.on_hand - 1) || 40, before.units + 1);
    this.cells[store][product] = after;
    const row = (onHand, at) => ({ store_id: this.stores[store], product_id: this.products[product], on_hand: onHand, target_stock: 200, updated_at: iso(at) });
    this.offset += 1;
    const kind = this.offset % 7;
    this.events.unshift({
      partition: 0,
      offset: this.offset,
      at: iso(Date.now()),
      key: { store_id: this.stores[store], product_id: this.products[product] },
      op: kind === 0 ? "c" : "u",
      before: kind === 0 ? null : row(before.on_hand, Date.now() - 90_000),
      after: row(after.on_hand, Date.now()),
      value: null,
      position: `1:0/${this.offset.toString(16).toUpperCase()}0:1`,
    });
    this.events.length = Math.min(this.events.length, 60);
    return { store: this.stores[store], product: this.products[product], level: after.on_hand };
  }

  series(store, product, range) {
    const hours = { "1h": 1, "24h": 24, "7d": 168 }[range];
    const until = Date.now();
    const from = until - hours * HOUR;
    const level = this.cells[this.stores.indexOf(store)]?.[this.products.indexOf(product)]?.on_hand ?? null;
    const noise = random(store * 1000 + product);
    const rows = [];
    let opening = 60;
    for (let hour = Math.floor(from / HOUR) * HOUR; hour < until; hour += HOUR) {
      const day = Math.max(0, Math.sin(((new Date(hour).getUTCHours() - 6) / 14) * Math.PI));
      const units = Math.round(7 * noise() * day);
      const restocked = opening - units < 1 && noise() < 0.4 ? 90 : 0;
      const closing = Math.max(0, opening - units) + restocked;
      rows.push({
        hour: iso(hour),
        orders: Math.ceil(units / 2),
        units,
        opening,
        closing,
        minimum: Math.min(closing, Math.max(0, opening - units)),
        maximum: Math.max(opening, closing),
        stockout_seconds: closing === 0 ? 3600 : opening - units <= 0 ? 900 : 0,
        days_of_cover: closing / 20,
      });
      opening = closing;
    }
    // The level of now is where the last hour ends.
    const last = rows.at(-1);
    const shift = level === null ? 0 : level - last.closing;
    for (const row of rows) {
      for (const name of ["opening", "closing", "minimum", "maximum"]) row[name] = Math.max(0, row[name] + shift);
      if (row.minimum > 0) row.stockout_seconds = 0;
    }
    const codes = [0.2, 0.34, 0.7, 0.71, 0.93].map((part, index) => ({ code: `TIDE-4K7${index}`, issued_at: iso(from + part * (until - from)), state: index % 2 ? "redeemed" : "dispatched" }));
    const query = `select hour, units, opening, closing, minimum, maximum, stockout_seconds, days_of_cover\nfrom inventory_hourly_full('${iso(from)}', '${iso(until)}')\nwhere store_id = ${store} and product_id = ${product}\norder by hour;`;
    return { store_id: store, product_id: product, range, from: iso(from), until: iso(until), level, hours: rows, codes, query };
  }

  why(promotion) {
    const code = this.codes.find(({ promotion_id }) => promotion_id === promotion);
    if (code === undefined) return null;
    const { customer_id, store_id, product_id, rule_id, rule } = code;
    const condition = (name, decides, holds, figures) => ({ name, decides, holds, figures });
    const conditions = [
      condition("rule", "eligibility", true, "enabled, from -infinity to infinity"),
      condition("tier", "eligibility", true, `customer ${customer_id} is premium; wanted: premium`),
      condition("habit", "eligibility", true, "3 uncancelled orders in 28 days; wanted: 2"),
      condition("stock", "eligibility", true, "40 on hand; wanted: 5"),
      condition("cover", "eligibility", true, "40 on hand × 168 h ≥ 24 h × 14 days × 13 units"),
      condition("consent", "issue", true, "may be contacted"),
      condition("cooldown", "issue", false, "a code of this tuple was issued 2 h ago; wanted: 72 h"),
    ];
    return {
      code,
      explanation: {
        at: iso(Math.floor(Date.now() / 60_000) * 60_000),
        state: "issuing",
        tuples: [{ rule_id, rule, customer_id, store_id, product_id, eligible: true, issuable: false, listed: true, conditions }],
      },
      command: `tidewater rules explain --customer ${customer_id} --store ${store_id} --product ${product_id} --rule ${rule_id}`,
      query: `select * from promotion where promotion_id = '${promotion}';`,
    };
  }

  worth() {
    const arm = (name, redeemed, units, p50) => ({
      arm: name,
      customers: Math.round(20_000 * ARMS[name]),
      codes: name === "holdout" ? 0 : 1204,
      redeemed: name === "holdout" ? 0 : Math.round(1204 * redeemed),
      redeemed_share: redeemed,
      units_per_customer: units,
      uplift_units: name === "holdout" ? null : units - 3.1,
      discount_cost: name === "holdout" ? null : 1204 * redeemed * 4.2,
      excess_units: name === "stream" ? 11_220 : 14_900,
      stockout_hours: name === "stream" ? 41.5 : 44,
      cause_to_code_p50_seconds: p50,
      cause_to_code_p99_seconds: p50 === null ? null : p50 * 3,
    });
    return {
      at: iso(Date.now()),
      model: "Times from cause to code are measured. Everything else is what simulated shoppers do, who answer a code by a documented model with a half-life of 4 h: a model, not a measurement.",
      half_life_hours: 4,
      arms: this.stores.length === 0 ? [] : [arm("stream", 0.192, 3.42, 0.31), arm("batch", 0.061, 3.18, 28_800), arm("holdout", null, 3.1, null)],
    };
  }
}

export function cell(onHand, units) {
  return { on_hand: onHand, units, days: units === 0 ? null : Math.round((onHand / units) * 70) / 10 };
}

export function rule(id, name) {
  return {
    rule_id: id, name, tier: "premium", habit_orders: 2, habit_window: "28 days", demand_window: "7 days", days_of_cover_min: 14,
    on_hand_min: 5, discount_percent: 15, valid_for: "24:00:00", cooldown: "72:00:00", codes_max: 2, rest_after_order: "24:00:00",
    daily_limit: 1000, trigger: "stock", intent_window: "00:15:00", enabled: true, starts_at: "-infinity", ends_at: "infinity",
  };
}
