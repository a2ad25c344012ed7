// What the console's server says: the shapes of its answers and of its live events. Times are ISO 8601 in UTC; null is
// "not known".

export type State = "warming-up" | "behind" | "current";
export type StageId = "postgres" | "replicate" | "kafka" | "aggregate" | "decide" | "dispatch";
export type Condition = "idle" | "working" | "stuck" | "failed" | "starting" | "draining" | "unknown";

export interface Service {
  ok: boolean;
  detail: string;
}

export interface Stage {
  id: StageId;
  condition: Condition;
  rate: number | null;
  rate_unit: string;
  /** Age of the oldest item that waits here. */
  waiting_seconds: number | null;
  waiting: string;
  detail: string | null;
}

export interface Latency {
  commit_to_kafka_seconds: number | null;
  applied_age_seconds: number | null;
  cause_to_code_p50_seconds: number | null;
  cause_to_code_p99_seconds: number | null;
}

export interface Pipeline {
  at: string;
  state: State | null;
  fresh_seconds: number | null;
  services: Record<string, Service>;
  stages: Stage[];
  latency: Latency;
}

export interface CoverCell {
  on_hand: number;
  /** Sold in seven days. */
  units: number;
  /** Days of cover; null with stock at hand when nothing was sold in seven days. */
  days: number | null;
}

export interface Cover {
  at: string;
  stores: number[];
  products: number[];
  stores_total: number;
  products_total: number;
  /** By store, then by product, in the order of `stores` and `products`. */
  cells: (CoverCell | null)[][];
}

export type CodeState = "issued" | "dispatched" | "redeemed" | "expired" | "withdrawn";

export interface Reason {
  tier: string;
  orders: number;
  habit_days: number;
  on_hand: number | null;
  cover_days: number | null;
  cause: "stock" | "order" | "tier" | "rule" | "time" | null;
  cause_position: string | null;
}

export interface Code {
  promotion_id: string;
  code: string;
  rule_id: number;
  rule: string;
  customer_id: number;
  store_id: number;
  product_id: number;
  discount_percent: number;
  state: CodeState;
  issued_at: string;
  dispatched_at: string | null;
  valid_until: string;
  redeemed_at: string | null;
  source: "stream" | "batch";
  reason: Reason;
}

export type Range = "1h" | "24h" | "7d";

export interface SeriesHour {
  hour: string;
  orders: number;
  units: number;
  opening: number | null;
  closing: number | null;
  minimum: number | null;
  maximum: number | null;
  stockout_seconds: number;
  days_of_cover: number | null;
}

export interface SeriesCode {
  code: string;
  issued_at: string;
  state: CodeState;
}

export interface Series {
  store_id: number;
  product_id: number;
  range: Range;
  from: string;
  until: string;
  level: number | null;
  hours: SeriesHour[];
  codes: SeriesCode[];
  query: string;
}

export interface ExplainedCondition {
  name: string;
  decides: "eligibility" | "issue";
  holds: boolean;
  figures: string;
}

export interface ExplainedTuple {
  rule_id: number;
  rule: string;
  customer_id: number;
  store_id: number;
  product_id: number;
  eligible: boolean;
  issuable: boolean;
  listed: boolean;
  conditions: ExplainedCondition[];
}

export interface Why {
  code: Code;
  explanation: { at: string; state: string; tuples: ExplainedTuple[] };
  command: string;
  query: string;
}

export interface Arm {
  arm: "stream" | "batch" | "holdout";
  customers: number;
  codes: number;
  redeemed: number;
  redeemed_share: number | null;
  units_per_customer: number | null;
  uplift_units: number | null;
  discount_cost: number | null;
  excess_units: number | null;
  stockout_hours: number | null;
  cause_to_code_p50_seconds: number | null;
  cause_to_code_p99_seconds: number | null;
}

export interface Worth {
  at: string;
  model: string;
  half_life_hours: number | null;
  arms: Arm[];
}

export interface Rule {
  rule_id: number;
  name: string;
  tier: string;
  habit_orders: number;
  habit_window: string;
  demand_window: string;
  days_of_cover_min: number;
  on_hand_min: number;
  discount_percent: number;
  valid_for: string;
  cooldown: string;
  codes_max: number;
  rest_after_order: string;
  daily_limit: number;
  trigger: "stock" | "intent";
  intent_window: string;
  enabled: boolean;
  starts_at: string;
  ends_at: string;
}

export interface Topic {
  name: string;
  partitions: number;
  records: number;
}

export type Columns = Record<string, unknown>;

export interface TopicEvent {
  partition: number;
  offset: number;
  at: string;
  key: unknown;
  /** Null when the record is no change event; `value` then holds it. */
  op: "c" | "u" | "d" | "r" | "t" | null;
  before: Columns | null;
  after: Columns | null;
  value: unknown;
  position: string | null;
}
