//! Which tables the publication has had: the rows that they had before are in their topics, or left out on purpose.
//!
//! ```text
//! member/            that this is recorded at all: a table that is not has joined since
//! member/16385       a table: its name, and what puts it into the publication
//! ```
//!
//! What becomes of a table that joins is recorded in the same Kafka transaction as its request to be read, and that a
//! table has left before it can join again. One that has left stays recorded, since its topic does: what that shows is
//! void when the table comes back, or another one of its name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::progress::Entry;

/// Begins the key of every record of these.
pub(super) const PREFIX: &str = "member/";

/// A table that the publication has, or has had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub table: String,
    /// What puts it into the publication: none of it is the same once it was taken out and put in again.
    pub through: Vec<String>,
    /// It is not in the publication any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

impl Member {
    /// Its record.
    pub fn entry(&self, table: u32) -> Entry {
        Entry {
            key: format!("{PREFIX}{table}").into_bytes(),
            // Serialising plain strings into memory does not fail.
            value: Some(serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// The removal of its record.
    pub fn forget(table: u32) -> Entry {
        Entry {
            key: format!("{PREFIX}{table}").into_bytes(),
            value: None,
        }
    }
}

/// Everything that is recorded of the publication's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberRecords {
    /// Whether anything was recorded yet: an earlier version has recorded nothing.
    pub begun: bool,
    /// The tables by their oids.
    pub tables: BTreeMap<u32, Member>,
}

impl MemberRecords {
    /// What the records say; one that cannot be read is a later version's, and left alone.
    pub(super) fn read(records: BTreeMap<Vec<u8>, Vec<u8>>) -> MemberRecords {
        let mut found = MemberRecords::default();
        for (key, value) in records {
            if found.take(&key, &value).is_none() {
                tracing::warn!(
                    key = %String::from_utf8_lossy(&key),
                    "a record of a published table cannot be read: it is passed over"
                );
            }
        }
        found
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let oid = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
        if oid.is_empty() {
            self.begun = true;
        } else {
            let member = serde_json::from_slice(value).ok()?;
            self.tables.insert(oid.parse().ok()?, member);
        }
        Some(())
    }

    /// Records exactly these tables, whatever was recorded before.
    pub fn begin(&mut self, tables: BTreeMap<u32, Member>) -> Vec<Entry> {
        let gone = self.tables.keys().filter(|oid| !tables.contains_key(oid));
        let mut entries: Vec<Entry> = gone.map(|oid| Member::forget(*oid)).collect();
        entries.push(Entry {
            key: PREFIX.as_bytes().to_vec(),
            value: Some(b"{}".to_vec()),
        });
        entries.extend(tables.iter().map(|(oid, member)| member.entry(*oid)));
        (self.begun, self.tables) = (true, tables);
        entries
    }

    /// The removal of everything: as an earlier version has left it.
    pub fn forget(self) -> Vec<Entry> {
        let tables = self.tables.keys().map(|oid| Member::forget(*oid));
        let mark = Entry {
            key: PREFIX.as_bytes().to_vec(),
            value: None,
        };
        tables.chain(self.begun.then_some(mark)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(table: &str, left: bool) -> Member {
        Member {
            table: table.to_owned(),
            through: vec!["table 17".to_owned()],
            left,
        }
    }

    fn apply(recorded: &mut BTreeMap<Vec<u8>, Vec<u8>>, entries: Vec<Entry>) -> MemberRecords {
        for entry in entries {
            match entry.value {
                Some(value) => recorded.insert(entry.key, value),
                None => recorded.remove(&entry.key),
            };
        }
        MemberRecords::read(recorded.clone())
    }

    #[test]
    fn records_come_back_as_they_were_written() {
        let mut recorded = BTreeMap::new();
        let mut records = MemberRecords::default();
        let first = BTreeMap::from([
            (7, member("public.a", false)),
            (8, member("public.b", true)),
        ]);
        let entries = records.begin(first);
        assert_eq!(apply(&mut recorded, entries), records);
        assert!(records.begun && records.tables[&8].left);
        let entries = records.begin(BTreeMap::from([(9, member("public.c", false))]));
        assert_eq!(apply(&mut recorded, entries), records);
        assert_eq!(records.tables.len(), 1);
        assert_eq!(
            apply(&mut recorded, records.forget()),
            MemberRecords::default()
        );
    }

    #[test]
    fn no_table_is_something_else_than_no_record() {
        let mut recorded = BTreeMap::new();
        let entries = MemberRecords::default().begin(BTreeMap::new());
        assert!(apply(&mut recorded, entries).begun);
    }
}
