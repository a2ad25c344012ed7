//! What is recorded of ad hoc snapshots, beside the position and in the same topic.
//!
//! ```text
//! ad-hoc/7d1f0c52            a request: its state, how far it is
//! ad-hoc/7d1f0c52/16385      a table of it: the key reached, the rows, the first point
//! ```
//!
//! A request is recorded in the Kafka transaction that moves the position past its message, a chunk's progress
//! in that of its rows. The records of the tables go when the request ends; those of the last few requests stay,
//! so that whoever asks for one finds out what became of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::progress::Entry;
use crate::event::Position;

/// Begins the key of every record of these.
pub(super) const PREFIX: &str = "ad-hoc/";

/// A request to read tables again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRequest {
    /// Its name.
    pub id: String,
    /// Requests are carried out in this order.
    pub number: u64,
    /// Patterns of the tables asked for; none: all.
    pub tables: Vec<String>,
    /// Nobody has asked for it: these tables have joined the publication.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// What becomes of it.
    pub state: RequestState,
    /// Why it failed, or what could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was taken up, microseconds since 1970.
    pub taken_up_us: i64,
    /// When its first chunk was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_us: Option<i64>,
    /// When its last chunk was published, or it was cancelled or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<i64>,
    /// Tables that it reads.
    pub tables_total: u64,
    /// Those that are read.
    pub tables_finished: u64,
    /// Rows that are published.
    pub rows: u64,
    /// Rows that there are, by the planner's estimate.
    pub rows_estimate: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// Taken up; its tables have not been looked up.
    TakenUp,
    /// Its tables are read, or wait for those of an earlier one.
    Reading,
    /// Nothing is read until it is resumed.
    Paused,
    /// Every row is published.
    Finished,
    /// Ended on request; what is published stays.
    Cancelled,
    /// It could not be carried out.
    Failed,
}

impl RequestState {
    /// Whether nothing more becomes of it.
    pub fn has_ended(self) -> bool {
        match self {
            RequestState::TakenUp | RequestState::Reading | RequestState::Paused => false,
            RequestState::Finished | RequestState::Cancelled | RequestState::Failed => true,
        }
    }

    /// Its name, as in the record.
    pub fn name(self) -> &'static str {
        match self {
            RequestState::TakenUp => "taken-up",
            RequestState::Reading => "reading",
            RequestState::Paused => "paused",
            RequestState::Finished => "finished",
            RequestState::Cancelled => "cancelled",
            RequestState::Failed => "failed",
        }
    }
}

/// A table of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a record, which says each of them by its name"
)]
pub struct RequestTable {
    /// Tables are read in this order.
    pub number: u64,
    /// Its name, for people.
    pub table: String,
    /// Its topic.
    pub topic: String,
    /// Whether the request reads every table of that topic: then its end is marked there.
    pub whole_topic: bool,
    /// What its topic shows of it is void before its first chunk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub void: bool,
    /// `(epoch, resume LSN when the first chunk's read began, 0)`; none before its first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Position>,
    /// What it looked like when it was begun: altered or rewritten since, it is read from its beginning.
    #[serde(default)]
    pub identity: String,
    /// The next chunk begins with this key; none: with the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Vec<String>>,
    /// Every key has been passed. Rows are left that were not where they are now when their key was, and that the row
    /// store knows in part: it lists them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passed: bool,
    /// Rows that are published.
    pub rows: u64,
    /// Rows that it has, by the planner's estimate.
    pub rows_estimate: u64,
    /// All of it is read, or it is gone.
    pub finished: bool,
}

impl SnapshotRequest {
    /// Its record.
    pub fn entry(&self) -> Entry {
        entry(format!("{PREFIX}{}", self.id), self)
    }

    /// The removal of its record.
    pub fn forget(&self) -> Entry {
        removal(format!("{PREFIX}{}", self.id))
    }
}

impl RequestTable {
    /// Its record.
    pub fn entry(&self, request: &str, oid: u32) -> Entry {
        entry(format!("{PREFIX}{request}/{oid}"), self)
    }

    /// The removal of its record.
    pub fn forget(request: &str, oid: u32) -> Entry {
        removal(format!("{PREFIX}{request}/{oid}"))
    }
}

