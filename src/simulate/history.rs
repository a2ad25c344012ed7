//! The past, drawn from the seed: customers, weeks of orders, and the levels that they left.
//!
//! It is made so that the default rule finds work at once: premium customers buy their favourites every
//! week or so, and every 25th of the less popular levels is far above what sells in two weeks.

use std::collections::BTreeMap;

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::rhythm;
use super::shop::{Pair, Size, Status, target_stock};

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;
const WEEK_S: i64 = 7 * DAY_S;

/// Products that never start overstocked: the most popular ones would alone fill the daily limit.
const POPULAR_PRODUCTS: i64 = 10;

/// Everything that the tables hold before the shop opens.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) customers: Vec<Customer>,
    /// Oldest first; the n-th has order id n.
    pub(super) orders: Vec<PastOrder>,
    pub(super) levels: Vec<Level>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Customer {
    pub(super) id: i64,
    pub(super) premium: bool,
    pub(super) contact_allowed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PastOrder {
    /// Seconds before the opening at which it was placed.
    pub(super) age_s: i64,
    pub(super) customer_id: i64,
    pub(super) pair: Pair,
    pub(super) quantity: i32,
    pub(super) status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) pair: Pair,
    pub(super) on_hand: i32,
    pub(super) target_stock: i32,
}

/// Draws the past of a shop.
///
/// It has a rhythm, of hours, days and seasons, if it is told when the shop opens, seconds since 1970.
pub(super) fn history(size: Size, seed: u64, opening_s: Option<u64>) -> History {
    let mut past = Past::new(size, seed, opening_s);
    let customers: Vec<Customer> = size.customers().map(|id| past.customer(id)).collect();
    let mut orders = Vec::new();
    for customer in &customers {
        if customer.premium {
            past.favourites(customer.id, &mut orders);
        } else {
            past.now_and_then(customer.id, &mut orders);
        }
    }
    // Stable: orders of one second keep the order in which they were drawn.
    orders.sort_by_key(|order: &PastOrder| std::cmp::Reverse(order.age_s));
    let levels = past.levels(&orders);
    History {
        customers,
        orders,
        levels,
    }
}

struct Past {
    rng: ChaCha8Rng,
    pairs: Vec<Pair>,
    /// Absent only when there are no pairs.
    popularity: Option<WeightedIndex<u64>>,
    length_s: i64,
    opening_s: Option<u64>,
}

impl Past {
    fn new(size: Size, seed: u64, opening_s: Option<u64>) -> Past {
        let pairs: Vec<Pair> = size
            .stores()
            .flat_map(|store_id| {
                size.products().map(move |product_id| Pair {
                    store_id,
                    product_id,
                })
            })
            .collect();
        Past {
            rng: ChaCha8Rng::seed_from_u64(seed),
            popularity: WeightedIndex::new(pairs.iter().map(|pair| pair.popularity())).ok(),
            pairs,
            length_s: i64::from(size.weeks) * WEEK_S,
            opening_s,
        }
    }

    fn customer(&mut self, id: i64) -> Customer {
        Customer {
            id,
            premium: self.rng.random_ratio(1, 5),
            contact_allowed: self.rng.random_ratio(17, 20),
        }
    }

    fn pair(&mut self) -> Option<Pair> {
        let index = self.popularity.as_ref()?.sample(&mut self.rng);
        self.pairs.get(index).copied()
    }

    fn pair_in_season(&mut self, age_s: i64) -> Option<Pair> {
        loop {
            let pair = self.pair()?;
            let then_s = self.then_s(age_s);
            let product_id = pair.product_id;
            if then_s.is_none_or(|then_s| rhythm::is_wanted(product_id, then_s, &mut self.rng)) {
                return Some(pair);
            }
        }
    }

    /// When it was, seconds since 1970, if there is a rhythm.
    fn then_s(&self, age_s: i64) -> Option<u64> {
        self.opening_s?.checked_sub(age_s.unsigned_abs())
    }

