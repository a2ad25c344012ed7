//! `REPLICA IDENTITY FULL`: across kills, every event still has the whole row as it was before.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tidewater::step::Role;

use super::Scene;
use super::kills::is_open;
use crate::model::{Record, read_topic};
use crate::support::load::TABLES;
use crate::support::{Kills, until};

/// A value that is stored out of line, and that no update touches: the server does not send it again.
const BODY: &str = "
    alter table t add column body text default repeat('b', 3000);
    alter table t alter column body set storage external";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_are_whole_across_kills() {
    let scene = Scene::shared("full").await;
    for (table, _) in TABLES {
        let identity = format!("alter table {table} replica identity full");
        scene.database.batch_execute(&identity).await.unwrap();
    }
    scene.database.batch_execute(BODY).await.unwrap();
    let load = scene.load();
    until("rows to read", async || load.changes() > 500).await;
    let first = scene.replicate();
    first.streaming().await;
    assert_eq!(first.terminate().code(), Some(0));
    let kills = Kills {
        role: Role::Replicate,
        working: "publish.",
        is_open,
        lurk: Duration::ZERO,
        enough: 6,
        tries_max: 40,
    };
    kills.run(|| scene.replicate(), |_| ()).await;
    load.stop().await;
    scene.assert_exactly_once().await;
    for (table, _) in TABLES {
        let records = read_topic(&scene.brokers, &format!("{}.public.{table}", scene.prefix));
        let met = follow(&records);
        println!("{table}: {met:?}");
        assert!(met.deleted > 0 || table == "v");
        if table == "t" {
            assert!(met.updated > 0 && met.moved > 0, "{met:?}");
        }
    }
}

/// How often each kind of change was met.
#[derive(Debug, Default)]
struct Met {
    updated: usize,
    deleted: usize,
    moved: usize,
}

/// Panics unless each change begins with the row that the one before has left.
fn follow(records: &[Record]) -> Met {
    let mut rows: BTreeMap<&[u8], (i32, Value)> = BTreeMap::new();
    let mut met = Met::default();
    for record in records {
        let Some(value) = &record.value else { continue };
        let event: Value = serde_json::from_slice(value).unwrap();
        if event["op"] == "t" {
            rows.retain(|_, (partition, _)| *partition != record.partition);
            continue;
        }
        let key = record.key.as_deref().unwrap();
        let left = rows.remove(key).map_or(Value::Null, |(_, row)| row);
        match event["op"].as_str().unwrap() {
            "u" => met.updated += 1,
            "d" => {
                met.deleted += 1;
                met.moved += usize::from(record.header("__debezium.newkey").is_some());
            }
            _ => {}
        }
        assert_eq!(event["before"], left, "{event}");
        let after = &event["after"];
        if after.is_null() {
            continue;
        }
        if let Some(body) = after.get("body") {
            assert_eq!(body.as_str().map(str::len), Some(3000), "{event}");
        }
        // What a column is not sent for would be missing.
        assert!(event["source"].get("unchanged").is_none(), "{event}");
        rows.insert(key, (record.partition, after.clone()));
    }
    met
}
