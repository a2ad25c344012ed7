//! The publication's tables: which of them a stream knows, which have joined since, and which have left. Pure.
//!
//! ```text
//!  publication ──watch──▶ compared with what is recorded ──News──▶ stream: recorded with the next position,
//!                           joined · left                          what joined with its request to be read
//! ```
//!
//! A table is known when the rows that it had before are in its topic, or are left out on purpose. One that joins is
//! read by the machinery of ad hoc snapshots. One that was taken out and put in again has lost changes: so what puts
//! a table into the publication is recorded, too, and none of it is the same then.

mod lists;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::ad_hoc::Found;
use crate::config::settings::{AddedTables, SnapshotMode, Source};
use crate::kafka::{AdHocRecords, Entry, Member, MemberRecords};
use crate::postgres::PublishedTable;

pub(crate) use lists::{Relistings, list_columns};
pub(crate) use watch::Watch;

/// What the stream has to record, and to read.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// To be recorded with the next position.
    pub(crate) entries: Vec<Entry>,
    /// Tables that are to be read, recorded with it.
    pub(crate) read: Vec<Found>,
}

/// What is recorded of a table that the publication has.
fn member(table: &PublishedTable) -> Member {
    Member {
        table: table.table.to_string(),
        through: table.through.clone(),
        left: false,
    }
}

/// Whether the rows are read of tables that join.
pub(super) fn reads(source: &Source) -> bool {
    let reads = match source.snapshot {
        SnapshotMode::Initial | SnapshotMode::WhenNeeded => true,
        SnapshotMode::Never | SnapshotMode::Only => false,
    };
    reads && source.added_tables == AddedTables::Read
}

/// The tables that are known, but for those that have joined and are still read.
pub(super) fn read(records: &MemberRecords, requests: &AdHocRecords) -> HashSet<u32> {
    let known = records.tables.iter().filter(|(_, member)| !member.left);
    let joined = requests.requests.iter().filter(|request| request.joined);
    let tables = joined.filter_map(|request| requests.tables.get(&request.id));
    let open = tables.flatten().filter(|(_, table)| !table.finished);
    let open: HashSet<u32> = open.map(|(oid, _)| *oid).collect();
    let known = known.map(|(oid, _)| *oid);
    known.filter(|oid| !open.contains(oid)).collect()
}

/// Whether it is seen what puts a table into the publication. The server's function that lists the tables looks past
/// the snapshot of the query that calls it: what it has only just seen is another look's.
fn is_seen(table: &PublishedTable) -> bool {
    !table.through.is_empty()
}

/// All of these tables are known, whatever was recorded before.
pub(super) fn know_all(records: &mut MemberRecords, tables: &[PublishedTable]) -> Vec<Entry> {
    let seen = tables.iter().filter(|table| is_seen(table));
    let tables = seen.map(|table| (table.id, member(table)));
    records.begin(tables.collect())
}

/// The tables that are known, or have left.
#[derive(Debug)]
pub(crate) struct Members {
    known: BTreeMap<u32, Member>,
}

/// What is otherwise than it is known.
#[derive(Debug, Default, PartialEq, Eq)]
struct Compared {
    /// Not known; whether its topic shows what is void by now.
    joined: BTreeMap<u32, bool>,
    /// Not published any more.
    left: BTreeSet<u32>,
    /// Known by another name, or also through something else.
    altered: BTreeSet<u32>,
}

impl Members {
    /// As they are recorded.
    pub(crate) fn new(records: MemberRecords) -> Members {
        Members {
            known: records.tables,
        }
    }

    fn compare(&self, published: &[PublishedTable]) -> Compared {
        let mut compared = Compared::default();
        let ids: BTreeSet<u32> = published.iter().map(|table| table.id).collect();
        let gone = |oid: &u32| !ids.contains(oid);
        let present = self.known.iter().filter(|(_, member)| !member.left);
        compared.left = present.map(|(oid, _)| *oid).filter(gone).collect();
        let left = self.known.iter().filter(|(oid, member)| {
            // By now, that is.
            member.left || compared.left.contains(oid)
        });
        let left: BTreeSet<&str> = left.map(|(_, member)| member.table.as_str()).collect();
        for table in published.iter().filter(|table| is_seen(table)) {
            let now = member(table);
            let known = self.known.get(&table.id);
            let stayed = |before: &&Member| {
                !before.left && before.through.iter().any(|way| now.through.contains(way))
            };
            match known.filter(stayed) {
                Some(before) if *before == now => {}
                Some(_) => {
                    compared.altered.insert(table.id);
                }
                None => {
                    let void = known.is_some() || left.contains(now.table.as_str());
                    compared.joined.insert(table.id, void);
                }
            }
        }
        compared
    }

    /// A table is known from now on.
    fn admit(&mut self, table: &PublishedTable) -> Vec<Entry> {
        let now = member(table);
        let is_former =
            |oid: u32, member: &Member| oid != table.id && member.left && member.table == now.table;
        let former = self.known.iter();
        let former: Vec<u32> = former
            .filter(|(oid, member)| is_former(**oid, member))
            .map(|(oid, _)| *oid)
            .collect();
        let mut entries = vec![now.entry(table.id)];
        for oid in former {
            self.known.remove(&oid);
            entries.push(Member::forget(oid));
        }
        self.known.insert(table.id, now);
        entries
    }

