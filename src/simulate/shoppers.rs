//! What shoppers do in the stores, drawn from a seed: visits, one event after the other.
//!
//! ```text
//! agenda (the next step of each visit under way) ──due──┐
//! a new visit ──────────────────────────────────────────┴─▶ Act { due, who, where, what }
//! ```
//!
//! A visit begins at the door, goes past a few products and now and then to the cart. What is due of the
//! visits under way comes first, so that their number settles by itself at whatever rate. Premium customers
//! come more often than others, and mostly for a product that they have bought before.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::ops::RangeInclusive;

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::pace::Pace;
use super::shop::Pair;
use crate::shopper::Kind;

/// Most visits under way; beyond, the next step is taken before it is due.
const VISITS_MAX: usize = 100_000;
/// How often somebody is looked for who is not in a store already.
const TRIES: usize = 8;
const SECOND_US: u64 = 1_000_000;

/// Who comes, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clientele {
    pub(super) stores: Vec<i64>,
    pub(super) products: Vec<i64>,
    pub(super) premium: Vec<i64>,
    pub(super) standard: Vec<i64>,
    /// What premium customers buy again and again.
    pub(super) favourites: HashMap<i64, Vec<Pair>>,
}

/// Something that a shopper does, and when it is due, microseconds after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Act {
    /// Counts all of them from 0.
    pub(super) number: u64,
    pub(super) due_us: u64,
    pub(super) kind: Kind,
    pub(super) customer_id: i64,
    pub(super) store_id: i64,
    pub(super) product_id: Option<i64>,
}

/// What a visit comes to next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    View(i64),
    Add(i64),
}

/// A shopper in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    customer_id: i64,
    store_id: i64,
    /// What the shopper has come for.
    wish: i64,
    next: Step,
    /// Products to be looked at after that.
    views: u8,
}

/// The acts of all shoppers. Endless.
#[derive(Debug)]
pub(super) struct Shoppers {
    rng: ChaCha8Rng,
    pace: Pace,
    clientele: Clientele,
    stores: WeightedIndex<u64>,
    products: WeightedIndex<u64>,
    inside: HashSet<i64>,
    /// By due time, then in the order in which they were put there.
    agenda: BinaryHeap<Reverse<(u64, u64, Visit)>>,
    steps: u64,
    acts: u64,
}

impl Shoppers {
    /// `None`: no store, no product or no customer.
    pub(super) fn new(clientele: Clientele, pace: Pace, seed: u64) -> Option<Shoppers> {
        let store = |store_id: &i64| Pair::popularity(pair(*store_id, 1));
        let product = |product_id: &i64| Pair::popularity(pair(1, *product_id));
        if clientele.premium.is_empty() && clientele.standard.is_empty() {
            return None;
        }
        Some(Shoppers {
            rng: ChaCha8Rng::seed_from_u64(seed),
            pace,
            stores: WeightedIndex::new(clientele.stores.iter().map(store)).ok()?,
            products: WeightedIndex::new(clientele.products.iter().map(product)).ok()?,
            clientele,
            inside: HashSet::new(),
            agenda: BinaryHeap::new(),
            steps: 0,
            acts: 0,
        })
    }

    /// What happens next.
    pub(super) fn next(&mut self) -> Act {
        let due_us = self.pace.due_us();
        // Where everybody is in a store already, somebody goes on sooner than meant.
        let act = loop {
            let next = self
                .due_step(due_us)
                .or_else(|| self.enter())
                .or_else(|| self.due_step(u64::MAX));
            if let Some(act) = next {
                break act;
            }
        };
        self.pace.spend(1);
        self.acts += 1;
        Act {
            number: self.acts - 1,
            due_us,
            ..act
        }
    }

    fn due_step(&mut self, now_us: u64) -> Option<Act> {
        let Reverse((due_us, _, visit)) = *self.agenda.peek()?;
        if due_us > now_us && self.agenda.len() < VISITS_MAX {
            return None;
        }
        self.agenda.pop();
        Some(self.go_on(visit))
    }

    fn go_on(&mut self, visit: Visit) -> Act {
        let (kind, product_id) = match visit.next {
            Step::View(product_id) => (Kind::ProductViewed, product_id),
            Step::Add(product_id) => (Kind::CartAdded, product_id),
        };
        self.plan_next(visit);
        visit.act(kind, Some(product_id))
    }

