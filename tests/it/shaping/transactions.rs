//! Transaction metadata: what is counted, and that a crash inside of a transaction changes no number.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::events;
use crate::model::{Record, read_topic};
use crate::starts::Scene;
use crate::support::{Tidewater, kafka_brokers};

const FORMAT: &str = "[format]\ntransactions = true\n";

/// Without heartbeats every Kafka transaction is one of the test's own.
fn quiet(scene: &Scene, more: &str) -> String {
    let config = scene.config("initial", &format!("{FORMAT}{more}"));
    config.replace("interval = \"100ms\"", "interval = \"0s\"")
}

/// Keys and values of the records of transactions, each with the same id on both.
fn boundaries(scene: &Scene) -> Vec<Value> {
    let topic = format!("{}.transaction", scene.name);
    let boundary = |record: &Record| {
        let key: Value = serde_json::from_slice(record.key.as_ref().unwrap()).unwrap();
        let value: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        assert_eq!(key, json!({"id": value["id"]}));
        assert!(record.headers.is_empty());
        value
    };
    let records = read_topic(&kafka_brokers(), &topic);
    records.iter().map(boundary).collect()
}

/// `total_order` and `data_collection_order` of each event, in the order of the source.
fn orders(records: &[Record], id: &Value) -> Vec<(i64, i64)> {
    let order = |(_, event): (Value, Value)| {
        let transaction = &event["transaction"];
        assert_eq!(transaction["id"], *id, "{event}");
        let order = |name: &str| transaction[name].as_i64().unwrap();
        (order("total_order"), order("data_collection_order"))
    };
    events(records).into_iter().map(order).collect()
}

#[tokio::test]
async fn events_are_counted_as_they_are_published() {
    let tables = "create table a (id bigint primary key); create table b (id bigint primary key);
                  create table hidden (id bigint primary key); insert into a values (1), (2)";
    let scene = Scene::new("counted", tables).await;
    let config = scene
        .config("initial", &format!("{FORMAT}skip = [\"d\"]\n"))
        .replace(
            "[kafka]",
            "messages = [\"app\"]\ntables = [\"public.*\", \"!public.hidden\"]\n[kafka]",
        );
    let replicator = scene.stream(&config).await;
    scene
        .sql(
            "begin;
             insert into hidden values (1);
             insert into a values (3);
             select pg_logical_emit_message(true, 'app', 'told');
             select pg_logical_emit_message(true, 'other', 'not told');
             update a set id = 4 where id = 3;
             insert into b values (1);
             delete from a where id = 4;
             truncate b;
             commit;
             select pg_logical_emit_message(false, 'app', 'alone')",
        )
        .await;
    scene.drain(replicator).await;

    let boundaries = boundaries(&scene);
    let [begin, end] = boundaries.as_slice() else {
        panic!("{boundaries:#?}");
    };
    let id = &begin["id"];
    assert!(begin["ts_ms"].is_i64());
    let expected = json!({"status": "BEGIN", "id": id, "event_count": null, "data_collections": null,
                          "ts_ms": begin["ts_ms"]});
    assert_eq!(*begin, expected);
    let expected = json!({"status": "END", "id": id, "event_count": 6, "data_collections": [
        {"data_collection": "public.a", "event_count": 3},
        {"data_collection": "LOGICAL_DECODING_MESSAGE", "event_count": 1},
        {"data_collection": "public.b", "event_count": 2},
    ], "ts_ms": begin["ts_ms"]});
    assert_eq!(*end, expected);
    // The reads of the snapshot are in no transaction.
    let of_a = scene.records("a");
    let (reads, streamed): (Vec<_>, Vec<_>) = events(&of_a)
        .into_iter()
        .partition(|(_, event)| event["op"] == "r");
    assert_eq!(reads.len(), 2);
    assert!(
        reads
            .iter()
            .all(|(_, event)| event["transaction"].is_null())
    );
    let order = |event: &Value| {
        let transaction = &event["transaction"];
        (
            transaction["total_order"].clone(),
            transaction["data_collection_order"].clone(),
        )
    };
    let found: Vec<_> = streamed.iter().map(|(_, event)| order(event)).collect();
    let at = |total: i64, order: i64| (json!(total), json!(order));
    assert_eq!(found, [at(1, 1), at(3, 2), at(4, 3)]);
    // A truncate is one event in each partition.
    let found = orders(&scene.records("b"), id);
    assert_eq!(found, [(5, 1), (6, 2), (6, 2), (6, 2)]);
    let messages = events(&read_topic(
        &kafka_brokers(),
        &format!("{}.message", scene.name),
    ));
    let found: Vec<_> = messages.iter().map(|(_, event)| order(event)).collect();
    assert_eq!(found, [at(2, 1), (Value::Null, Value::Null)]);
}

/// A batch holds 16,384 records.
const ROWS: i64 = 60_000;

#[tokio::test]
async fn a_crash_inside_of_a_transaction_changes_no_number() {
    let tables = "create table a (id bigint primary key); create table b (id bigint primary key)";
    let scene = Scene::new("resumed", tables).await;
    let replicator = scene.stream(&quiet(&scene, "")).await;
    assert_eq!(replicator.terminate().code(), Some(0));
    scene
        .sql(&format!(
            "do $$ begin
               for n in 1..{} loop
                 insert into a values (n);
                 insert into b select id from generate_series(n * 3, n * 3 + 2) as id;
               end loop;
             end $$",
            ROWS / 4
        ))
        .await;
    let mut ordinals = Vec::new();
    for step in [
        "publish.committed:1",
        "publish.before-commit:1",
        "publish.committed:2",
    ] {
        let crash = quiet(&scene, &format!("[debug]\ncrash_at = \"{step}\"\n"));
        let died = Tidewater::run(&["replicate"], &crash);
        assert_eq!(died.code(), None, "{}", died.log);
        let position = scene.position();
        assert!(position.commit_lsn >= position.resume_lsn);
        ordinals.push(position.ordinal);
    }
    assert!(
        ordinals[0] > 0 && ordinals[0] == ordinals[1] && ordinals[1] < ordinals[2],
        "{ordinals:?}"
    );
    let config = scene.config("initial", FORMAT);
    let replicator = scene.stream(&config).await;
    scene.drain(replicator).await;

    let boundaries = boundaries(&scene);
    assert_eq!(boundaries.len(), 2, "{boundaries:#?}");
    assert_eq!(
        (&boundaries[0]["status"], &boundaries[1]["status"]),
        (&json!("BEGIN"), &json!("END"))
    );
    let id = &boundaries[0]["id"];
    assert_eq!(boundaries[1]["id"], *id);
    assert_eq!(boundaries[1]["event_count"], ROWS);
    let counts: BTreeMap<&str, i64> = boundaries[1]["data_collections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|counted| {
            let name = counted["data_collection"].as_str().unwrap();
            (name, counted["event_count"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(
        counts,
        [("public.a", ROWS / 4), ("public.b", ROWS / 4 * 3)].into()
    );

    let mut totals = Vec::new();
    for (table, count) in [("a", ROWS / 4), ("b", ROWS / 4 * 3)] {
        let orders = orders(&scene.records(table), id);
        let of_table: Vec<i64> = orders.iter().map(|(_, order)| *order).collect();
        assert_eq!(of_table, (1..=count).collect::<Vec<_>>(), "{table}");
        totals.extend(orders.iter().map(|(total, _)| *total));
    }
    totals.sort_unstable();
    assert_eq!(totals, (1..=ROWS).collect::<Vec<_>>());
}