    /// An age moved to a busier day and hour, by at most three days and some hours.
    fn in_rhythm(&mut self, age_s: i64) -> i64 {
        const DAYS: [i64; 7] = [-3, -2, -1, 0, 1, 2, 3];
        let Some(then_s) = self.then_s(age_s) else {
            return age_s;
        };
        let midnight_s = then_s - then_s % rhythm::DAY_S;
        let day_s = |days: &i64| midnight_s.saturating_add_signed(days * DAY_S);
        let busy = |days: &i64| rhythm::day(day_s(days));
        let Ok(days) = DAYS.choose_weighted(&mut self.rng, busy) else {
            return age_s;
        };
        let hours: Vec<(u64, u64)> = (0..).zip(rhythm::HOURS).collect();
        let Ok((hour, _)) = hours.choose_weighted(&mut self.rng, |(_, busy)| *busy) else {
            return age_s;
        };
        let within_s = self.rng.random_range(0..rhythm::HOUR_S);
        let moved_s = day_s(days) + hour * rhythm::HOUR_S + within_s;
        // Neither before the beginning nor to come.
        let age_then = |opening_s: u64| opening_s.checked_sub(moved_s);
        let moved = self.opening_s.and_then(age_then);
        let moved = moved.and_then(|age| i64::try_from(age).ok());
        moved.filter(|age| *age < self.length_s).unwrap_or(age_s)
    }

    /// A few favourites, each bought every 6 to 11 days.
    fn favourites(&mut self, customer_id: i64, orders: &mut Vec<PastOrder>) {
        for _ in 0..self.rng.random_range(3..=5) {
            let Some(pair) = self.pair() else { return };
            let interval_s = self.rng.random_range(6 * DAY_S..=11 * DAY_S);
            let mut age_s = self.rng.random_range(0..interval_s);
            while age_s < self.length_s {
                orders.push(self.order(age_s, customer_id, pair));
                age_s += interval_s + self.rng.random_range(-12 * HOUR_S..=12 * HOUR_S);
            }
        }
    }

    /// About two orders in five weeks, of whatever is popular.
    fn now_and_then(&mut self, customer_id: i64, orders: &mut Vec<PastOrder>) {
        let mut age_s = self.rng.random_range(0..5 * WEEK_S);
        while age_s < self.length_s {
            let Some(pair) = self.pair_in_season(age_s) else {
                return;
            };
            orders.push(self.order(age_s, customer_id, pair));
            age_s += self.rng.random_range(WEEK_S..4 * WEEK_S);
        }
    }

    fn order(&mut self, age_s: i64, customer_id: i64, pair: Pair) -> PastOrder {
        let age_s = self.in_rhythm(age_s);
        let status = match (age_s < 2 * HOUR_S, self.rng.random_range(0..100)) {
            (true, 0..30) => Status::Placed,
            (true, 30..60) => Status::Paid,
            (true, 60..90) => Status::Shipped,
            (false, 0..4) => Status::Cancelled,
            (false, 4..7) => Status::Returned,
            (_, _) => Status::Delivered,
        };
        PastOrder {
            age_s,
            customer_id,
            pair,
            quantity: self.rng.random_range(1..=3),
            status,
        }
    }

    fn levels(&mut self, orders: &[PastOrder]) -> Vec<Level> {
        let mut week: BTreeMap<Pair, i32> = BTreeMap::new();
        for order in orders {
            if order.age_s < WEEK_S && order.status.counts() {
                *week.entry(order.pair).or_default() += order.quantity;
            }
        }
        let pairs = std::mem::take(&mut self.pairs);
        let level = |pair: Pair| self.level(pair, week.get(&pair).copied().unwrap_or(0));
        pairs.into_iter().map(level).collect()
    }