    /// A table has left.
    fn leave(&mut self, oid: u32) -> Option<Entry> {
        let member = self.known.get_mut(&oid)?;
        member.left = true;
        Some(member.entry(oid))
    }

    /// Those of the tables with another column list that were known with the one before. `relisted`: what had put them
    /// into the publication then.
    fn only_relisted(&self, relisted: HashMap<u32, String>) -> impl Iterator<Item = u32> {
        let known = |(oid, before): &(u32, String)| {
            let member = self.known.get(oid).filter(|member| !member.left);
            member.is_some_and(|member| member.through.contains(before))
        };
        relisted.into_iter().filter(known).map(|(oid, _)| oid)
    }

    fn name(&self, oid: u32) -> &str {
        let member = self.known.get(&oid);
        member.map_or("", |member| member.table.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::postgres::TableName;

    fn table(id: u32, name: &str, through: &[&str]) -> PublishedTable {
        PublishedTable {
            id,
            table: TableName {
                schema: "public".to_owned(),
                name: name.to_owned(),
            },
            partitioned: false,
            columns: Vec::new(),
            row_filter: None,
            through: through.iter().map(ToString::to_string).collect(),
            rows_estimate: 0,
            bytes: 0,
        }
    }

    /// Those that are known when these are published at the first start.
    fn known(tables: &[PublishedTable]) -> Members {
        let mut records = MemberRecords::default();
        know_all(&mut records, tables);
        Members::new(records)
    }

    fn joined(compared: &Compared) -> Vec<(u32, bool)> {
        let joined = compared.joined.iter();
        joined.map(|(oid, void)| (*oid, *void)).collect()
    }

    fn only(oid: u32) -> BTreeSet<u32> {
        BTreeSet::from([oid])
    }

    #[test]
    fn what_is_published_for_the_first_time_joins() {
        let (a, b) = (table(1, "a", &["table 11"]), table(2, "b", &["table 12"]));
        let members = known(from_ref(&a));
        assert_eq!(members.compare(from_ref(&a)), Compared::default());
        assert_eq!(joined(&members.compare(&[a, b])), [(2, false)]);
    }

    #[test]
    fn what_is_half_seen_has_neither_joined_nor_left() {
        let half = table(1, "a", &[]);
        let members = known(from_ref(&half));
        assert_eq!(members.compare(from_ref(&half)), Compared::default());
        let whole = table(1, "a", &["table 11"]);
        assert_eq!(joined(&members.compare(from_ref(&whole))), [(1, false)]);
        let members = known(&[whole]);
        assert_eq!(members.compare(from_ref(&half)), Compared::default());
    }

    #[test]
    fn what_was_taken_out_and_put_in_again_joins_once_more() {
        let mut members = known(&[table(1, "a", &["table 11"])]);
        // Nobody has seen that it was away.
        let back = table(1, "a", &["table 12"]);
        assert_eq!(joined(&members.compare(from_ref(&back))), [(1, true)]);
        assert_eq!(members.compare(&[]).left, only(1));
        members.leave(1).unwrap();
        assert_eq!(members.compare(&[]), Compared::default());
        assert_eq!(joined(&members.compare(from_ref(&back))), [(1, true)]);
        members.admit(&back);
        assert_eq!(members.compare(&[back]), Compared::default());
    }

    #[test]
    fn what_stays_through_something_else_has_not_been_away() {
        let mut members = known(&[table(1, "a", &["table 11"])]);
        let both = table(1, "a", &["schema 21", "table 11"]);
        assert_eq!(members.compare(from_ref(&both)).altered, only(1));
        members.admit(&both);
        let schema = table(1, "a", &["schema 21"]);
        assert_eq!(members.compare(&[schema]).altered, only(1));
    }

    #[test]
    fn what_only_got_another_list_was_known_before_it() {
        let members = known(&[table(1, "a", &["table 11"]), table(2, "b", &["table 12"])]);
        let relisted = [(1, "table 11"), (2, "table 15"), (3, "table 13")];
        let relisted = relisted.map(|(oid, before)| (oid, before.to_owned()));
        let relisted = HashMap::from(relisted);
        assert_eq!(members.only_relisted(relisted).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_renamed_table_is_the_same() {
        let members = known(&[table(1, "a", &["all 5"])]);
        let compared = members.compare(&[table(1, "b", &["all 5"])]);
        assert_eq!((compared.altered, compared.joined.len()), (only(1), 0));
    }

    #[test]
    fn a_new_table_of_a_former_name_finds_its_topic_void() {
        let mut members = known(&[table(1, "a", &["all 5"])]);
        let new = table(2, "a", &["all 5"]);
        let compared = members.compare(from_ref(&new));
        assert_eq!(
            (joined(&compared), compared.left),
            (vec![(2, true)], only(1))
        );
        members.leave(1);
        assert_eq!(joined(&members.compare(from_ref(&new))), [(2, true)]);
        let entries = members.admit(&new);
        assert_eq!(entries, [member(&new).entry(2), Member::forget(1)]);
        assert_eq!(members.compare(&[new]), Compared::default());
    }
}
