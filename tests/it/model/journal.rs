//! What the source did to each key, and the assertion that a topic holds exactly that.
//!
//! Triggers number every row version and write each change into a journal in the same transaction. A
//! row's lock is held while its trigger runs, so the journal's sequence orders the changes of one key
//! as they were committed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Record, position};

/// One change of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Inserted or updated to the row version.
    Version(i64),
    /// Read by a snapshot at the row version.
    Read(i64),
    /// Deleted.
    Deleted,
    /// Gone with a truncate.
    Truncated,
}

/// Where a topic's history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// With the journal: every change is in the topic.
    Journal,
    /// With a snapshot taken while the journal was running already.
    Snapshot,
}

/// The changes of each key in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    keys: BTreeMap<String, Vec<Change>>,
}

/// SQL that makes an empty `table` (already quoted) number and journal its changes. The journal is the table
/// `journal` of the schema `tests`, to be left out of the publication.
pub(crate) fn journal_sql(table: &str, key: &[&str]) -> String {
    // In the order in which serde_json hands over the fields of a record's key.
    let mut key = key.to_vec();
    key.sort_unstable();
    let text = |row: &str| {
        let columns: Vec<String> = key.iter().map(|column| format!("{row}.{column}")).collect();
        format!("concat_ws(',', {})", columns.join(", "))
    };
    let name = table.replace(|character: char| !character.is_ascii_alphanumeric(), "_");
    let (new, old) = (text("new"), text("old"));
    format!(
        "create schema if not exists tests;
        create sequence if not exists tests.version;
        create table if not exists tests.journal (
            sequence bigint generated always as identity primary key,
            source_table text not null, key text, version bigint, op text not null);
        alter table {table} add column if not exists version bigint;
        create or replace function tests.number_{name}() returns trigger language plpgsql as $$
        begin
            new.version := nextval('tests.version');
            return new;
        end $$;
        create or replace function tests.journal_{name}() returns trigger language plpgsql as $$
        begin
            if tg_op = 'TRUNCATE' then
                insert into tests.journal (source_table, op) values ('{table}', 't');
                return null;
            end if;
            if tg_op = 'DELETE' or tg_op = 'UPDATE' and {old} <> {new} then
                insert into tests.journal (source_table, key, op) values ('{table}', {old}, 'd');
            end if;
            if tg_op <> 'DELETE' then
                insert into tests.journal (source_table, key, version, op)
                values ('{table}', {new}, new.version, 'v');
            end if;
            return null;
        end $$;
        create trigger tests_number before insert or update on {table}
            for each row execute function tests.number_{name}();
        create trigger tests_journal after insert or update or delete on {table}
            for each row execute function tests.journal_{name}();
        create trigger tests_journal_truncate after truncate on {table}
            for each statement execute function tests.journal_{name}();"
    )
}

impl Journal {
    /// Reads the journal of one table, named as it was given to [`journal_sql`].
    pub(crate) async fn read(client: &tokio_postgres::Client, table: &str) -> Journal {
        let sql =
            "select key, version, op from tests.journal where source_table = $1 order by sequence";
        let mut journal = Journal::default();
        for row in client.query(sql, &[&table]).await.unwrap() {
            let (key, version): (Option<String>, Option<i64>) = (row.get(0), row.get(1));
            match row.get::<_, String>(2).as_str() {
                "v" => journal.push(key.unwrap(), Change::Version(version.unwrap())),
                "d" => journal.push(key.unwrap(), Change::Deleted),
                "t" => journal
                    .keys
                    .values_mut()
                    .for_each(|changes| changes.push(Change::Truncated)),
                op => panic!("unknown op {op}"),
            }
        }
        journal
    }

    fn push(&mut self, key: String, change: Change) {
        self.keys.entry(key).or_default().push(change);
    }

    /// Changes in all.
    pub(crate) fn len(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }
}

/// Panics unless the topic's records hold every change of the journal once and in order per key, with
/// a tombstone after each delete, and positions that never step back within a partition. Returns how
/// many changes it found.
pub(crate) fn assert_every_change_once(
    records: &[Record],
    expected: &Journal,
    from: Beginning,
) -> usize {
    assert_positions(records);
    assert_tombstones(records);
    let found = changes(records);
    let mut wrong = Vec::new();
    for key in expected.keys.keys().chain(found.keys()) {
        let empty = Vec::new();
        let journal = expected.keys.get(key).unwrap_or(&empty);
        let topic = found.get(key).unwrap_or(&empty);
        let same = match from {
            Beginning::Journal => journal == topic,
            Beginning::Snapshot => follows_snapshot(journal, topic),
        };
        if !same {
            wrong.push(format!(
                "key {key}\n  source {journal:?}\n  topic  {topic:?}"
            ));
        }
    }
    wrong.dedup();
    let first: Vec<String> = wrong.iter().take(10).cloned().collect();
    assert!(
        wrong.is_empty(),
        "{} keys differ:\n{}",
        wrong.len(),
        first.join("\n")
    );
    found.values().map(Vec::len).sum()
}

