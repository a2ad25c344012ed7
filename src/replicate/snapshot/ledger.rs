//! The ledger: which keys of each table are in its topic, in as few ranges as they make up.
//!
//! Neighbours that were read at one point become one: their bounds are the same text, so no order of keys
//! is needed for that. So neither the ledger nor the position topic grows with the number of chunks. A
//! range that a worker is about to extend is out of the ledger until its transaction is committed: nobody
//! else extends it meanwhile.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::event::{KeyOrder, KeyRange, Lsn, Position};
use crate::kafka::{Entry, KeyPart, RangeProgress, are_whole, forget_range};

/// Finished ranges, by the table's oid.
#[derive(Debug)]
pub(crate) struct Ledger {
    begun: Position,
    read_at: Lsn,
    finished: BTreeMap<u32, Vec<RangeProgress>>,
}

/// A range that is about to be finished, with its neighbours.
#[derive(Debug)]
pub(crate) struct Joined {
    table: u32,
    finished: RangeProgress,
    /// Neighbours whose own records are superseded.
    absorbed: Vec<KeyRange>,
}

impl Ledger {
    /// A ledger of what is read at `read_at`; `finished` has been before.
    pub(crate) fn new(
        begun: Position,
        read_at: Lsn,
        finished: BTreeMap<u32, Vec<RangeProgress>>,
    ) -> Self {
        Ledger {
            begun,
            read_at,
            finished,
        }
    }

    /// Joins a range of so many rows with its neighbours, which are taken out.
    pub(crate) fn join(&mut self, table: u32, range: KeyRange, rows: u64) -> Joined {
        let (mut joined, mut rows) = (range, rows);
        let mut absorbed = Vec::new();
        let ranges = self.finished.entry(table).or_default();
        let read_at = self.read_at;
        while let Some(before) = take(ranges, |progress| {
            progress.read_at == read_at && meet(&progress.range, &joined)
        }) {
            rows += before.rows;
            joined.from.clone_from(&before.range.from);
            absorbed.push(before.range);
        }
        while let Some(behind) = take(ranges, |progress| {
            progress.read_at == read_at && meet(&joined, &progress.range)
        }) {
            rows += behind.rows;
            joined.until.clone_from(&behind.range.until);
            absorbed.push(behind.range);
        }
        // Its record is written anew.
        absorbed.retain(|range| range.from != joined.from);
        Joined {
            table,
            finished: RangeProgress {
                begun: self.begun,
                read_at,
                rows,
                range: joined,
            },
            absorbed,
        }
    }

    /// The transaction with its entries is committed.
    pub(crate) fn committed(&mut self, joined: Joined) {
        let ranges = self.finished.entry(joined.table).or_default();
        ranges.push(joined.finished);
    }

    /// What there is when every worker has ended.
    pub(crate) fn take_finished(&mut self) -> BTreeMap<u32, Vec<RangeProgress>> {
        std::mem::take(&mut self.finished)
    }
}

impl Joined {
    /// What goes into the transaction of the range's rows.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        let forgotten = self.absorbed.iter();
        let forgotten = forgotten.map(|range| forget_range(self.table, range));
        forgotten.chain([self.finished.entry(self.table)])
    }
}

fn take(
    ranges: &mut Vec<RangeProgress>,
    wanted: impl Fn(&RangeProgress) -> bool,
) -> Option<RangeProgress> {
    let at = ranges.iter().position(wanted)?;
    Some(ranges.swap_remove(at))
}

/// Whether one range ends where the other begins.
fn meet(before: &KeyRange, behind: &KeyRange) -> bool {
    before.until.is_some() && before.until == behind.from
}

/// What the finished ranges leave out, in the order of the keys. `None` where that cannot be told: there
/// are several and the order of their keys is the server's, or the table has no key.
pub(crate) fn gaps(key: &[KeyPart], finished: &[RangeProgress]) -> Option<Vec<KeyRange>> {
    if finished.is_empty() {
        return Some(vec![KeyRange::default()]);
    }
    if are_whole(finished) {
        return Some(Vec::new());
    }
    let orders = orders(key)?;
    let mut gaps = Vec::new();
    let mut from = None;
    let mut open = true;
    for range in sorted(&orders, finished) {
        if range.from != from {
            gaps.push(KeyRange {
                from: from.take(),
                until: range.from.clone(),
            });
        }
        from.clone_from(&range.until);
        open = from.is_some();
    }
    if open {
        gaps.push(KeyRange { from, until: None });
    }
    Some(gaps)
}

/// The order of each column; `None` without a key, or where one column's is the server's.
pub(crate) fn orders(key: &[KeyPart]) -> Option<Vec<KeyOrder>> {
    let orders: Option<Vec<KeyOrder>> = key.iter().map(|part| part.order).collect();
    orders.filter(|orders| !orders.is_empty())
}

fn sorted<'a>(orders: &[KeyOrder], finished: &'a [RangeProgress]) -> Vec<&'a KeyRange> {
    let mut ranges: Vec<&KeyRange> = finished.iter().map(|progress| &progress.range).collect();
    ranges.sort_by(|left, right| compare_ranges(orders, left, right));
    ranges
}

/// Compares two ranges by where they begin.
pub(crate) fn compare_ranges(orders: &[KeyOrder], left: &KeyRange, right: &KeyRange) -> Ordering {
    match (&left.from, &right.from) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(left), Some(right)) => compare(orders, left, right),
    }
}