    /// Half a week's to one and a half weeks' sales; overstock is four weeks' and more.
    fn level(&mut self, pair: Pair, week_units: i32) -> Level {
        let overstocked = pair.product_id > POPULAR_PRODUCTS && self.rng.random_ratio(1, 25);
        let on_hand = if overstocked {
            4 * week_units + self.rng.random_range(20..=60)
        } else if week_units < 3 {
            self.rng.random_range(0..=4)
        } else {
            self.rng.random_range(week_units / 2..=week_units * 3 / 2)
        };
        Level {
            pair,
            on_hand,
            target_stock: target_stock(week_units),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 28th of November 2026, 12:00.
    const SATURDAY_S: u64 = 1_795_867_200;
    const SMALL: Size = Size {
        stores: 3,
        products: 40,
        customers: 1_000,
        weeks: 5,
    };

    #[test]
    fn the_same_seed_gives_the_same_past() {
        assert_eq!(history(SMALL, 7, None), history(SMALL, 7, None));
        assert_ne!(history(SMALL, 7, None), history(SMALL, 8, None));
    }

    #[test]
    fn the_first_product_sells_best() {
        let past = history(SMALL, 7, None);
        let sold = |product_id: i64| {
            let of_product = past
                .orders
                .iter()
                .filter(|o| o.pair.product_id == product_id);
            of_product.count()
        };
        assert!(sold(1) > 3 * sold(8), "{} and {}", sold(1), sold(8));
        assert!(sold(40) > 0);
    }

    #[test]
    fn the_past_has_the_rhythm_of_the_shop() {
        let past = history(Size::default(), 7, Some(SATURDAY_S));
        let count = |of: &dyn Fn(u64) -> bool| {
            let then_s = |order: &&PastOrder| SATURDAY_S - order.age_s.unsigned_abs();
            let orders = past.orders.iter().filter(|order| order.age_s > 4 * DAY_S);
            orders.filter(|order| of(then_s(order))).count() as f64
        };
        let day = |at: u64| count(&|then_s| rhythm::day(then_s) == at);
        let hour = |at: u64| count(&|then_s| then_s / rhythm::HOUR_S % 24 == at);
        // Two of the days are as quiet as a Monday.
        assert!(
            day(150) > 1.5 * day(80) / 2.0,
            "{} and {}",
            day(150),
            day(80)
        );
        assert!(hour(19) > 8.0 * hour(3), "{} and {}", hour(19), hour(3));
        // Habits go on the whole year; what others buy is what is in season, at the end of November group 3 and not 1.
        let sold = |group: i64| {
            let of_group = |order: &&PastOrder| order.pair.product_id % 4 == group;
            let popular = |order: &&PastOrder| (16..200).contains(&order.pair.product_id);
            let orders = past.orders.iter().filter(popular).filter(of_group);
            orders.count() as f64
        };
        assert!(sold(0) > 1.2 * sold(2), "{} and {}", sold(0), sold(2));
        assert!(
            past.orders
                .iter()
                .all(|order| (0..5 * WEEK_S).contains(&order.age_s))
        );
    }

    #[test]
    fn the_default_rule_finds_work_within_its_limits() {
        for seed in 0..5 {
            for opening_s in [None, Some(SATURDAY_S)] {
                let past = history(Size::default(), seed, opening_s);
                let tuples = eligible(&past);
                println!("seed {seed}: {} orders, {tuples} tuples", past.orders.len());
                assert!((100..1_000).contains(&tuples), "seed {seed}: {tuples}");
            }
        }
    }

    /// Tuples with two orders in 28 days, the last a day ago or longer, of a premium customer who may be
    /// contacted, on a level of at least two weeks' sales.
    fn eligible(past: &History) -> usize {
        let mut week: BTreeMap<Pair, i32> = BTreeMap::new();
        let mut tuples: BTreeMap<(i64, Pair), (u32, i64)> = BTreeMap::new();
        for order in past.orders.iter().filter(|order| order.status.counts()) {
            if order.age_s < WEEK_S {
                *week.entry(order.pair).or_default() += order.quantity;
            }
            let (orders, youngest) = tuples
                .entry((order.customer_id, order.pair))
                .or_insert((0, i64::MAX));
            *orders += u32::from(order.age_s < 28 * DAY_S);
            *youngest = order.age_s.min(*youngest);
        }
        let over: Vec<Pair> = past
            .levels
            .iter()
            .filter(|level| level.on_hand >= 5)
            .filter(|level| level.on_hand >= 2 * week.get(&level.pair).copied().unwrap_or(0))
            .map(|level| level.pair)
            .collect();
        let wanted = |id: i64| {
            let index = usize::try_from(id - 1).unwrap();
            past.customers[index].premium && past.customers[index].contact_allowed
        };
        tuples
            .iter()
            .filter(|((customer, pair), (orders, youngest))| {
                *orders >= 2 && *youngest >= DAY_S && wanted(*customer) && over.contains(pair)
            })
            .count()
    }
}
