//! Fences: which streamed changes a snapshot that was resumed has told of already. Pure.
//!
//! ```text
//!        C                      C'
//!  ──────┼──────────────────────┼─────────▶ commit LSN
//!        │ keys read at C: every change from here on is published
//!        │ keys read at C': dropped     │ from here on
//! ```
//!
//! The stream begins at the first consistent point C. A chunk that was read at a later one, C', shows what
//! committed in between; so a change of one of its keys is dropped iff it committed below C'. The two halves
//! of a key change are each tested against their own key's fence. Such a key has no earlier event in the topic.
//!
//! A truncate is dropped if anything of its table was read after it: a table that is truncated before all of
//! it is read starts over, so then the whole of it was.

use std::collections::HashMap;

use super::snapshot::{compare, compare_ranges, orders};
use crate::event::{Column, KeyOrder, KeyRange, Lsn, Plan, Row};
use crate::kafka::{Entry, FencesRecord, RangeProgress, SnapshotRecords};

/// The fences of every table, until the stream has passed the last.
#[derive(Debug)]
pub(crate) struct Fences {
    tables: HashMap<u32, TableFence>,
    until: Lsn,
    /// Removes their records.
    forget: Vec<Entry>,
}

impl Fences {
    /// The fences that are recorded.
    pub(crate) fn new(record: &FencesRecord, progress: &SnapshotRecords) -> Fences {
        let tables = progress.ranges.iter().filter_map(|(table, ranges)| {
            let key = &progress.tables.get(table)?.key;
            let names = key.iter().map(|part| part.name.clone()).collect();
            let fence = TableFence::new(names, orders(key).unwrap_or_default(), ranges);
            Some((*table, fence))
        });
        Fences {
            tables: tables.collect(),
            until: record.until,
            forget: progress.forget(),
        }
    }

    /// The fence of a table's changes, if there is one that a transaction may lie behind.
    pub(crate) fn of(&self, table: u32, commit_lsn: Lsn) -> Option<Fence<'_>> {
        let fence = self.tables.get(&table)?;
        (commit_lsn < fence.latest).then_some(Fence { fence, commit_lsn })
    }

    /// Whether everything that could be dropped has gone by.
    pub(crate) fn are_passed(&self, resume: Lsn) -> bool {
        resume >= self.until
    }

    /// Removes their records.
    pub(crate) fn into_forget(self) -> Vec<Entry> {
        self.forget
    }
}

/// A table's ranges, in the order of their keys.
#[derive(Debug)]
struct TableFence {
    /// Names of the key's columns.
    names: Vec<String>,
    /// Empty: the whole table is one range.
    orders: Vec<KeyOrder>,
    ranges: Vec<(KeyRange, Lsn)>,
    latest: Lsn,
}

/// The fence of one table's changes in one transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence<'a> {
    fence: &'a TableFence,
    commit_lsn: Lsn,
}

/// The row lacks a column of the key that the table was read by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyMissing {
    /// The column.
    pub(crate) column: String,
}

impl TableFence {
    fn new(names: Vec<String>, orders: Vec<KeyOrder>, ranges: &[RangeProgress]) -> TableFence {
        let mut ranges: Vec<(KeyRange, Lsn)> = ranges
            .iter()
            .map(|progress| (progress.range.clone(), progress.read_at))
            .collect();
        ranges.sort_by(|(left, _), (right, _)| compare_ranges(&orders, left, right));
        let latest = ranges.iter().map(|(_, read_at)| *read_at).max();
        TableFence {
            names,
            orders,
            ranges,
            latest: latest.unwrap_or_default(),
        }
    }

    /// The point that a key was read at; `None` where that was the stream's beginning.
    fn read_at(&self, key: &[&[u8]]) -> Option<Lsn> {
        let is_before = |bound: &[String]| compare(&self.orders, bound, key).is_le();
        let behind = self
            .ranges
            .partition_point(|(range, _)| range.from.as_deref().is_none_or(is_before));
        let (range, read_at) = self.ranges.get(behind.checked_sub(1)?)?;
        let ended = range.until.as_deref().is_some_and(is_before);
        (!ended).then_some(*read_at)
    }
}

