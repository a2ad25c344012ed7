//! What a plan knows of its stores: shelves, customers, orders.

use super::shop::{Pair, Status, target_stock};

/// Most past orders that are kept to be repeated, corrected or erased.
pub(super) const PAST_MAX: usize = 5_000;

/// What a plan starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) shelves: Vec<Shelf>,
    /// Everybody who buys.
    pub(super) customers: Vec<i64>,
    pub(super) members: Vec<Member>,
    /// Orders placed, paid or shipped.
    pub(super) open: Vec<KnownOrder>,
    /// Delivered orders, the oldest first.
    pub(super) past: Vec<KnownOrder>,
    /// Id of the next order, and the step to the one after it: plans don't share ids.
    pub(super) next_order_id: i64,
    pub(super) order_id_step: i64,
}

/// A customer whose tier and consent this plan may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) customer_id: i64,
    pub(super) premium: bool,
    pub(super) contact_allowed: bool,
}

/// An order as the plan remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KnownOrder {
    pub(super) order_id: i64,
    pub(super) customer_id: i64,
    /// Index of its shelf.
    pub(super) shelf: usize,
    pub(super) quantity: i32,
    pub(super) status: Status,
}

/// One (store, product).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shelf {
    pub(super) pair: Pair,
    /// `None`: not in the store's range.
    pub(super) on_hand: Option<i32>,
    pub(super) target_stock: i32,
    /// Units sold in the seven days before the start, and since.
    pub(super) week_units: i32,
    /// A supply is under way.
    pub(super) awaited: bool,
}

/// How a supply changes a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supplied {
    /// Units come in.
    More(i32),
    /// The product is in the range again, with these units.
    Again(i32),
}

impl Shelf {
    /// Whether the units were there to be taken.
    pub(super) fn take(&mut self, units: i32) -> bool {
        let Some(left) = self.on_hand.map(|on_hand| on_hand - units) else {
            return false;
        };
        if left < 0 {
            return false;
        }
        self.on_hand = Some(left);
        self.week_units = self.week_units.saturating_add(units);
        true
    }

    /// Whether there is a shelf to put the units back on.
    pub(super) fn give_back(&mut self, units: i32) -> bool {
        self.week_units = self.week_units.saturating_sub(units).max(0);
        self.on_hand = self.on_hand.map(|on_hand| on_hand.saturating_add(units));
        self.on_hand.is_some()
    }

    /// Whether it is time to order more.
    pub(super) fn is_low(&self) -> bool {
        self.on_hand
            .is_some_and(|on_hand| on_hand <= self.target_stock / 3)
    }

    /// Brings the shelf to its target, or to so many weeks' sales and some more; by one unit at least.
    pub(super) fn supply(&mut self, weeks: Option<i32>) -> Supplied {
        self.awaited = false;
        self.target_stock = target_stock(self.week_units);
        let level = match weeks {
            Some(weeks) => self.week_units.saturating_mul(weeks).saturating_add(20),
            None => self.target_stock,
        };
        match self.on_hand {
            None => {
                self.on_hand = Some(level);
                Supplied::Again(level)
            }
            Some(on_hand) => {
                let level = level.max(on_hand.saturating_add(1));
                self.on_hand = Some(level);
                Supplied::More(level - on_hand)
            }
        }
    }
}
