//! Random histories of a small shop: what batches evaluate step by step, what a sweep finds at once and
//! what the naive model says are the same, conditions, eligible tuples and codes.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::config::settings::Arms;
use tidewater::event::Position;
use tidewater::retail::evaluation::{Evaluation, Policy};
use tidewater::retail::explain::{Question, explain};
use tidewater::retail::sweep::Sweeper;
use tidewater::retail::time::Timestamp;
use tidewater::retail::touched::{Pair, Touched};

use super::shop::{Shop as Sink, derive, pairs};
use crate::model::random::{START_US, seed};
use crate::model::rules::{Code, Condition, Customer, Event, Order, Rule, RuleTuple, Shop};

const HISTORIES: u64 = 24;
const BATCHES: usize = 40;
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What must have happened; a test that never meets one of them proves nothing about it.
const CASES: [&str; 25] = [
    "explained: a code may be issued",
    "explained: eligible",
    "explained: not eligible",
    "became eligible by stock",
    "became eligible by order",
    "became eligible by tier",
    "became eligible by rule",
    "became eligible by time",
    "ceased to be eligible in a batch",
    "ceased to be eligible by time",
    "code of a batch",
    "code of a sweep",
    "second cycle",
    "expired",
    "refused: arm",
    "refused: consent",
    "refused: live code",
    "refused: cooldown",
    "refused: rest",
    "refused: daily limit",
    "refused: customer limit",
    "refused: excess",
    "refused: no event",
    "due by an event about the product",
    "due by an event about the store",
];

fn sql_time(at: i64) -> String {
    format!("(timestamptz 'epoch' + {at} * interval '1 us')")
}

struct History<'a> {
    rng: ChaCha8Rng,
    sink: &'a mut Sink,
    sweeper: &'a mut Sweeper,
    shop: Shop,
    now: i64,
    position: u64,
    cases: &'a mut BTreeMap<String, u64>,
}

#[tokio::test]
async fn batches_and_sweeps_give_what_the_naive_model_gives() {
    let seed = seed();
    let mut sink = Sink::open("random_rules").await;
    sink.policy.customer_limit = 2;
    let mut cases: BTreeMap<String, u64> =
        CASES.iter().map(|case| ((*case).to_owned(), 0)).collect();
    for index in 0..HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(index));
        // The customers' buckets are 96, 88, 78 and 76.
        let percent = *[100, 100, 90, 80].choose(&mut rng).unwrap();
        let rest = rng.random_range(0..=100 - percent);
        sink.policy.arms = Arms {
            stream: percent,
            batch: rest,
            holdout: 100 - percent - rest,
        };
        let mut sweeper = Sweeper::connect(&sink.connection, sink.policy.clone())
            .await
            .unwrap();
        let mut history = History {
            rng,
            sink: &mut sink,
            sweeper: &mut sweeper,
            shop: Shop {
                customer_limit: 2,
                stream_percent: percent.unsigned_abs(),
                ..Shop::default()
            },
            now: START_US + 7 * SECOND,
            position: 1,
            cases: &mut cases,
        };
        history.begin().await;
        for _ in 0..BATCHES {
            let name = format!("TIDEWATER_TEST_SEED={seed}, history {index}");
            history.batch(&name).await;
            if history.rng.random_bool(0.4) {
                history.pass_time(&name).await;
            }
        }
        for (obstacle, count) in std::mem::take(&mut history.shop.refused) {
            *history
                .cases
                .entry(format!("refused: {obstacle}"))
                .or_default() += count;
        }
        let [product, store] = history.shop.due;
        *cases
            .entry("due by an event about the product".to_owned())
            .or_default() += product;
        *cases
            .entry("due by an event about the store".to_owned())
            .or_default() += store;
    }
    for (case, count) in &cases {
        println!("{count:>8}  {case}");
    }
    let missing: Vec<_> = cases.iter().filter(|(_, count)| **count == 0).collect();
    assert!(missing.is_empty(), "seed {seed}: never met {missing:?}");
}

