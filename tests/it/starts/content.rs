//! A topic against the table that it tells of.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Scene;
use crate::model::{Record, position};

/// What an event says of a row without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unkeyed {
    Came,
    Went,
}

/// A topic's records, read as a consumer reads them.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Rows that are there at the end, by their key as JSON.
    keyed: BTreeMap<String, Value>,
    /// What became of rows without a key: the partition, the row, and whether it came or went.
    unkeyed: Vec<(i32, Value, Unkeyed)>,
    /// Events by `op`.
    ops: BTreeMap<String, usize>,
    /// Epochs of the events.
    pub(crate) epochs: Vec<u64>,
}

impl Content {
    /// Applies every record in the order of its partition.
    pub(crate) fn of(records: &[Record]) -> Content {
        Content::read(records, true)
    }

    /// The same of a topic that begins in the midst: changes of rows that it has not told of are no mistake.
    pub(crate) fn of_part(records: &[Record]) -> Content {
        Content::read(records, false)
    }

    fn read(records: &[Record], whole: bool) -> Content {
        let mut content = Content::default();
        let mut homes: BTreeMap<String, i32> = BTreeMap::new();
        for record in records {
            let Some(value) = &record.value else { continue };
            let event: Value = serde_json::from_slice(value).unwrap();
            let op = event["op"].as_str().unwrap();
            *content.ops.entry(op.to_owned()).or_default() += 1;
            let epoch = position(event["source"]["position"].as_str().unwrap()).0;
            if !content.epochs.contains(&epoch) {
                content.epochs.push(epoch);
            }
            let key = record.key.as_ref().map(|key| text(key));
            if let Some(key) = &key {
                let home = *homes.entry(key.clone()).or_insert(record.partition);
                assert_eq!(home, record.partition, "{key} is in two partitions");
            }
            match (op, key) {
                ("t", _) => {
                    assert_eq!(event["source"]["scope"], "partition", "{event}");
                    content
                        .keyed
                        .retain(|key, _| homes[key] != record.partition);
                    content
                        .unkeyed
                        .retain(|(partition, _, _)| *partition != record.partition);
                }
                ("d", Some(key)) => {
                    let known = content.keyed.remove(&key).is_some();
                    assert!(known || !whole, "{key} was not there");
                }
                // Beside the stream a row is read again, whatever is known of it.
                ("r", Some(key)) if event["source"]["snapshot"] == "incremental" => {
                    content.keyed.insert(key, event["after"].clone());
                }
                ("r" | "c", Some(key)) => {
                    let known = content.keyed.insert(key, event["after"].clone());
                    assert_eq!(known, None, "{event} is there already");
                }
                ("u", Some(key)) => {
                    let known = content.keyed.insert(key, event["after"].clone());
                    assert!(known.is_some() || !whole, "{event} was not there");
                }
                (_, None) => {
                    for (image, what) in [("before", Unkeyed::Went), ("after", Unkeyed::Came)] {
                        if !event[image].is_null() {
                            content
                                .unkeyed
                                .push((record.partition, event[image].clone(), what));
                        }
                    }
                }
                (op, key) => panic!("{op} of {key:?}"),
            }
        }
        content
    }

    /// How many events of an `op` there are, voided ones included.
    pub(crate) fn count(&self, op: &str) -> usize {
        self.ops.get(op).copied().unwrap_or_default()
    }

    /// The rows that are there at the end.
    fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = self.keyed.values().map(Value::to_string).collect();
        let unkeyed = |what| {
            let rows = self.unkeyed.iter().filter(move |row| row.2 == what);
            rows.map(|(_, row, _)| row.to_string())
        };
        rows.extend(unkeyed(Unkeyed::Came));
        // Events of one row may be in any partition: which came first is not known.
        for gone in unkeyed(Unkeyed::Went) {
            let found = rows.iter().position(|row| *row == gone);
            rows.swap_remove(found.unwrap_or_else(|| panic!("{gone} was not there")));
        }
        rows
    }

    /// Panics unless the rows that are there are the table's, each once.
    pub(crate) async fn assert_is(&self, scene: &Scene, table: &str) {
        let sql = format!("select to_jsonb(row)::text from {table} as row");
        let rows = scene.database.query(&sql, &[]).await.unwrap();
        let mut expected: Vec<String> = rows
            .iter()
            .map(|row| text(row.get::<_, &str>(0).as_bytes()))
            .collect();
        let mut found = self.rows();
        expected.sort_unstable();
        found.sort_unstable();
        assert!(
            found == expected,
            "{table}: {} rows in the topic, {} in the table\nonly in the topic {:?}\nonly in the table {:?}",
            found.len(),
            expected.len(),
            without(&found, &expected),
            without(&expected, &found),
        );
    }
}

/// JSON without spaces, its members in order.
fn text(json: &[u8]) -> String {
    serde_json::from_slice::<Value>(json).unwrap().to_string()
}

/// Some of what `these` has and `those` has not.
fn without<'a>(these: &'a [String], those: &[String]) -> Vec<&'a String> {
    these
        .iter()
        .filter(|row| those.binary_search(row).is_err())
        .take(5)
        .collect()
}

/// Panics unless every partition holds so many ends of a snapshot, the last one behind every read.
#[track_caller]
pub(crate) fn assert_ended(records: &[Record], partitions: i32, times: usize) {
    for partition in 0..partitions {
        let records: Vec<&Record> = records
            .iter()
            .filter(|record| record.partition == partition)
            .collect();
        let is_end = |record: &&Record| record.header("tidewater.mark") == Some("snapshot-end");
        let ends = records
            .iter()
            .copied()
            .filter(|record| is_end(record))
            .count();
        assert_eq!(ends, times, "ends of a snapshot in partition {partition}");
        let end = records.iter().rposition(is_end);
        let read = records.iter().rposition(|record| {
            let value: Option<Value> = record
                .value
                .as_ref()
                .map(|value| serde_json::from_slice(value).unwrap());
            value.is_some_and(|event| event["op"] == "r")
        });
        assert!(
            end > read,
            "partition {partition}: a read at {read:?}, its end at {end:?}"
        );
    }
}