    /// Whoever looks at something puts it into the cart, looks at something else, or leaves.
    fn plan_next(&mut self, visit: Visit) {
        if let Step::View(product_id) = visit.next {
            let one_in = if product_id == visit.wish { 3 } else { 8 };
            if self.rng.random_ratio(1, one_in) {
                let next = Step::Add(product_id);
                return self.within(1..=8, Visit { next, ..visit });
            }
        }
        let Some(views) = visit.views.checked_sub(1) else {
            self.inside.remove(&visit.customer_id);
            return;
        };
        if let Some(product_id) = self.any_product() {
            let next = Step::View(product_id);
            let visit = Visit {
                next,
                views,
                ..visit
            };
            self.within(2..=15, visit);
        }
    }

    fn enter(&mut self) -> Option<Act> {
        if self.agenda.len() >= VISITS_MAX {
            return None;
        }
        let customer_id = self.somebody_outside()?;
        let Pair {
            store_id,
            product_id,
        } = self.destination(customer_id)?;
        self.inside.insert(customer_id);
        let visit = Visit {
            customer_id,
            store_id,
            wish: product_id,
            next: Step::View(product_id),
            views: self.rng.random_range(0..=4),
        };
        self.within(1..=8, visit);
        Some(visit.act(Kind::StoreEntered, None))
    }

    /// Every other visit is a premium customer's.
    fn somebody_outside(&mut self) -> Option<i64> {
        for _ in 0..TRIES {
            let Clientele {
                premium, standard, ..
            } = &self.clientele;
            let premium_comes = self.rng.random_ratio(1, 2);
            let (first, second) = if premium_comes {
                (premium, standard)
            } else {
                (standard, premium)
            };
            let of = if first.is_empty() { second } else { first };
            let customer_id = *of.choose(&mut self.rng)?;
            if !self.inside.contains(&customer_id) {
                return Some(customer_id);
            }
        }
        None
    }

    /// Three visits in four are for a favourite, where there is one; others for what is popular.
    fn destination(&mut self, customer_id: i64) -> Option<Pair> {
        if let Some(favourites) = self.clientele.favourites.get(&customer_id)
            && self.rng.random_ratio(3, 4)
        {
            return favourites.choose(&mut self.rng).copied();
        }
        let store = self.stores.sample(&mut self.rng);
        let store_id = *self.clientele.stores.get(store)?;
        Some(pair(store_id, self.any_product()?))
    }

    /// Something that is popular, and in season.
    fn any_product(&mut self) -> Option<i64> {
        loop {
            let index = self.products.sample(&mut self.rng);
            let product_id = *self.clientele.products.get(index)?;
            if self.pace.is_wanted(product_id, &mut self.rng) {
                return Some(product_id);
            }
        }
    }

    fn within(&mut self, seconds: RangeInclusive<u64>, visit: Visit) {
        let (least, most) = (seconds.start() * SECOND_US, seconds.end() * SECOND_US);
        let due_us = self.pace.due_us() + self.rng.random_range(least..=most);
        self.steps += 1;
        self.agenda.push(Reverse((due_us, self.steps, visit)));
    }
}

impl Visit {
    fn act(self, kind: Kind, product_id: Option<i64>) -> Act {
        Act {
            number: 0,
            due_us: 0,
            kind,
            customer_id: self.customer_id,
            store_id: self.store_id,
            product_id,
        }
    }
}