/// Panics unless the topic's streamed records are the last changes of each key in the journal, each once and in
/// order, and every read shows what the change told before it had made of its key: never anything older, never
/// anything that is yet to be told. Returns how many changes and reads it found.
pub(crate) fn assert_reads_fit(records: &[Record], expected: &Journal) -> (usize, usize) {
    assert_positions(records);
    let found = changes(records);
    let (mut changes, mut reads) = (0, 0);
    for (key, topic) in &found {
        let journal = expected.keys.get(key).map_or(&[][..], Vec::as_slice);
        let told: Vec<Change> = topic
            .iter()
            .copied()
            .filter(|change| !matches!(change, Change::Read(_)))
            .collect();
        assert!(
            journal.ends_with(&told),
            "key {key}\n  source {journal:?}\n  topic  {topic:?}"
        );
        let mut at = journal.len() - told.len();
        for event in topic {
            if let Change::Read(version) = event {
                let now = at.checked_sub(1).map(|last| journal[last]);
                assert_eq!(
                    now,
                    Some(Change::Version(*version)),
                    "key {key}\n  source {journal:?}\n  topic  {topic:?}"
                );
                reads += 1;
            } else {
                at += 1;
            }
        }
        changes += told.len();
    }
    (changes, reads)
}

/// Each key's changes as the topic tells them.
fn changes(records: &[Record]) -> BTreeMap<String, Vec<Change>> {
    let mut keys: BTreeMap<String, (i32, Vec<Change>)> = BTreeMap::new();
    for record in records {
        let Some(event) = event(record) else { continue };
        let op = event["op"].as_str().unwrap();
        if op == "t" {
            // A snapshot that starts over makes what it had read void.
            let void = position(event["source"]["position"].as_str().unwrap()).2 == 0;
            let here = keys
                .values_mut()
                .filter(|(partition, _)| *partition == record.partition);
            for (_, changes) in here {
                if void {
                    changes.clear();
                } else {
                    changes.push(Change::Truncated);
                }
            }
            continue;
        }
        let version = || event["after"]["version"].as_i64().unwrap();
        let change = match op {
            "d" => Change::Deleted,
            "r" => Change::Read(version()),
            _ => Change::Version(version()),
        };
        let (home, changes) = keys
            .entry(key_text(record))
            .or_insert((record.partition, Vec::new()));
        assert_eq!(
            *home,
            record.partition,
            "key {} is in two partitions",
            key_text(record)
        );
        changes.push(change);
    }
    keys.into_iter()
        .map(|(key, (_, changes))| (key, changes))
        .collect()
}

/// Whether the topic begins with the read of a row version, or after one that a snapshot can't see,
/// and then holds all that follows.
fn follows_snapshot(journal: &[Change], topic: &[Change]) -> bool {
    if let [Change::Read(version), rest @ ..] = topic {
        journal
            .iter()
            .position(|change| *change == Change::Version(*version))
            .is_some_and(|at| journal[at + 1..] == *rest)
    } else {
        let absent = |before: &[Change]| {
            matches!(
                before.last(),
                None | Some(Change::Deleted | Change::Truncated)
            )
        };
        journal.strip_suffix(topic).is_some_and(absent)
    }
}

fn assert_positions(records: &[Record]) {
    let mut streamed: BTreeMap<i32, (u64, u64, u64)> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for record in records {
        let Some(event) = event(record) else { continue };
        let at = position(event["source"]["position"].as_str().unwrap());
        let op = event["op"].as_str().unwrap().to_owned();
        let once = seen.insert((at, record.partition, record.key.clone(), op.clone()));
        assert!(once, "{op} at {at:?} is there twice: {record:?}");
        if at.2 > 0 {
            let last = streamed.insert(record.partition, at);
            assert!(
                last.is_none_or(|last| last <= at),
                "{last:?} comes before {at:?}: {record:?}"
            );
        }
    }
}