impl Fence<'_> {
    /// Whether the snapshot has told of a change of this row.
    pub(crate) fn hides<R: Row>(&self, plan: &Plan, row: R) -> Result<bool, KeyMissing> {
        if self.fence.orders.is_empty() {
            return Ok(true);
        }
        let mut key: Vec<&[u8]> = Vec::with_capacity(self.fence.names.len());
        for name in &self.fence.names {
            let column = plan.column(name);
            match column.and_then(|index| row.columns().nth(index)) {
                Some(Column::Text(text)) => key.push(text),
                None | Some(Column::Null | Column::Unchanged) => {
                    return Err(KeyMissing {
                        column: name.clone(),
                    });
                }
            }
        }
        let read_at = self.fence.read_at(&key);
        Ok(read_at.is_some_and(|read_at| self.commit_lsn < read_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        ColumnFacts, ColumnShape, Encoder, Format, Position, ReplicaIdentity, SourceName, Table,
    };
    use crate::kafka::{KeyPart, TableProgress};

    const TABLE: u32 = 16385;
    const BEGUN: u64 = 100;
    const INT8: u32 = 20;

    fn plan() -> Plan {
        let column = |name: &str| ColumnShape {
            name: name.to_owned(),
            type_oid: INT8,
            type_modifier: -1,
            resolved: None,
            facts: ColumnFacts::default(),
        };
        let table = Table {
            schema: "public".to_owned(),
            name: "pairs".to_owned(),
            replica_identity: ReplicaIdentity::Default,
            columns: ["note", "product", "store"].map(column).to_vec(),
            key: vec![2, 1],
        };
        let name = SourceName {
            prefix: "retail".to_owned(),
            database: "shop".to_owned(),
        };
        Encoder::new(&name, Format::default()).compile(&table, 1)
    }

    fn bound(text: &str) -> Option<Vec<String>> {
        let parts = text.split(',').map(str::to_owned);
        (!text.is_empty()).then(|| parts.collect())
    }

    /// Ranges by their bounds, and where each was read.
    fn fences(order: Option<KeyOrder>, ranges: &[(&str, &str, u64)]) -> Fences {
        let begun = Position::new(1, Lsn(BEGUN), 0);
        let part = |name: &str| KeyPart {
            name: name.to_owned(),
            order,
        };
        let ranges: Vec<RangeProgress> = ranges
            .iter()
            .map(|(from, until, read_at)| RangeProgress {
                begun,
                read_at: Lsn(*read_at),
                rows: 1,
                range: KeyRange {
                    from: bound(from),
                    until: bound(until),
                },
            })
            .collect();
        let until = ranges.iter().map(|range| range.read_at).max().unwrap();
        let table = TableProgress {
            begun,
            table: "public.pairs".to_owned(),
            identity: String::new(),
            key: vec![part("store"), part("product")],
            rows_estimate: 2,
        };
        let mut progress = SnapshotRecords::default();
        progress.tables.insert(TABLE, table);
        progress.ranges.insert(TABLE, ranges);
        Fences::new(&FencesRecord { begun, until }, &progress)
    }

    fn hides(fences: &Fences, commit: u64, store: &str, product: &str) -> bool {
        let row = [
            Column::Null,
            Column::Text(product.as_bytes()),
            Column::Text(store.as_bytes()),
        ];
        let fence = fences.of(TABLE, Lsn(commit));
        fence.is_some_and(|fence| fence.hides(&plan(), &row[..]).unwrap())
    }

    #[test]
    fn a_change_below_the_point_that_its_key_was_read_at_is_hidden() {
        let integer = Some(KeyOrder::Integer);
        let fences = fences(
            integer,
            &[("10,5", "", 300), ("", "9,7", BEGUN), ("9,7", "10,5", 200)],
        );
        for (store, product, read_at) in [
            ("-5", "1", BEGUN),
            ("9", "6", BEGUN),
            ("9", "7", 200),
            ("9", "10", 200),
            ("10", "4", 200),
            ("10", "5", 300),
            ("11", "0", 300),
        ] {
            for commit in [BEGUN, 150, 199, 200, 250, 299, 300, 400] {
                assert_eq!(
                    hides(&fences, commit, store, product),
                    commit < read_at,
                    "{store},{product} at {commit}"
                );
            }
        }
        assert!(fences.of(TABLE + 1, Lsn(BEGUN)).is_none());
        assert!(!fences.are_passed(Lsn(299)) && fences.are_passed(Lsn(300)));
    }

    #[test]
    fn a_table_that_was_read_at_one_point_has_one_fence_whatever_its_keys() {
        let fences = fences(None, &[("", "", 200)]);
        assert!(hides(&fences, 199, "x", "y") && !hides(&fences, 200, "x", "y"));
    }

    #[test]
    fn keys_between_recorded_ranges_were_read_where_the_stream_begins() {
        let fences = fences(
            Some(KeyOrder::Integer),
            &[("5,0", "6,0", 200), ("8,0", "9,0", 200)],
        );
        let at = |store| hides(&fences, 150, store, "0");
        assert_eq!(
            ["4", "5", "6", "7", "8", "9"].map(at),
            [false, true, false, false, true, false]
        );
    }

    #[test]
    fn a_row_without_its_key_is_not_guessed_at() {
        let fences = fences(Some(KeyOrder::Integer), &[("5,0", "", 200)]);
        let fence = fences.of(TABLE, Lsn(150)).unwrap();
        let row = [Column::Null, Column::Null, Column::Text(b"7")];
        let missing = fence.hides(&plan(), &row[..]).unwrap_err();
        assert_eq!(missing.column, "product");
    }
}
