//! Promotion rules in the plainest way: every question is answered by walking over everything.
//!
//! Times are microseconds since 1970.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: i64,
    pub(crate) tier: &'static str,
    pub(crate) habit_orders: i64,
    pub(crate) habit_days: i64,
    pub(crate) demand_days: i64,
    pub(crate) cover_days: i64,
    pub(crate) on_hand_min: i64,
    pub(crate) valid_for: i64,
    pub(crate) cooldown: i64,
    pub(crate) codes_max: i64,
    pub(crate) rest: i64,
    pub(crate) daily_limit: i64,
    pub(crate) enabled: bool,
    pub(crate) starts_at: i64,
    /// How long an event shows interest; `None` under a rule that asks for none.
    pub(crate) intent_window: Option<i64>,
}

/// What a shopper did in a store, with a product or without.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) customer: i64,
    pub(crate) store: i64,
    pub(crate) product: Option<i64>,
    pub(crate) at: i64,
    /// Has made a tuple due already; only those without a product ever have.
    pub(crate) used: bool,
}

/// Whether a tuple is due, and the event that is used up by it.
enum Due {
    Yes,
    ByEntry(usize),
    No,
}

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) customer: i64,
    pub(crate) pair: (i64, i64),
    pub(crate) units: i64,
    pub(crate) placed_at: i64,
    pub(crate) cancelled: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) present: bool,
    pub(crate) tier: &'static str,
    pub(crate) contact: bool,
}

/// Rule, customer, store, product.
pub(crate) type RuleTuple = [i64; 4];

#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) tuple: RuleTuple,
    pub(crate) cycle: i64,
    pub(crate) state: String,
    pub(crate) issued_at: i64,
    pub(crate) valid_until: i64,
}

/// `promotion_condition` without its key: level, units, hours, holds.
pub(crate) type Condition = (Option<i64>, i64, i64, bool);

#[derive(Clone, Debug, Default)]
pub(crate) struct Shop {
    pub(crate) rules: BTreeMap<i64, Rule>,
    pub(crate) orders: BTreeMap<i64, Order>,
    pub(crate) levels: BTreeMap<(i64, i64), Option<i64>>,
    pub(crate) customers: BTreeMap<i64, Customer>,
    pub(crate) codes: Vec<Code>,
    pub(crate) events: Vec<Event>,
    pub(crate) customer_limit: usize,
    /// Percent of the customers, from bucket 0 on, that the stream issues codes to.
    pub(crate) stream_percent: u32,
    /// How often each limit kept a tuple from a code.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// How many codes events have made due: about the product, and about the store.
    pub(crate) due: [u64; 2],
}

/// Which percent of the customers it is in.
fn bucket(customer: i64) -> u32 {
    let digest = Sha256::digest(format!("tidewater:{customer}"));
    u32::from_be_bytes(digest[..4].try_into().unwrap()) % 100
}

impl Shop {
    fn running(&self, minute: i64) -> Vec<Rule> {
        let runs = |rule: &&Rule| rule.enabled && rule.starts_at <= minute;
        self.rules.values().filter(runs).cloned().collect()
    }

    fn condition(&self, rule: &Rule, pair: (i64, i64), minute: i64) -> Condition {
        let hour = |at: i64| at.div_euclid(HOUR) * HOUR;
        let window = rule.demand_days * 24;
        let (mut units, mut sold_in) = (0, BTreeMap::new());
        for order in self.orders.values() {
            if order.pair == pair && !order.cancelled {
                *sold_in.entry(hour(order.placed_at)).or_insert(0) += order.units;
            }
        }
        for (at, sold) in &sold_in {
            if *at >= hour(minute) - window * HOUR {
                units += sold;
            }
        }
        let first = sold_in.iter().find(|(_, sold)| **sold > 0);
        let hours = match first {
            None => window,
            Some((at, _)) => ((hour(minute) - at) / HOUR).clamp(24, window),
        };
        let level = self.levels.get(&pair).copied().flatten();
        let holds = level.is_some_and(|level| {
            level >= rule.on_hand_min && level * hours >= 24 * rule.cover_days * units
        });
        (level, units, hours, holds)
    }

    fn pairs(&self) -> BTreeSet<(i64, i64)> {
        let ordered = self.orders.values().map(|order| order.pair);
        self.levels.keys().copied().chain(ordered).collect()
    }

    pub(crate) fn conditions(&self, now: i64) -> BTreeMap<(i64, i64, i64), Condition> {
        let minute = now.div_euclid(MINUTE) * MINUTE;
        let mut conditions = BTreeMap::new();
        for rule in self.running(minute) {
            for pair in self.pairs() {
                let condition = self.condition(&rule, pair, minute);
                conditions.insert((rule.id, pair.0, pair.1), condition);
            }
        }
        conditions
    }

    pub(crate) fn eligible(&self, now: i64) -> BTreeSet<RuleTuple> {
        let minute = now.div_euclid(MINUTE) * MINUTE;
        let mut eligible = BTreeSet::new();
        for rule in self.running(minute) {
            for (id, customer) in &self.customers {
                for pair in self.pairs() {
                    let habit = self.orders.values().filter(|order| {
                        order.customer == *id
                            && order.pair == pair
                            && !order.cancelled
                            && order.placed_at > minute - rule.habit_days * DAY
                    });
                    if customer.present
                        && customer.tier == rule.tier
                        && habit.count() as i64 >= rule.habit_orders
                        && self.condition(&rule, pair, minute).3
                    {
                        eligible.insert([rule.id, *id, pair.0, pair.1]);
                    }
                }
            }
        }
        eligible
    }

