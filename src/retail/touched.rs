//! What one batch touched: the pairs, tuples and customers whose eligibility may have turned, each
//! with the change that did it.
//!
//! The batch's transaction fills it while it folds, takes the row locks of [`Touched::pairs`] in key
//! order, and hands it to the evaluation of the promotion rules.

use std::collections::{BTreeMap, BTreeSet};

use super::time::Timestamp;
use crate::event::Position;

/// A (store, product).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Store.
    pub store_id: i64,
    /// Product.
    pub product_id: i64,
}

/// A (customer, store, product).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Customer.
    pub customer_id: i64,
    /// Where and what.
    pub pair: Pair,
}

/// What kind of change it was; its text is `promotion_eligibility.cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CauseKind {
    /// The stock level changed.
    Stock,
    /// An order entered, left or moved between the aggregates.
    Order,
    /// The customer's row changed: its tier, its consent, its presence.
    Tier,
}

impl CauseKind {
    /// The text in `promotion_eligibility.cause`.
    pub fn as_str(self) -> &'static str {
        match self {
            CauseKind::Stock => "stock",
            CauseKind::Order => "order",
            CauseKind::Tier => "tier",
        }
    }
}

/// The change behind a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// What kind of change.
    pub kind: CauseKind,
    /// Where it stands in the source.
    pub position: Position,
    /// Its commit time.
    pub at: Timestamp,
}

/// Everything one batch touched. Of several changes to the same thing the one with the highest
/// position counts, so that the result does not depend on how partitions interleave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Pairs whose level or sales changed. Every pair of [`Touched::tuples`] is among them.
    pub pairs: BTreeMap<Pair, Cause>,
    /// Tuples whose orders changed.
    pub tuples: BTreeMap<Tuple, Cause>,
    /// Customers whose row changed.
    pub customers: BTreeMap<i64, Cause>,
}

impl Touched {
    /// Whether nothing was touched.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.customers.is_empty()
    }

    /// The pair's level changed.
    pub fn stock(&mut self, pair: Pair, position: Position, at: Timestamp) {
        keep_latest(
            &mut self.pairs,
            pair,
            Cause {
                kind: CauseKind::Stock,
                position,
                at,
            },
        );
    }

    /// An order of the pair changed; without a customer it is no habit.
    pub fn order(
        &mut self,
        customer_id: Option<i64>,
        pair: Pair,
        position: Position,
        at: Timestamp,
    ) {
        let cause = Cause {
            kind: CauseKind::Order,
            position,
            at,
        };
        keep_latest(&mut self.pairs, pair, cause);
        if let Some(customer_id) = customer_id {
            keep_latest(&mut self.tuples, Tuple { customer_id, pair }, cause);
        }
    }

    /// When the change at that position had happened, if it touched this tuple here.
    pub fn caused_at(&self, tuple: Tuple, position: Position) -> Option<Timestamp> {
        let causes = [
            self.pairs.get(&tuple.pair),
            self.tuples.get(&tuple),
            self.customers.get(&tuple.customer_id),
        ];
        let mut causes = causes.into_iter().flatten();
        let cause = causes.find(|cause| cause.position == position);
        cause.map(|cause| cause.at)
    }

    /// The customer's row changed.
    pub fn customer(&mut self, customer_id: i64, position: Position, at: Timestamp) {
        let cause = Cause {
            kind: CauseKind::Tier,
            position,
            at,
        };
        keep_latest(&mut self.customers, customer_id, cause);
    }
}

/// Orders and codes whose redemption may have turned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Orders whose image has changed and that carry a code, or did.
    pub orders: Vec<i64>,
    /// Codes that they carry or did, and codes that changed in the ledger.
    pub codes: BTreeSet<String>,
}

impl Unsettled {
    /// Codes of the ledger alone.
    pub fn codes(codes: impl IntoIterator<Item = String>) -> Unsettled {
        Unsettled {
            orders: Vec::new(),
            codes: codes.into_iter().collect(),
        }
    }

    /// Whether there is nothing to settle.
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty() && self.codes.is_empty()
    }
}

fn keep_latest<K: Ord>(map: &mut BTreeMap<K, Cause>, key: K, cause: Cause) {
    map.entry(key)
        .and_modify(|kept| {
            if kept.position <= cause.position {
                *kept = cause;
            }
        })
        .or_insert(cause);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Lsn;

    #[test]
    fn the_highest_position_names_the_cause() {
        let pair = Pair {
            store_id: 1,
            product_id: 2,
        };
        let at = |ordinal| Position::new(1, Lsn(8), ordinal);
        let time = Timestamp::from_micros(5);
        let mut touched = Touched::default();
        touched.order(Some(7), pair, at(3), time);
        touched.stock(pair, at(2), time);
        assert_eq!(
            touched.pairs[&pair],
            Cause {
                kind: CauseKind::Order,
                position: at(3),
                at: time
            }
        );
        touched.stock(pair, at(4), time);
        assert_eq!(
            touched.pairs[&pair],
            Cause {
                kind: CauseKind::Stock,
                position: at(4),
                at: time
            }
        );
        assert_eq!(
            touched.tuples[&Tuple {
                customer_id: 7,
                pair
            }]
                .position,
            at(3)
        );
        touched.order(None, pair, at(5), time);
        assert_eq!(touched.tuples.len(), 1);
    }
}