fn pair(store_id: i64, product_id: i64) -> Pair {
    Pair {
        store_id,
        product_id,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::simulate::pace::Rate;

    /// A hundred customers, twenty of them premium, each with one favourite in the last store.
    fn clientele() -> Clientele {
        let favourite = |customer_id| (customer_id, vec![pair(4, 40)]);
        Clientele {
            stores: (1..=4).collect(),
            products: (1..=40).collect(),
            premium: (1..=20).collect(),
            standard: (21..=100).collect(),
            favourites: (1..=20).map(favourite).collect(),
        }
    }

    fn acts(clientele: Clientele, seed: u64, per_second: u32, count: usize) -> Vec<Act> {
        acts_from(None, clientele, seed, per_second, count)
    }

    fn acts_from(
        rhythm_from: Option<u64>,
        clientele: Clientele,
        seed: u64,
        per_second: u32,
        count: usize,
    ) -> Vec<Act> {
        let rate = Rate {
            changes_per_second: per_second,
            plans: 1,
            rhythm_from,
        };
        let mut shoppers = Shoppers::new(clientele, Pace::new(rate, 0), seed).unwrap();
        (0..count).map(|_| shoppers.next()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_visits() {
        let drawn = |seed| acts(clientele(), seed, 5, 5_000);
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn acts_come_at_the_rate_and_are_counted() {
        let acts = acts(clientele(), 7, 500, 10_000);
        for (number, act) in (0..).zip(&acts) {
            assert_eq!((act.number, act.due_us), (number, number * 2_000));
        }
    }

    /// Each shopper enters before anything else, is in one store at a time, and carts what was looked at.
    #[test]
    fn visits_are_plausible() {
        let mut looked_at: BTreeMap<i64, (i64, Option<i64>)> = BTreeMap::new();
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        for act in acts(clientele(), 7, 3, 20_000) {
            *kinds.entry(act.kind.name()).or_default() += 1;
            let known = looked_at.get(&act.customer_id).copied();
            match act.kind {
                Kind::StoreEntered => assert_eq!(act.product_id, None),
                Kind::ProductViewed => assert_eq!(known.map(|known| known.0), Some(act.store_id)),
                Kind::CartAdded => assert_eq!(known, Some((act.store_id, act.product_id))),
            }
            looked_at.insert(act.customer_id, (act.store_id, act.product_id));
        }
        let of = |name: &str| f64::from(kinds[name]) / 20_000.0;
        println!("{kinds:?}");
        assert!((0.15..0.3).contains(&of("store_entered")), "{kinds:?}");
        assert!((0.05..0.2).contains(&of("cart_added")), "{kinds:?}");
    }

    #[test]
    fn premium_customers_and_favourites_come_more_often() {
        let acts = acts(clientele(), 7, 1, 20_000);
        let count = |of: &dyn Fn(&Act) -> bool| acts.iter().filter(|act| of(act)).count();
        let entered = |act: &Act| act.kind == Kind::StoreEntered;
        let premium = count(&|act| entered(act) && act.customer_id <= 20);
        let others = count(&|act| entered(act) && act.customer_id > 20);
        assert!(premium * 4 > others * 3, "{premium} and {others}");
        let favourite = |act: &Act| act.store_id == 4 && act.product_id == Some(40);
        let mine = count(&|act| favourite(act) && act.customer_id <= 20);
        let theirs = count(&|act| favourite(act) && act.customer_id > 20);
        assert!(mine > 20 * theirs.max(1), "{mine} and {theirs}");
    }

    #[test]
    fn the_first_product_and_store_are_the_most_popular() {
        let mut everybody = clientele();
        everybody.favourites.clear();
        let acts = acts(everybody, 7, 3, 20_000);
        let viewed = |id| acts.iter().filter(|act| act.product_id == Some(id)).count();
        assert!(viewed(1) > 4 * viewed(8), "{} and {}", viewed(1), viewed(8));
        assert!(viewed(40) > 0);
        let entered = |id| acts.iter().filter(|act| act.store_id == id).count();
        assert!(entered(1) > entered(4), "{} and {}", entered(1), entered(4));
    }

    #[test]
    fn shoppers_look_at_what_is_in_season() {
        let mut everybody = clientele();
        everybody.favourites.clear();
        let viewed = |rhythm_from, group| {
            let acts = acts_from(rhythm_from, everybody.clone(), 7, 3, 20_000);
            let of_group = |act: &&Act| act.product_id.is_some_and(|id| id > 4 && id % 4 == group);
            acts.iter().filter(of_group).count()
        };
        // In the first hours of a year, and without a rhythm.
        let (best, worst) = (viewed(Some(0), 0), viewed(Some(0), 2));
        assert!(best > 2 * worst, "{best} and {worst}");
        let (best, worst) = (viewed(None, 0), viewed(None, 2));
        assert!(best < 2 * worst, "{best} and {worst}");
    }

    /// More events than so few customers would make: visits get shorter, and none is skipped.
    #[test]
    fn a_crowded_shop_keeps_the_rate() {
        let few = Clientele {
            premium: vec![1],
            standard: vec![2],
            ..clientele()
        };
        let acts = acts(few, 7, 1_000, 5_000);
        assert!(acts.iter().any(|act| act.kind == Kind::CartAdded));
        let last = acts.last().unwrap();
        assert_eq!((last.number, last.due_us), (4_999, 4_999_000));
    }

    #[test]
    fn nobody_comes_where_there_is_nothing() {
        let rate = Rate {
            changes_per_second: 1,
            plans: 1,
            rhythm_from: None,
        };
        let new = |clientele| Shoppers::new(clientele, Pace::new(rate, 0), 1).is_some();
        assert!(new(clientele()));
        let (stores, premium) = (Vec::new(), Vec::new());
        assert!(!new(Clientele {
            stores,
            ..clientele()
        }));
        assert!(!new(Clientele {
            premium,
            standard: Vec::new(),
            ..clientele()
        }));
    }
}