impl History<'_> {
    fn case(&mut self, case: impl Into<String>) {
        *self.cases.entry(case.into()).or_default() += 1;
    }

    async fn run(&self, sql: &str) {
        let done = self.sink.database.batch_execute(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn begin(&mut self) {
        self.run(
            "truncate promotion_rule, promotion_condition, promotion_eligibility, promotion,
                 promotion_outbox, promotion_delivery, shopper_event, inventory_image, order_image, customer_image, sales_hourly,
                 purchase_habit, store_product, batch_eligibility",
        )
        .await;
        for id in 1..=3 {
            self.write_rule(id).await;
        }
        for id in 1..=4 {
            let tier = *["premium", "premium", "standard"]
                .choose(&mut self.rng)
                .unwrap();
            let customer = Customer {
                present: true,
                tier,
                contact: true,
            };
            self.write_customer(id, customer).await;
        }
        self.sweep("the beginning", false).await;
    }

    /// Writes a rule anew, or edits it.
    async fn write_rule(&mut self, id: i64) {
        let rng = &mut self.rng;
        let mut choose = |from: &[i64]| *from.choose(&mut *rng).unwrap();
        let rule = Rule {
            id,
            tier: if id == 3 { "standard" } else { "premium" },
            habit_orders: choose(&[1, 2, 2, 3]),
            habit_days: choose(&[1, 7, 28]),
            demand_days: choose(&[1, 7, 14]),
            cover_days: choose(&[0, 1, 3, 14]),
            on_hand_min: choose(&[0, 1, 5]),
            valid_for: choose(&[MINUTE, 2 * HOUR, DAY]),
            cooldown: choose(&[0, HOUR, 3 * DAY]),
            codes_max: choose(&[1, 2, 5]),
            rest: choose(&[0, HOUR, DAY]),
            daily_limit: choose(&[1, 2, 4, 100]),
            enabled: choose(&[0, 1, 1, 1, 1]) == 1,
            starts_at: self.now + choose(&[-DAY, -DAY, -DAY, 0, HOUR]),
            intent_window: Some(choose(&[0, 15 * MINUTE, 3 * HOUR])).filter(|window| *window > 0),
        };
        let (trigger, window) = match rule.intent_window {
            Some(window) => ("intent", window),
            None => ("stock", 15 * MINUTE),
        };
        let sql = format!(
            "insert into promotion_rule
                 (rule_id, name, tier, habit_orders, habit_window, demand_window,
                  days_of_cover_min, on_hand_min, valid_for, cooldown, codes_max,
                  rest_after_order, daily_limit, enabled, starts_at, trigger, intent_window)
             values ({id}, 'rule {id}', '{}', {}, interval '{} days', interval '{} days', {}, {},
                     {} * interval '1 us', {} * interval '1 us', {}, {} * interval '1 us', {}, {}, {},
                     '{trigger}', {window} * interval '1 us')
             on conflict (rule_id) do update set
                 habit_orders = excluded.habit_orders, habit_window = excluded.habit_window,
                 demand_window = excluded.demand_window,
                 days_of_cover_min = excluded.days_of_cover_min,
                 on_hand_min = excluded.on_hand_min, valid_for = excluded.valid_for,
                 cooldown = excluded.cooldown, codes_max = excluded.codes_max,
                 rest_after_order = excluded.rest_after_order, daily_limit = excluded.daily_limit,
                 enabled = excluded.enabled, starts_at = excluded.starts_at,
                 trigger = excluded.trigger, intent_window = excluded.intent_window",
            rule.tier, rule.habit_orders, rule.habit_days, rule.demand_days, rule.cover_days,
            rule.on_hand_min, rule.valid_for, rule.cooldown, rule.codes_max, rule.rest,
            rule.daily_limit, rule.enabled, sql_time(rule.starts_at),
        );
        self.run(&sql).await;
        self.shop.rules.insert(id, rule);
    }

    async fn write_customer(&mut self, id: i64, customer: Customer) {
        let Customer {
            present,
            tier,
            contact,
        } = &customer;
        self.run(&format!(
            "delete from customer_image where customer_id = {id};
             select put_customer({id}, '{tier}', {contact});
             update customer_image set present = {present} where customer_id = {id}"
        ))
        .await;
        self.shop.customers.insert(id, customer);
    }

    fn next_position(&mut self) -> Position {
        self.position += 1;
        format!("1:0/{:X}:1", self.position).parse().unwrap()
    }

    /// A few changes at this minute, evaluated as one batch.
    async fn batch(&mut self, name: &str) {
        // Still the same minute.
        if self.now.rem_euclid(MINUTE) < 55 * SECOND {
            self.now += self.rng.random_range(0..3) * SECOND / 2;
        }
        let mut touched = Touched::default();
        for _ in 0..self.rng.random_range(1..=4) {
            self.change(&mut touched).await;
        }
        for _ in 0..self.rng.random_range(0..=5) {
            self.event().await;
        }
        let before = self.tables().await;
        self.sink.policy.at = Some(Timestamp::from_micros(self.now));
        let applied = format!(
            "update consumer_offset set applied_until = {}",
            sql_time(self.now)
        );
        self.run(&applied).await;
        let transaction = self.sink.database.transaction().await.unwrap();
        derive(&transaction).await;
        pairs(&transaction).await;
        let evaluation = Evaluation::begin(&transaction, &self.sink.statements, &self.sink.policy)
            .await
            .unwrap();
        evaluation.decide(&touched).await.unwrap();
        transaction.commit().await.unwrap();
        let after = self.tables().await;
        self.check(name, &after);
        let born = after.eligible.difference(&before.eligible).copied();
        let candidates = born.chain(after.eligible.iter().copied().filter(|tuple| {
            let pair = Pair {
                store_id: tuple[2],
                product_id: tuple[3],
            };
            touched.customers.contains_key(&tuple[1])
                || touched
                    .tuples
                    .keys()
                    .any(|one| one.customer_id == tuple[1] && one.pair == pair)
        }));
        let candidates: BTreeSet<RuleTuple> = candidates.collect();
        self.shop.issue(&candidates, self.now);
        self.check_codes(name, "batch").await;
        if before.eligible.difference(&after.eligible).next().is_some() {
            self.case("ceased to be eligible in a batch");
        }
    }

    async fn change(&mut self, touched: &mut Touched) {
        let pair = Pair {
            store_id: self.rng.random_range(1..=2),
            product_id: self.rng.random_range(1..=2),
        };
        let key = (pair.store_id, pair.product_id);
        let position = self.next_position();
        match self.rng.random_range(0..10) {
            0..4 => {
                let level = [None, Some(0), Some(2), Some(6), Some(15), Some(60)];
                let level: Option<i64> = *level.choose(&mut self.rng).unwrap();
                let shown = level.map_or("null".to_owned(), |level| level.to_string());
                self.run(&format!("select put_level({}, {}, {shown})", key.0, key.1))
                    .await;
                self.shop.levels.insert(key, level);
                touched.stock(pair, position, Timestamp::from_micros(self.now));
            }
            4..7 => {
                let order = Order {
                    customer: self.rng.random_range(1..=4),
                    pair: key,
                    units: self.rng.random_range(0..=3),
                    placed_at: self.now
                        - *[0, HOUR, DAY, 2 * DAY, 6 * DAY, 20 * DAY]
                            .choose(&mut self.rng)
                            .unwrap()
                        + self.rng.random_range(-40 * MINUTE..MINUTE),
                    cancelled: false,
                };
                let id = self.shop.orders.len() as i64;
                self.run(&format!(
                    "select put_order({id}, {}, {}, {}, {}, {})",
                    order.customer,
                    key.0,
                    key.1,
                    order.units,
                    sql_time(order.placed_at)
                ))
                .await;
                touched.order(
                    Some(order.customer),
                    pair,
                    position,
                    Timestamp::from_micros(self.now),
                );
                self.shop.orders.insert(id, order);
            }
            7 => {
                let ids: Vec<i64> = self.shop.orders.keys().copied().collect();
                let Some(id) = ids.choose(&mut self.rng) else {
                    return;
                };
                let order = self.shop.orders.get_mut(id).unwrap();
                order.cancelled = !order.cancelled;
                let (customer, pair) = (order.customer, order.pair);
                self.run(&format!(
                    "update order_image set cancelled = not cancelled where order_id = {id}"
                ))
                .await;
                let pair = Pair {
                    store_id: pair.0,
                    product_id: pair.1,
                };
                touched.order(
                    Some(customer),
                    pair,
                    position,
                    Timestamp::from_micros(self.now),
                );
            }
            _ => {
                let id = self.rng.random_range(1..=4);
                let customer = Customer {
                    present: self.rng.random_bool(0.9),
                    tier: ["premium", "standard"].choose(&mut self.rng).unwrap(),
                    contact: self.rng.random_bool(0.8),
                };
                self.write_customer(id, customer).await;
                touched.customer(id, position, Timestamp::from_micros(self.now));
            }
        }
    }

    /// A shopper does something, or the news of it is late, or its clock is ahead.
    async fn event(&mut self) {
        let ago = [
            0,
            0,
            0,
            0,
            MINUTE,
            10 * MINUTE,
            15 * MINUTE,
            HOUR,
            4 * HOUR,
            -MINUTE,
            -2 * MINUTE,
        ];
        let event = Event {
            customer: self.rng.random_range(1..=4),
            store: self.rng.random_range(1..=2),
            product: *[None, None, Some(1), Some(2)]
                .choose(&mut self.rng)
                .unwrap(),
            at: self.now - *ago.choose(&mut self.rng).unwrap(),
            used: false,
        };
        let id = self.shop.events.len();
        let product = event.product.map_or("null".to_owned(), |id| id.to_string());
        let kind = if event.product.is_some() {
            "product_viewed"
        } else {
            "store_entered"
        };
        self.run(&format!(
            "insert into shopper_event
                 (event_id, type, customer_id, store_id, product_id, occurred_at, received_at)
             values (lpad('{id}', 32, '0')::uuid, '{kind}', {}, {}, {product}, {}, {})",
            event.customer,
            event.store,
            sql_time(event.at),
            sql_time(self.now),
        ))
        .await;
        self.shop.events.push(event);
    }

    /// The clock goes on, rules may be edited, codes may be dispatched or withdrawn; then a sweep.
    async fn pass_time(&mut self, name: &str) {
        let leap = [MINUTE, 7 * MINUTE, HOUR, 5 * HOUR, DAY, 6 * DAY];
        self.now += *leap.choose(&mut self.rng).unwrap();
        self.now -= self.now.rem_euclid(MINUTE);
        self.now += self.rng.random_range(0..10) * SECOND;
        if self.rng.random_bool(0.2) {
            let id = self.rng.random_range(1..=3);
            self.write_rule(id).await;
        }
        self.run(
            "update promotion set state = case when cycle = 3 then 'withdrawn' else 'dispatched' end
             where state = 'issued'; delete from promotion_outbox",
        )
        .await;
        for code in &mut self.shop.codes {
            if code.state == "issued" {
                let state = if code.cycle == 3 {
                    "withdrawn"
                } else {
                    "dispatched"
                };
                state.clone_into(&mut code.state);
            }
        }
        self.sweep(name, true).await;
    }

    async fn sweep(&mut self, name: &str, counted: bool) {
        let before = self.tables().await;
        let applied = format!(
            "update consumer_offset set applied_until = {}",
            sql_time(self.now)
        );
        self.run(&applied).await;
        self.sweeper.set_at(Timestamp::from_micros(self.now));
        self.sweeper.evaluate().await.unwrap();
        let after = self.tables().await;
        self.check(name, &after);
        self.shop.expire(self.now);
        self.explain(name).await;
        self.sweeper.issue().await.unwrap();
        self.shop.issue(&after.eligible, self.now);
        self.check_codes(name, "sweep").await;
        if counted && before.eligible.difference(&after.eligible).next().is_some() {
            self.case("ceased to be eligible by time");
        }
        // Once more, at the same moment, nothing changes.
        let codes = self.shop.codes.len();
        self.sweeper.evaluate().await.unwrap();
        self.sweeper.issue().await.unwrap();
        assert_eq!(self.tables().await.eligible, after.eligible, "{name}");
        self.check_codes(name, "sweep").await;
        assert_eq!(self.shop.codes.len(), codes, "{name}");
    }

    /// What is explained of some customer and product is what the model says.
    async fn explain(&mut self, name: &str) {
        let eligible = self.shop.eligible(self.now);
        let any = [0; 3].map(|_| self.rng.random_range(1..=2));
        let listed: Vec<_> = eligible
            .iter()
            .map(|one| [one[1], one[2], one[3]])
            .collect();
        let [customer_id, store_id, product_id] = *listed
            .choose(&mut self.rng)
            .filter(|_| any[0] == 1)
            .unwrap_or(&any);
        let question = Question {
            customer_id,
            product_id,
            store_id: Some(store_id),
            rule_id: None,
        };
        let policy = Policy {
            at: Some(Timestamp::from_micros(self.now)),
            ..self.sink.policy.clone()
        };
        let Sink {
            database,
            statements,
            ..
        } = &mut *self.sink;
        let explained = explain(database, statements, &policy, question).await;
        for tuple in explained.unwrap().tuples {
            let numbers = [tuple.rule_id, customer_id, store_id, product_id];
            let eligible = eligible.contains(&numbers);
            let issuable = eligible && self.shop.may_have(numbers, self.now);
            let found = (tuple.eligible, tuple.issuable, tuple.listed);
            assert_eq!(found, (eligible, issuable, eligible), "{name}, {tuple:?}");
            self.case(match (eligible, issuable) {
                (_, true) => "explained: a code may be issued",
                (true, false) => "explained: eligible",
                (false, false) => "explained: not eligible",
            });
        }
    }

    fn check(&mut self, name: &str, tables: &Tables) {
        assert_eq!(tables.conditions, self.shop.conditions(self.now), "{name}");
        assert_eq!(tables.eligible, self.shop.eligible(self.now), "{name}");
    }

    /// The ledger is the model's, row by row.
    async fn check_codes(&mut self, name: &str, by: &str) {
        let sql = "
            select rule_id, customer_id, store_id, product_id, cycle::bigint, state,
                   (extract(epoch from issued_at) * 1000000)::bigint,
                   (extract(epoch from valid_until) * 1000000)::bigint
            from promotion";
        let rows = self.sink.database.query(sql, &[]).await.unwrap();
        let code = |row: &tokio_postgres::Row| Code {
            tuple: [0, 1, 2, 3].map(|column| row.get(column)),
            cycle: row.get(4),
            state: row.get(5),
            issued_at: row.get(6),
            valid_until: row.get(7),
        };
        let shown = |codes: &[Code]| -> BTreeSet<String> {
            codes.iter().map(|code| format!("{code:?}")).collect()
        };
        let found: Vec<Code> = rows.iter().map(code).collect();
        assert_eq!(shown(&found), shown(&self.shop.codes), "{name}, by a {by}");
        for code in &found {
            if code.issued_at == self.now {
                self.case(format!("code of a {by}"));
                if code.cycle == 2 {
                    self.case("second cycle");
                }
            }
            if code.state == "expired" {
                self.case("expired");
            }
        }
    }

    async fn tables(&mut self) -> Tables {
        let sql = "select rule_id, store_id, product_id, on_hand::bigint, units, hours, holds
                   from promotion_condition";
        let rows = self.sink.database.query(sql, &[]).await.unwrap();
        let condition = |row: &tokio_postgres::Row| {
            let key = (row.get(0), row.get(1), row.get(2));
            (key, (row.get(3), row.get(4), row.get(5), row.get(6)))
        };
        let conditions = rows.iter().map(condition).collect();
        let sql = "select rule_id, customer_id, store_id, product_id, cause,
                          cause_position is null, (extract(epoch from since) * 1000000)::bigint
                   from promotion_eligibility";
        let rows = self.sink.database.query(sql, &[]).await.unwrap();
        for row in &rows {
            let cause: String = row.get(4);
            let by_clock = ["time", "rule"].contains(&cause.as_str());
            assert_eq!(row.get::<_, bool>(5), by_clock, "{cause}");
            if row.get::<_, i64>(6) == self.now {
                self.case(format!("became eligible by {cause}"));
            }
        }
        let tuple = |row: &tokio_postgres::Row| [0, 1, 2, 3].map(|column| row.get(column));
        Tables {
            conditions,
            eligible: rows.iter().map(tuple).collect(),
        }
    }
}

struct Tables {
    conditions: BTreeMap<(i64, i64, i64), Condition>,
    eligible: BTreeSet<RuleTuple>,
}
