//! `format.truncate`: what a TRUNCATE becomes.

use serde_json::Value;

use super::Scene;
use crate::model::{Record, position};

/// Two tables, one of which points at the other.
const TABLES: &str = "
    create table t (id bigint primary key, note text);
    create table u (id bigint primary key, t bigint references t);
    insert into t select id, 'read' from generate_series(1, 30) as id;
    insert into u select id, id from generate_series(1, 30) as id";
/// Transactions: one table is emptied alone, then both, with rows before, between and after.
const CHANGES: [&str; 5] = [
    "insert into u values (31, 1)",
    "truncate u",
    "insert into u values (32, 1)",
    "insert into t values (33, 'gone'); truncate t cascade; insert into t values (34, 'stays')",
    "insert into u values (35, 34)",
];

/// The topics of `t` and `u` after the changes, under one format.
async fn streamed(format: &str) -> [Vec<Record>; 2] {
    let scene = Scene::new("truncate", TABLES).await;
    let format = format!("[format]\ntruncate = \"{format}\"\n");
    let replicator = scene.stream(&scene.config("initial", &format)).await;
    for transaction in CHANGES {
        scene.sql(transaction).await;
    }
    scene.drain(replicator).await;
    ["t", "u"].map(|table| scene.records(table))
}

fn events(records: &[Record]) -> Vec<(&Record, Value)> {
    let event = |record: &Record| {
        record
            .value
            .as_deref()
            .map(|value| serde_json::from_slice(value).unwrap())
    };
    records
        .iter()
        .filter_map(|record| Some((record, event(record)?)))
        .collect()
}

/// Partition and event of each truncate.
fn truncates(records: &[Record]) -> Vec<(i32, Value)> {
    let all = events(records)
        .into_iter()
        .filter(|(_, event)| event["op"] == "t");
    all.map(|(record, event)| {
        assert_eq!(
            (&record.key, &event["before"], &event["after"]),
            (&None, &Value::Null, &Value::Null)
        );
        (record.partition, event)
    })
    .collect()
}

/// Ids of the rows that were created, in order.
fn created(records: &[Record]) -> Vec<i64> {
    let all = events(records)
        .into_iter()
        .filter(|(_, event)| event["op"] == "c");
    let mut ids: Vec<i64> = all
        .map(|(_, event)| event["after"]["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

fn place(event: &Value) -> (u64, u64, u64) {
    position(event["source"]["position"].as_str().unwrap())
}

#[tokio::test]
async fn once_is_one_event_for_each_table() {
    let [t, u] = streamed("once").await;
    assert_eq!((created(&t), created(&u)), (vec![33, 34], vec![31, 32, 35]));
    let (of_t, mut of_u) = (truncates(&t), truncates(&u));
    of_u.sort_by_key(|(_, event)| place(event));
    assert_eq!((of_t.len(), of_u.len()), (1, 2));
    // It is the whole table's, in whichever partition.
    for (_, event) in of_t.iter().chain(&of_u) {
        assert!(event["source"].get("scope").is_none(), "{event}");
    }
    // One statement that empties both has one place.
    assert_eq!(place(&of_t[0].1), place(&of_u[1].1));
}

#[tokio::test]
async fn skip_is_no_event() {
    let [t, u] = streamed("skip").await;
    assert_eq!((truncates(&t).len(), truncates(&u).len()), (0, 0));
    assert_eq!((created(&t), created(&u)), (vec![33, 34], vec![31, 32, 35]));
    // It has its number nevertheless: what follows is told apart as under any format.
    let stays = events(&t)
        .into_iter()
        .find(|(_, event)| event["after"]["id"] == 34);
    assert_eq!(place(&stays.unwrap().1).2, 3);
}

#[tokio::test]
async fn each_partition_has_its_own_event() {
    let [t, u] = streamed("each-partition").await;
    for (records, times) in [(&t, 1), (&u, 2)] {
        let mut of: Vec<i32> = Vec::new();
        for (partition, event) in truncates(records) {
            assert_eq!(event["source"]["scope"], "partition", "{event}");
            of.push(partition);
        }
        of.sort_unstable();
        let mut expected = [0, 1, 2].repeat(times);
        expected.sort_unstable();
        assert_eq!(of, expected);
    }
    // In its partition it stands between what it removes and what it does not.
    for records in [&t, &u] {
        for partition in 0..3 {
            let here = events(records)
                .into_iter()
                .filter(|(record, _)| record.partition == partition);
            let places: Vec<_> = here.map(|(_, event)| place(&event)).collect();
            assert!(places.is_sorted(), "partition {partition}: {places:?}");
        }
    }
}