/// The next record of a deleted key in its partition is its tombstone.
fn assert_tombstones(records: &[Record]) {
    let mut awaited: BTreeMap<(i32, Vec<u8>), i64> = BTreeMap::new();
    for record in records {
        let Some(key) = &record.key else { continue };
        let deleted = awaited.remove(&(record.partition, key.clone()));
        match event(record) {
            None => assert!(
                deleted.is_some(),
                "a tombstone without a delete: {record:?}"
            ),
            Some(event) => {
                assert!(
                    deleted.is_none(),
                    "no tombstone between {deleted:?} and {record:?}"
                );
                if event["op"] == "d" {
                    awaited.insert((record.partition, key.clone()), record.offset);
                }
            }
        }
    }
    assert!(
        awaited.is_empty(),
        "deletes without a tombstone: {awaited:?}"
    );
}

fn event(record: &Record) -> Option<Value> {
    record
        .value
        .as_ref()
        .map(|value| serde_json::from_slice(value).unwrap())
}

/// The key's values, joined as the journal joins them.
fn key_text(record: &Record) -> String {
    let key: serde_json::Map<String, Value> =
        serde_json::from_slice(record.key.as_ref().unwrap()).unwrap();
    let values: Vec<String> = key
        .values()
        .map(|value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
        .collect();
    values.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(op: &str, lsn: u64, key: i64, version: Option<i64>) -> Record {
        let event = serde_json::json!({
            "op": op, "after": version.map(|version| serde_json::json!({"version": version})),
            "source": {"position": format!("1:0/{lsn:X}:1")},
        });
        let key = serde_json::json!({"id": key}).to_string().into_bytes();
        let (value, headers) = (Some(event.to_string().into_bytes()), Vec::new());
        Record {
            partition: 0,
            offset: i64::try_from(lsn).unwrap(),
            key: Some(key),
            value,
            headers,
        }
    }

    fn tombstone(key: i64) -> Record {
        Record {
            value: None,
            ..record("d", 99, key, None)
        }
    }

    fn journal(changes: &[(&str, Change)]) -> Journal {
        let mut journal = Journal::default();
        for (key, change) in changes {
            journal.push((*key).to_owned(), *change);
        }
        journal
    }

    fn holds(records: &[Record], journal: &Journal, from: Beginning) -> bool {
        std::panic::catch_unwind(|| assert_every_change_once(records, journal, from)).is_ok()
    }

    #[test]
    fn what_is_lost_repeated_or_swapped_is_seen() {
        let expected = journal(&[
            ("1", Change::Version(1)),
            ("2", Change::Version(2)),
            ("1", Change::Version(3)),
            ("1", Change::Deleted),
            ("1", Change::Version(4)),
        ]);
        let topic = vec![
            record("c", 1, 1, Some(1)),
            record("c", 2, 2, Some(2)),
            record("u", 3, 1, Some(3)),
            record("d", 4, 1, None),
            tombstone(1),
            record("c", 5, 1, Some(4)),
        ];
        assert_eq!(
            assert_every_change_once(&topic, &expected, Beginning::Journal),
            5
        );
        for lost in 0..topic.len() {
            let mut topic = topic.clone();
            topic.remove(lost);
            assert!(!holds(&topic, &expected, Beginning::Journal), "lost {lost}");
        }
        for repeated in 0..topic.len() {
            let mut topic = topic.clone();
            topic.push(topic[repeated].clone());
            assert!(
                !holds(&topic, &expected, Beginning::Journal),
                "repeated {repeated}"
            );
        }
        for swapped in [0, 1, 2, 3, 4] {
            let mut topic = topic.clone();
            topic.swap(swapped, swapped + 1);
            assert!(
                !holds(&topic, &expected, Beginning::Journal),
                "swapped {swapped}"
            );
        }
    }

    #[test]
    fn a_topic_may_begin_with_a_snapshot() {
        let expected = journal(&[
            ("1", Change::Version(1)),
            ("1", Change::Version(2)),
            ("1", Change::Version(3)),
            ("2", Change::Version(4)),
            ("2", Change::Deleted),
            ("2", Change::Version(5)),
        ]);
        let mut read = record("r", 2, 1, Some(2));
        read.value = read.value.map(|value| {
            String::from_utf8(value)
                .unwrap()
                .replace("0/2:1", "0/2:0")
                .into_bytes()
        });
        let topic = vec![read, record("u", 3, 1, Some(3)), record("c", 5, 2, Some(5))];
        assert!(holds(&topic, &expected, Beginning::Snapshot));
        assert!(!holds(&topic, &expected, Beginning::Journal));
        assert!(
            !holds(&topic[..2], &expected, Beginning::Snapshot),
            "key 2 is lost"
        );
        assert!(!holds(
            &[topic[0].clone(), topic[2].clone()],
            &expected,
            Beginning::Snapshot
        ));
    }
}