/// Compares two keys, column by column.
pub(crate) fn compare(
    orders: &[KeyOrder],
    left: &[impl AsRef<[u8]>],
    right: &[impl AsRef<[u8]>],
) -> Ordering {
    let columns = orders.iter().zip(left.iter().zip(right));
    let differs = |(order, (left, right)): (&KeyOrder, (_, _))| compare_column(*order, left, right);
    columns
        .map(differs)
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compare_column(order: KeyOrder, left: &impl AsRef<[u8]>, right: &impl AsRef<[u8]>) -> Ordering {
    order.compare(left.as_ref(), right.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: u32 = 16385;
    const BEGUN: Lsn = Lsn(100);
    const AGAIN: Lsn = Lsn(200);

    fn range(from: &str, until: &str) -> KeyRange {
        let bound = |text: &str| (!text.is_empty()).then(|| vec![text.to_owned()]);
        KeyRange {
            from: bound(from),
            until: bound(until),
        }
    }

    fn finished(read_at: Lsn, from: &str, until: &str) -> RangeProgress {
        RangeProgress {
            begun: Position::new(1, BEGUN, 0),
            read_at,
            rows: 0,
            range: range(from, until),
        }
    }

    fn ledger(read_at: Lsn, before: &[RangeProgress]) -> Ledger {
        let finished = BTreeMap::from([(TABLE, before.to_vec())]);
        Ledger::new(Position::new(1, BEGUN, 0), read_at, finished)
    }

    fn keys(joined: &Joined) -> Vec<(String, bool)> {
        let text = |entry: Entry| (String::from_utf8(entry.key).unwrap(), entry.value.is_some());
        joined.entries().map(text).collect()
    }

    fn integer_key() -> Vec<KeyPart> {
        vec![KeyPart {
            name: "id".to_owned(),
            order: Some(KeyOrder::Integer),
        }]
    }

    #[test]
    fn neighbours_become_one_range_with_one_record() {
        let mut ledger = ledger(BEGUN, &[]);
        let mut finish = |from, until| {
            let joined = ledger.join(TABLE, range(from, until), 0);
            let keys = keys(&joined);
            ledger.committed(joined);
            keys
        };
        let key = |from: &str| format!("snapshot/16385/[\"{from}\"]");
        let first = "snapshot/16385/".to_owned();
        assert_eq!(finish("", "10"), [(first.clone(), true)]);
        assert_eq!(finish("20", "30"), [(key("20"), true)]);
        assert_eq!(finish("30", ""), [(key("20"), true)]);
        // Between the two, it makes them one.
        assert_eq!(finish("10", "20"), [(key("20"), false), (first, true)]);
        let all = ledger.take_finished();
        assert_eq!(
            all,
            BTreeMap::from([(TABLE, vec![finished(BEGUN, "", "")])])
        );
    }

    #[test]
    fn rows_are_added_up() {
        let mut ledger = ledger(BEGUN, &[]);
        for (from, until) in [("", "10"), ("20", ""), ("10", "20")] {
            let joined = ledger.join(TABLE, range(from, until), 7);
            ledger.committed(joined);
        }
        let all = ledger.take_finished().remove(&TABLE).unwrap();
        assert_eq!(all.iter().map(|range| range.rows).collect::<Vec<_>>(), [21]);
    }

    #[test]
    fn a_range_under_way_is_not_extended_by_another() {
        let mut ledger = ledger(BEGUN, &[]);
        let first = ledger.join(TABLE, range("", "10"), 0);
        let second = ledger.join(TABLE, range("10", "20"), 0);
        ledger.committed(second);
        ledger.committed(first);
        // They are two records now; the next one makes up for it.
        let third = ledger.join(TABLE, range("20", "30"), 0);
        let of_ten = "snapshot/16385/[\"10\"]".to_owned();
        assert_eq!(
            keys(&third),
            [(of_ten, false), ("snapshot/16385/".to_owned(), true)]
        );
        ledger.committed(third);
        let all = ledger.take_finished().remove(&TABLE).unwrap();
        assert_eq!(all, [finished(BEGUN, "", "30")]);
    }

    #[test]
    fn ranges_read_at_different_points_stay_apart() {
        let mut ledger = ledger(AGAIN, &[finished(BEGUN, "", "10")]);
        let joined = ledger.join(TABLE, range("10", ""), 0);
        ledger.committed(joined);
        let all = ledger.take_finished().remove(&TABLE).unwrap();
        assert_eq!(all, [finished(BEGUN, "", "10"), finished(AGAIN, "10", "")]);
    }

    #[test]
    fn gaps_are_what_is_left() {
        let check = |done: &[(&str, &str)], left: &[(&str, &str)]| {
            let done: Vec<_> = done
                .iter()
                .map(|(from, until)| finished(BEGUN, from, until))
                .collect();
            let left: Vec<_> = left
                .iter()
                .map(|(from, until)| range(from, until))
                .collect();
            assert_eq!(gaps(&integer_key(), &done), Some(left), "{done:?}");
        };
        check(&[], &[("", "")]);
        check(&[("", "")], &[]);
        check(&[("", "9")], &[("9", "")]);
        check(&[("9", "")], &[("", "9")]);
        check(&[("", "9"), ("9", "")], &[]);
        // In the order of the numbers, not of their text.
        check(
            &[("100", "200"), ("9", "10")],
            &[("", "9"), ("10", "100"), ("200", "")],
        );
    }

    #[test]
    fn without_an_order_only_none_or_all_can_be_told() {
        let unordered = [KeyPart {
            name: "code".to_owned(),
            order: None,
        }];
        for key in [&unordered[..], &[]] {
            assert_eq!(gaps(key, &[]), Some(vec![range("", "")]));
            assert_eq!(gaps(key, &[finished(AGAIN, "", "")]), Some(vec![]));
            assert_eq!(gaps(key, &[finished(BEGUN, "", "m")]), None);
            let both = [finished(BEGUN, "m", ""), finished(BEGUN, "", "m")];
            assert_eq!(gaps(key, &both), Some(vec![]));
        }
    }
}
