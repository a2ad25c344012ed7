//! What a snapshot records of its progress, beside the position and in the same topic.
//!
//! ```text
//! snapshot/16385                 the table: which snapshot reads it, and what it looked like
//! snapshot/16385/                its keys up to `until` are in the topic, read at `read_at`
//! snapshot/16385/["1000","7"]    those from there on
//! ```
//!
//! A range's record is in the Kafka transaction of its rows, so it says no more and no less than what is in
//! the table's topic. Each names the snapshot that it belongs to (`begun`): a record that a snapshot before
//! has left behind means nothing to the next one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{KeyOrder, KeyRange, Lsn, Position};

/// Begins the key of every record of these.
pub(super) const PREFIX: &str = "snapshot/";

/// A record of the position topic; without a value, the removal of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; `None`: a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A table that a snapshot reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProgress {
    /// `(epoch, consistent point, 0)` of the snapshot's first start.
    pub begun: Position,
    /// Its name, for people.
    pub table: String,
    /// What must not have changed for its finished ranges to count: storage, key, row filter.
    pub identity: String,
    /// Its key; empty without one.
    pub key: Vec<KeyPart>,
    /// Rows it has, by the planner's estimate.
    #[serde(default)]
    pub rows_estimate: u64,
}

/// A column of a table's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// Its name.
    pub name: String,
    /// How its text is ordered; none where only the server knows.
    pub order: Option<KeyOrder>,
}

/// Keys whose rows are in the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeProgress {
    /// As in [`TableProgress`].
    pub begun: Position,
    /// The consistent point that they were read at.
    pub read_at: Lsn,
    /// How many.
    #[serde(default)]
    pub rows: u64,
    /// Which keys. A table without a key has no bound to name: `until` is empty until its last row.
    #[serde(flatten)]
    pub range: KeyRange,
}

impl TableProgress {
    /// Whether finished ranges of the one are also the other's.
    pub fn is_same(&self, other: &TableProgress) -> bool {
        self.identity == other.identity && self.key == other.key
    }

    /// Its record.
    pub fn entry(&self, table: u32) -> Entry {
        Entry {
            key: table_key(table),
            // Serialising plain numbers and strings into memory does not fail.
            value: Some(serde_json::to_vec(self).unwrap_or_default()),
        }
    }
}

impl RangeProgress {
    /// Its record.
    pub fn entry(&self, table: u32) -> Entry {
        Entry {
            key: range_key(table, &self.range),
            // As above.
            value: Some(serde_json::to_vec(self).unwrap_or_default()),
        }
    }
}

/// The removal of a range's record.
pub fn forget_range(table: u32, range: &KeyRange) -> Entry {
    Entry {
        key: range_key(table, range),
        value: None,
    }
}

/// Whether ranges lead from the first key to the last.
pub fn are_whole(finished: &[RangeProgress]) -> bool {
    let behind = |from: &Option<Vec<String>>| {
        let mut ranges = finished.iter().map(|progress| &progress.range);
        ranges.find(|range| range.from == *from)
    };
    let mut next = behind(&None);
    // No range comes twice, so that is as far as they can lead.
    for _ in finished {
        match next {
            None => return false,
            Some(range) if range.until.is_none() => return true,
            Some(range) => next = behind(&range.until),
        }
    }
    false
}

fn table_key(table: u32) -> Vec<u8> {
    format!("{PREFIX}{table}").into_bytes()
}

fn range_key(table: u32, range: &KeyRange) -> Vec<u8> {
    let from = range.from.as_ref();
    // As above.
    let from = from.map_or_else(String::new, |from| {
        serde_json::to_string(from).unwrap_or_default()
    });
    format!("{PREFIX}{table}/{from}").into_bytes()
}

/// Everything that is recorded, by the table's oid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRecords {
    /// Tables.
    pub tables: BTreeMap<u32, TableProgress>,
    /// Their finished ranges, in no order that the keys have.
    pub ranges: BTreeMap<u32, Vec<RangeProgress>>,
    /// Keys of records that belong to no table above: another snapshot's, or unreadable.
    stale: Vec<Vec<u8>>,
}

impl SnapshotRecords {
    /// What the records say of the snapshot that was begun there; the others are only to be removed.
    pub(super) fn of(begun: Position, records: BTreeMap<Vec<u8>, Vec<u8>>) -> SnapshotRecords {
        let mut progress = SnapshotRecords::default();
        for (key, value) in records {
            if progress.take(begun, &key, &value).is_none() {
                progress.stale.push(key);
            }
        }
        progress
    }

