//! What an interrupted snapshot has still to read of a table. Pure.

use super::ledger::gaps;
use crate::event::KeyRange;
use crate::kafka::{RangeProgress, TableProgress};

/// What is left of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remaining {
    /// Nothing: whatever becomes of the table, the stream tells it.
    Nothing,
    /// These keys; the others are in the topic, and stay.
    Ranges(Vec<KeyRange>),
    /// All of it.
    Everything {
        /// Rows of it are in the topic, and have to be voided.
        void: bool,
    },
}

impl Remaining {
    /// What is left, given what is recorded of the table and what it is now.
    pub(crate) fn of(
        recorded: Option<&TableProgress>,
        finished: &[RangeProgress],
        now: &TableProgress,
    ) -> Remaining {
        let left = recorded.and_then(|recorded| gaps(&recorded.key, finished));
        match left {
            Some(left) if left.is_empty() => Remaining::Nothing,
            _ if finished.is_empty() => Remaining::Everything { void: false },
            Some(left) if recorded.is_some_and(|recorded| recorded.is_same(now)) => {
                Remaining::Ranges(left)
            }
            _ => Remaining::Everything { void: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{KeyOrder, Lsn, Position};
    use crate::kafka::KeyPart;

    const BEGUN: Lsn = Lsn(100);

    fn table(order: Option<KeyOrder>) -> TableProgress {
        TableProgress {
            begun: Position::new(1, BEGUN, 0),
            table: "public.orders".to_owned(),
            identity: "as it was".to_owned(),
            key: vec![KeyPart {
                name: "id".to_owned(),
                order,
            }],
            rows_estimate: 1000,
        }
    }

    fn finished(from: &str, until: &str) -> RangeProgress {
        let bound = |text: &str| (!text.is_empty()).then(|| vec![text.to_owned()]);
        RangeProgress {
            begun: Position::new(1, BEGUN, 0),
            read_at: BEGUN,
            rows: 10,
            range: KeyRange {
                from: bound(from),
                until: bound(until),
            },
        }
    }

    #[track_caller]
    fn check(order: Option<KeyOrder>, done: &[RangeProgress], same: bool, expected: &Remaining) {
        let recorded = table(order);
        let mut now = recorded.clone();
        if !same {
            now.identity = "truncated since".to_owned();
        }
        assert_eq!(Remaining::of(Some(&recorded), done, &now), *expected);
    }

    #[test]
    fn finished_ranges_stay() {
        let integer = Some(KeyOrder::Integer);
        let behind = Remaining::Ranges(vec![finished("10", "").range]);
        check(integer, &[finished("", "10")], true, &behind);
    }

    #[test]
    fn a_finished_table_is_left_alone_whatever_became_of_it() {
        for order in [None, Some(KeyOrder::Integer)] {
            for same in [true, false] {
                check(order, &[finished("", "")], same, &Remaining::Nothing);
            }
        }
    }

    #[test]
    fn a_table_that_is_another_or_has_no_order_starts_over() {
        let half = [finished("", "10")];
        let over = Remaining::Everything { void: true };
        check(Some(KeyOrder::Integer), &half, false, &over);
        check(None, &half, true, &over);
    }

    #[test]
    fn a_table_that_was_not_begun_has_nothing_to_void() {
        let all = Remaining::Everything { void: false };
        check(Some(KeyOrder::Integer), &[], false, &all);
        assert_eq!(Remaining::of(None, &[], &table(None)), all);
    }
}