    fn last_order(&self, [_, customer, store, product]: RuleTuple) -> i64 {
        self.orders
            .values()
            .filter(|order| {
                order.customer == customer && order.pair == (store, product) && !order.cancelled
            })
            .map(|order| order.placed_at)
            .max()
            .unwrap()
    }

    fn excess(&self, [rule, _, store, product]: RuleTuple, now: i64) -> i64 {
        let rule = &self.rules[&rule];
        let minute = now.div_euclid(MINUTE) * MINUTE;
        let (level, units, hours, _) = self.condition(rule, (store, product), minute);
        (level.unwrap() * hours - 24 * rule.cover_days * units) / hours
    }

    /// What keeps an eligible tuple from a code at this moment.
    fn obstacle(&self, tuple: RuleTuple, now: i64) -> Option<&'static str> {
        let [rule_id, customer, store, product] = tuple;
        let rule = &self.rules[&rule_id];
        let counting = || self.codes.iter().filter(|code| code.state != "withdrawn");
        let live = |code: &&Code| {
            ["issued", "dispatched"].contains(&code.state.as_str()) && now <= code.valid_until
        };
        let own = || counting().filter(|code| code.tuple == tuple);
        let today = now.div_euclid(DAY) * DAY;
        let of_pair = counting().filter(|code| code.tuple[2..] == [store, product]);
        if bucket(customer) >= self.stream_percent {
            Some("arm")
        } else if !self.customers[&customer].contact {
            Some("consent")
        } else if own().any(|code| live(&code)) {
            Some("live code")
        } else if own().any(|code| now - code.issued_at <= rule.cooldown) {
            Some("cooldown")
        } else if now - self.last_order(tuple) < rule.rest {
            Some("rest")
        } else if own()
            .filter(|code| code.issued_at > self.last_order(tuple))
            .count() as i64
            >= rule.codes_max
        {
            Some("codes since the last order")
        } else if counting()
            .filter(|code| code.tuple[0] == rule_id && code.issued_at >= today)
            .count() as i64
            >= rule.daily_limit
        {
            Some("daily limit")
        } else if counting()
            .filter(|code| code.tuple[1] == customer && now - code.issued_at < DAY)
            .count()
            >= self.customer_limit
        {
            Some("customer limit")
        } else if of_pair.filter(live).count() as i64 + 1 > self.excess(tuple, now) {
            Some("excess")
        } else {
            None
        }
    }

    fn due(&self, [rule, customer, store, product]: RuleTuple, now: i64) -> Due {
        let Some(window) = self.rules[&rule].intent_window else {
            return Due::Yes;
        };
        let near = |event: &Event| {
            (event.customer, event.store) == (customer, store)
                && event.at > now - window
                && event.at <= now + MINUTE
        };
        let about = |event: &Event| event.product == Some(product);
        if self.events.iter().any(|event| near(event) && about(event)) {
            return Due::Yes;
        }
        let entries = self.events.iter().enumerate();
        let entry = entries
            .filter(|(_, event)| near(event) && event.product.is_none() && !event.used)
            .min_by_key(|(place, event)| (event.at, *place));
        entry.map_or(Due::No, |(place, _)| Due::ByEntry(place))
    }

    /// Whether an eligible tuple may have a code, as far as its own conditions and the limits go.
    pub(crate) fn may_have(&self, tuple: RuleTuple, now: i64) -> bool {
        self.obstacle(tuple, now).is_none() && !matches!(self.due(tuple, now), Due::No)
    }

    /// Gives codes to those of these eligible tuples that may have one, in the order of issue.
    pub(crate) fn issue(&mut self, tuples: &BTreeSet<RuleTuple>, now: i64) {
        let mut order: Vec<_> = tuples
            .iter()
            .map(|tuple| (-self.excess(*tuple, now), self.last_order(*tuple), *tuple))
            .collect();
        order.sort_unstable();
        for (_, _, tuple) in order {
            if let Some(obstacle) = self.obstacle(tuple, now) {
                *self.refused.entry(obstacle).or_default() += 1;
                continue;
            }
            let intent = self.rules[&tuple[0]].intent_window.is_some();
            match self.due(tuple, now) {
                Due::Yes => self.due[0] += u64::from(intent),
                Due::ByEntry(place) => {
                    self.events[place].used = true;
                    self.due[1] += 1;
                }
                Due::No => {
                    *self.refused.entry("no event").or_default() += 1;
                    continue;
                }
            }
            let cycles = self.codes.iter().filter(|code| code.tuple == tuple);
            self.codes.push(Code {
                tuple,
                cycle: cycles.map(|code| code.cycle).max().unwrap_or(0) + 1,
                state: "issued".to_owned(),
                issued_at: now,
                valid_until: now + self.rules[&tuple[0]].valid_for,
            });
        }
    }

    /// Dispatched codes whose time has run out.
    pub(crate) fn expire(&mut self, now: i64) {
        for code in &mut self.codes {
            if code.state == "dispatched" && code.valid_until < now {
                "expired".clone_into(&mut code.state);
            }
        }
    }
}