    fn take(&mut self, begun: Position, key: &[u8], value: &[u8]) -> Option<()> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
        match rest.split_once('/') {
            None => {
                let table: TableProgress = serde_json::from_slice(value).ok()?;
                let oid = rest.parse().ok().filter(|_| table.begun == begun)?;
                self.tables.insert(oid, table);
            }
            Some((oid, _)) => {
                let range: RangeProgress = serde_json::from_slice(value).ok()?;
                let oid = oid.parse().ok().filter(|_| range.begun == begun)?;
                self.ranges.entry(oid).or_default().push(range);
            }
        }
        Some(())
    }

    /// The finished ranges of a table.
    pub fn ranges_of(&self, table: u32) -> &[RangeProgress] {
        self.ranges.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The removal of everything that stands there.
    pub fn forget(&self) -> Vec<Entry> {
        let tables = self.tables.keys().map(|table| table_key(*table));
        let ranges = self.ranges.iter().flat_map(|(table, ranges)| {
            ranges
                .iter()
                .map(|progress| range_key(*table, &progress.range))
        });
        let keys = tables.chain(ranges).chain(self.stale.iter().cloned());
        keys.map(|key| Entry { key, value: None }).collect()
    }

    /// The removal of what was read at `lsn`, and of tables of which nothing else is left; here too.
    pub fn forget_read_at(&mut self, lsn: Lsn) -> Vec<Entry> {
        let mut forgotten: Vec<Entry> = Vec::new();
        for (table, ranges) in &mut self.ranges {
            let gone = ranges.extract_if(.., |progress| progress.read_at == lsn);
            forgotten.extend(gone.map(|progress| forget_range(*table, &progress.range)));
        }
        self.ranges.retain(|_, ranges| !ranges.is_empty());
        let unfenced = self
            .tables
            .extract_if(.., |table, _| !self.ranges.contains_key(table));
        forgotten.extend(unfenced.map(|(table, _)| Entry {
            key: table_key(table),
            value: None,
        }));
        forgotten
    }

    /// The removal of a table's finished ranges, here too.
    pub fn forget_ranges(&mut self, table: u32) -> Vec<Entry> {
        let ranges = self.ranges.remove(&table).unwrap_or_default();
        ranges
            .iter()
            .map(|progress| forget_range(table, &progress.range))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: Lsn = Lsn(100);

    fn range(from: Option<&str>, until: Option<&str>) -> KeyRange {
        let bound = |text: Option<&str>| text.map(|text| vec![text.to_owned()]);
        KeyRange {
            from: bound(from),
            until: bound(until),
        }
    }

    fn table(begun: Lsn) -> TableProgress {
        TableProgress {
            begun: Position::new(1, begun, 0),
            table: "public.orders".to_owned(),
            identity: "16385:16385".to_owned(),
            key: vec![KeyPart {
                name: "id".to_owned(),
                order: Some(KeyOrder::Integer),
            }],
            rows_estimate: 1000,
        }
    }

    fn finished(begun: Lsn, range: KeyRange) -> RangeProgress {
        RangeProgress {
            begun: Position::new(1, begun, 0),
            read_at: Lsn(200),
            rows: 10,
            range,
        }
    }

    #[test]
    fn records_come_back_as_they_were_written() {
        let first = finished(BEGUN, range(None, Some("10")));
        let rest = finished(BEGUN, range(Some("10"), None));
        let left_behind = finished(Lsn(7), range(Some("5"), None));
        let entries = [
            table(BEGUN).entry(16385),
            first.entry(16385),
            rest.entry(16385),
            left_behind.entry(16385),
            table(Lsn(7)).entry(16400),
        ];
        let records = entries.clone().into_iter();
        let records = records.map(|entry| (entry.key, entry.value.unwrap()));
        let mut progress = SnapshotRecords::of(Position::new(1, BEGUN, 0), records.collect());
        assert_eq!(progress.tables, BTreeMap::from([(16385, table(BEGUN))]));
        assert_eq!(progress.ranges_of(16385), [first.clone(), rest]);
        assert!(progress.ranges_of(16400).is_empty());

        let mut forgotten: Vec<Vec<u8>> = progress
            .forget()
            .into_iter()
            .map(|entry| entry.key)
            .collect();
        let mut written: Vec<Vec<u8>> = entries.into_iter().map(|entry| entry.key).collect();
        forgotten.sort();
        written.sort();
        assert_eq!(forgotten, written);
        assert_eq!(progress.forget_ranges(16385).len(), 2);
        assert!(progress.ranges_of(16385).is_empty());
    }

    #[test]
    fn what_was_read_where_the_stream_begins_needs_no_fence() {
        let mut progress = SnapshotRecords::default();
        for oid in [16385, 16400] {
            progress.tables.insert(oid, table(BEGUN));
        }
        let early = RangeProgress {
            read_at: BEGUN,
            ..finished(BEGUN, range(None, Some("10")))
        };
        let late = finished(BEGUN, range(Some("10"), None));
        progress
            .ranges
            .insert(16385, vec![early.clone(), late.clone()]);
        progress.ranges.insert(16400, vec![early]);
        let keys: Vec<String> = progress
            .forget_read_at(BEGUN)
            .into_iter()
            .map(|entry| String::from_utf8(entry.key).unwrap())
            .collect();
        assert_eq!(
            keys,
            ["snapshot/16385/", "snapshot/16400/", "snapshot/16400"]
        );
        assert_eq!(progress.ranges_of(16385), [late]);
        assert_eq!(progress.tables.len(), 1);
    }

    #[test]
    fn keys_tell_the_ranges_of_a_table_apart() {
        let key = |range: &KeyRange| String::from_utf8(forget_range(7, range).key).unwrap();
        assert_eq!(key(&range(None, None)), "snapshot/7/");
        assert_eq!(key(&range(Some("a\"/"), None)), r#"snapshot/7/["a\"/"]"#);
    }
}
