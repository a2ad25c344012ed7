//! As many columns as PostgreSQL has room for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::values;
use crate::starts::Scene;

const COLUMNS: usize = 1_600;

#[tokio::test]
async fn sixteen_hundred_columns_are_captured_whole() {
    let columns: Vec<String> = (1..COLUMNS)
        .map(|n| match n % 4 {
            0 => format!("column_{n:04} boolean default true"),
            1 => format!("column_{n:04} smallint default {n}"),
            2 => format!("column_{n:04} integer default -{n}"),
            _ => format!("column_{n:04} text"),
        })
        .collect();
    let table = format!(
        "create table t (id bigint primary key, {}); insert into t values (1), (2)",
        columns.join(", ")
    );
    let scene = Scene::new("wide", &table).await;
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene
        .sql(
            "insert into t values (3);
             update t set column_0002 = 7, column_1599 = 'the last' where id = 2;
             delete from t where id = 1",
        )
        .await;
    scene.drain(replicator).await;

    let mut last = BTreeMap::new();
    let mut events = values(&scene.records("t"));
    events
        .sort_by_key(|event| crate::model::position(event["source"]["position"].as_str().unwrap()));
    assert_eq!(events.len(), 5);
    for event in events {
        let row = if event["op"] == "d" {
            "before"
        } else {
            "after"
        };
        let id = event[row]["id"].as_u64().unwrap();
        last.insert(id, event["after"].clone());
    }
    assert_eq!(last.remove(&1), Some(Value::Null));
    let rows = "select id, to_jsonb(t)::text from t order by id";
    let rows = scene.database.query(rows, &[]).await.unwrap();
    assert_eq!(rows.len(), last.len());
    for row in rows {
        let (id, expected): (i64, &str) = (row.get(0), row.get(1));
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(expected.as_object().unwrap().len(), COLUMNS);
        assert_eq!(last.get(&id.try_into().unwrap()), Some(&expected));
    }
}