fn entry(key: String, value: &impl Serialize) -> Entry {
    Entry {
        key: key.into_bytes(),
        // Serialising plain numbers and strings into memory does not fail.
        value: Some(serde_json::to_vec(value).unwrap_or_default()),
    }
}

fn removal(key: String) -> Entry {
    Entry {
        key: key.into_bytes(),
        value: None,
    }
}

/// Everything that is recorded of ad hoc snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdHocRecords {
    /// Requests, in the order in which they are carried out.
    pub requests: Vec<SnapshotRequest>,
    /// Tables of those that have not ended, by the request's id and the table's oid.
    pub tables: BTreeMap<String, BTreeMap<u32, RequestTable>>,
}

impl AdHocRecords {
    /// What the records say; one that cannot be read is a later version's, and left alone.
    pub(crate) fn read(records: BTreeMap<Vec<u8>, Vec<u8>>) -> AdHocRecords {
        let mut found = AdHocRecords::default();
        for (key, value) in records {
            if found.take(&key, &value).is_none() {
                tracing::warn!(
                    key = %String::from_utf8_lossy(&key),
                    "a record of an ad hoc snapshot cannot be read: it is passed over"
                );
            }
        }
        found.requests.sort_by_key(|request| request.number);
        found
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
        match rest.split_once('/') {
            None => self.requests.push(serde_json::from_slice(value).ok()?),
            Some((request, oid)) => {
                let table = serde_json::from_slice(value).ok()?;
                let tables = self.tables.entry(request.to_owned()).or_default();
                tables.insert(oid.parse().ok()?, table);
            }
        }
        Some(())
    }

    /// Tables of which a part has been read, and the rest is to be.
    pub(crate) fn begun(&self) -> impl Iterator<Item = u32> {
        let tables = self.tables.values().flatten();
        let begun = tables.filter(|(_, table)| table.begun.is_some() && !table.finished);
        begun.map(|(oid, _)| *oid)
    }

    /// A request by its id.
    pub fn request(&self, id: &str) -> Option<&SnapshotRequest> {
        self.requests.iter().find(|request| request.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Lsn;

    fn request(id: &str, number: u64) -> SnapshotRequest {
        SnapshotRequest {
            id: id.to_owned(),
            number,
            tables: vec!["public.orders".to_owned()],
            joined: number == 2,
            state: RequestState::Reading,
            reason: None,
            taken_up_us: 1,
            began_us: None,
            ended_us: None,
            tables_total: 1,
            tables_finished: 0,
            rows: 0,
            rows_estimate: 10,
        }
    }

    #[test]
    fn records_come_back_as_they_were_written() {
        let table = RequestTable {
            number: 0,
            table: "public.orders".to_owned(),
            topic: "retail.public.orders".to_owned(),
            whole_topic: true,
            void: true,
            begun: Some(Position::new(1, Lsn(100), 0)),
            identity: "as it was".to_owned(),
            reached: Some(vec!["7".to_owned(), "a/b".to_owned()]),
            passed: true,
            rows: 5,
            rows_estimate: 10,
            finished: false,
        };
        let (first, second) = (request("b", 1), request("a", 2));
        let entries = [first.entry(), second.entry(), table.entry("b", 16385)];
        let records = entries.map(|entry| (entry.key, entry.value.unwrap()));
        let mut records = BTreeMap::from(records);
        records.insert(b"ad-hoc/c".to_vec(), b"{\"later\":1}".to_vec());
        let found = AdHocRecords::read(records);
        assert_eq!(found.requests, [first, second]);
        assert_eq!(found.tables["b"], BTreeMap::from([(16385, table)]));
        assert_eq!(found.begun().collect::<Vec<_>>(), [16385]);
        assert!(found.request("a").is_some() && found.request("c").is_none());
        assert_eq!(request("b", 1).forget().key, b"ad-hoc/b");
        assert_eq!(RequestTable::forget("b", 16385).key, b"ad-hoc/b/16385");
    }

    #[test]
    fn states_are_named_as_they_are_recorded() {
        for state in [
            RequestState::TakenUp,
            RequestState::Reading,
            RequestState::Paused,
            RequestState::Finished,
            RequestState::Cancelled,
            RequestState::Failed,
        ] {
            let recorded = serde_json::to_string(&state).unwrap();
            assert_eq!(recorded, format!("\"{}\"", state.name()));
        }
    }
}
