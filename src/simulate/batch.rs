//! Operations of one transaction as sets of rows: a few statements, however many operations.
//!
//! A statement changes a row once only. Rows that a batch changes several times are spread over rounds:
//! the n-th change of each row is in round n, one statement a round. So every change reaches the log,
//! and those of one row stay in order.

use std::collections::HashMap;
use std::hash::Hash;

use super::operation::{CustomerChange, NewOrder, Operation, OrderStep, Planned, StockMove};
use super::report::Counts;
use super::shop::Pair;

/// Items in rounds; no round has two of one key.
#[derive(Debug)]
pub(super) struct Rounds<K, T> {
    seen: HashMap<K, usize>,
    rounds: Vec<Vec<T>>,
}

impl<K, T> Default for Rounds<K, T> {
    fn default() -> Self {
        Rounds {
            seen: HashMap::new(),
            rounds: Vec::new(),
        }
    }
}

impl<K: Eq + Hash, T> Rounds<K, T> {
    fn add(&mut self, key: K, item: T) {
        let round = self.seen.entry(key).or_default();
        // A key's rounds have no gaps, so the next one is there or is the one to begin.
        if let Some(items) = self.rounds.get_mut(*round) {
            items.push(item);
        } else {
            self.rounds.push(vec![item]);
        }
        *round += 1;
    }

    /// Each round, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[T]> {
        self.rounds.iter().map(Vec::as_slice)
    }
}

/// What one transaction does.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// New orders, each with its due time, microseconds after the start.
    pub(super) orders: Vec<(NewOrder, u64)>,
    pub(super) steps: Rounds<i64, OrderStep>,
    pub(super) stock: Rounds<Pair, StockMove>,
    pub(super) customers: Rounds<i64, CustomerChange>,
    /// A deletion or a row that appears again: nothing else is in its batch, so that its place among
    /// the changes of its row is kept.
    pub(super) alone: Option<Operation>,
    /// When each operation was due.
    pub(super) due_us: Vec<u64>,
    pub(super) counts: Counts,
}

impl Batch {
    /// Whether the operation may come along.
    pub(super) fn accepts(&self, operation: &Operation) -> bool {
        self.due_us.is_empty() || (self.alone.is_none() && !is_alone(operation))
    }

    /// Adds an operation that it accepts.
    pub(super) fn add(&mut self, planned: Planned) {
        self.due_us.push(planned.due_us);
        self.counts.count(&planned.operation);
        match planned.operation {
            Operation::Place { order, stock } => {
                self.orders.push((order, planned.due_us));
                self.stock.add(stock.pair, stock);
            }
            Operation::Step { step, stock } | Operation::Correct { step, stock } => {
                self.steps.add(step.order_id, step);
                if let Some(stock) = stock {
                    self.stock.add(stock.pair, stock);
                }
            }
            Operation::Supply { stock } | Operation::Recount { stock } => {
                self.stock.add(stock.pair, stock);
            }
            Operation::ChangeCustomer(change) => self.customers.add(change.customer_id, change),
            Operation::Erase { .. } | Operation::Delist { .. } | Operation::List { .. } => {
                self.alone = Some(planned.operation);
            }
        }
    }
}

fn is_alone(operation: &Operation) -> bool {
    match operation {
        Operation::Erase { .. } | Operation::Delist { .. } | Operation::List { .. } => true,
        Operation::Place { .. }
        | Operation::Step { .. }
        | Operation::Supply { .. }
        | Operation::ChangeCustomer(_)
        | Operation::Correct { .. }
        | Operation::Recount { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_a_key_once_and_keys_keep_their_order() {
        let mut rounds = Rounds::default();
        for (key, item) in [("a", 1), ("b", 2), ("a", 3), ("a", 4), ("b", 5), ("c", 6)] {
            rounds.add(key, item);
        }
        let rounds: Vec<_> = rounds.iter().collect();
        assert_eq!(rounds, [&[1, 2, 6][..], &[3, 5], &[4]]);
    }

    #[test]
    fn a_deletion_is_alone() {
        let erase = |order_id| Planned {
            due_us: 0,
            operation: Operation::Erase { order_id },
        };
        let supply = Operation::Supply {
            stock: StockMove::of(
                Pair {
                    store_id: 1,
                    product_id: 1,
                },
                1,
            ),
        };
        let mut batch = Batch::default();
        assert!(batch.accepts(&erase(1).operation) && batch.accepts(&supply));
        batch.add(erase(1));
        assert!(!batch.accepts(&erase(2).operation) && !batch.accepts(&supply));
        let mut batch = Batch::default();
        batch.add(Planned {
            due_us: 0,
            operation: supply.clone(),
        });
        assert!(!batch.accepts(&erase(2).operation) && batch.accepts(&supply));
    }
}
