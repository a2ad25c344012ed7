//! What one product in one store comes to: its day, and who is eligible. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::super::money::Money;
use super::super::time::{Hour, Timestamp};
use super::super::touched::Pair;

/// What eligibility under one rule asks for, at the batch's moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) rule_id: i64,
    pub(super) tier: String,
    /// Orders that a habit has.
    pub(super) orders: usize,
    /// An order makes a habit if it was placed later.
    pub(super) habit_since: Timestamp,
    /// Sales of this hour and later are the demand.
    pub(super) demand_since: Timestamp,
    pub(super) window_hours: i64,
    pub(super) cover_days: i32,
    pub(super) on_hand_min: i32,
    /// The hour that the moment lies in.
    pub(super) hour: Timestamp,
}

/// Who bought, where the source knows the customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) customer_id: i64,
    pub(super) tier: String,
    pub(super) contact_allowed: bool,
}

/// An uncancelled order that enters the aggregates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sale {
    pub(super) member: Option<Member>,
    pub(super) units: i32,
    pub(super) revenue: Money,
    pub(super) placed_at: Timestamp,
}

/// A row of `inventory_daily`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Daily {
    pub(super) pair: Pair,
    pub(super) closing: Option<i32>,
    pub(super) units: i64,
    pub(super) revenue: Money,
}

/// A row of `batch_eligibility`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Eligible {
    pub(super) rule_id: i64,
    pub(super) customer_id: i64,
    pub(super) pair: Pair,
    pub(super) on_hand: i32,
    pub(super) units: i64,
    pub(super) hours: i64,
    pub(super) last_at: Timestamp,
    pub(super) contact_allowed: bool,
}

/// Rows that are ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Folded {
    pub(super) daily: Vec<Daily>,
    pub(super) eligible: Vec<Eligible>,
}

impl Folded {
    pub(super) fn len(&self) -> usize {
        self.daily.len() + self.eligible.len()
    }
}

/// A customer who has bought: when last, as often as any rule asks.
struct Buyer {
    member: Member,
    latest: BinaryHeap<Reverse<Timestamp>>,
    last_at: Timestamp,
}

/// The pair under way.
pub(super) struct Pairs<'a> {
    rules: &'a [Terms],
    day: (Timestamp, Timestamp),
    /// Whether the level is the day's.
    recent: bool,
    /// Most orders that a rule asks for.
    orders_max: usize,
    sold: BTreeMap<Hour, i64>,
    units: i64,
    revenue: Money,
    sold_that_day: bool,
    buyers: HashMap<i64, Buyer>,
}

impl<'a> Pairs<'a> {
    /// Rules, and the day from its first moment up to, not including, the next day's.
    pub(super) fn new(rules: &'a [Terms], day: (Timestamp, Timestamp), recent: bool) -> Self {
        Pairs {
            rules,
            day,
            recent,
            orders_max: rules.iter().map(|rule| rule.orders).max().unwrap_or(0),
            sold: BTreeMap::new(),
            units: 0,
            revenue: Money::ZERO,
            sold_that_day: false,
            buyers: HashMap::new(),
        }
    }

    /// Takes one order of the pair.
    pub(super) fn sale(&mut self, sale: Sale) {
        let Sale {
            member,
            units,
            revenue,
            placed_at,
        } = sale;
        *self.sold.entry(placed_at.hour()).or_default() += i64::from(units);
        if (self.day.0..self.day.1).contains(&placed_at) {
            self.units += i64::from(units);
            self.revenue = self.revenue.plus(revenue);
            self.sold_that_day = true;
        }
        let Some(member) = member.filter(|one| self.rules.iter().any(|r| r.tier == one.tier))
        else {
            return;
        };
        let buyer = self.buyers.entry(member.customer_id).or_insert(Buyer {
            member,
            latest: BinaryHeap::new(),
            last_at: placed_at,
        });
        buyer.last_at = buyer.last_at.max(placed_at);
        buyer.latest.push(Reverse(placed_at));
        if buyer.latest.len() > self.orders_max {
            buyer.latest.pop();
        }
    }

    /// All of the pair's orders have been taken; `level` is its stock. The next pair begins.
    pub(super) fn finish(&mut self, pair: Pair, level: Option<i32>, folded: &mut Folded) {
        let closing = level.filter(|_| self.recent);
        if self.sold_that_day || closing.is_some() {
            folded.daily.push(Daily {
                pair,
                closing,
                units: self.units,
                revenue: self.revenue,
            });
        }
        if let Some(on_hand) = level {
            for rule in self.rules {
                let (units, hours) = self.demand(rule);
                if covered(rule, on_hand, units, hours) {
                    self.eligible(rule, (pair, on_hand), (units, hours), &mut folded.eligible);
                }
            }
        }
        self.sold.clear();
        self.buyers.clear();
        (self.units, self.revenue, self.sold_that_day) = (0, Money::ZERO, false);
    }

    /// Units sold in the rule's window, and the hours that they were observed for.
    fn demand(&self, rule: &Terms) -> (i64, i64) {
        const HOUR_US: i64 = 3_600_000_000;
        let units = self.sold.range(rule.demand_since.hour()..);
        let first = self.sold.iter().find(|(_, units)| **units > 0);
        let hours = match first {
            None => rule.window_hours,
            Some((hour, _)) => {
                let since = (rule.hour.micros() - hour.start().micros()) / HOUR_US;
                since.max(24).min(rule.window_hours)
            }
        };
        (units.map(|(_, units)| units).sum(), hours)
    }

    fn eligible(
        &self,
        rule: &Terms,
        (pair, on_hand): (Pair, i32),
        (units, hours): (i64, i64),
        eligible: &mut Vec<Eligible>,
    ) {
        for buyer in self.buyers.values() {
            let recent = buyer.latest.iter().filter(|at| at.0 > rule.habit_since);
            if buyer.member.tier == rule.tier && recent.count() >= rule.orders {
                eligible.push(Eligible {
                    rule_id: rule.rule_id,
                    customer_id: buyer.member.customer_id,
                    pair,
                    on_hand,
                    units,
                    hours,
                    last_at: buyer.last_at,
                    contact_allowed: buyer.member.contact_allowed,
                });
            }
        }
    }
}

/// Whether the stock side of a rule holds.
fn covered(rule: &Terms, on_hand: i32, units: i64, hours: i64) -> bool {
    let have = i128::from(on_hand) * i128::from(hours);
    let need = 24 * i128::from(rule.cover_days) * i128::from(units);
    on_hand >= rule.on_hand_min && have >= need
}
