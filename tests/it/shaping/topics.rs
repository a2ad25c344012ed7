//! Topics of one's own choice, shared ones among them, and changes that are left out.

use std::collections::BTreeSet;

use serde_json::Value;
use tidewater::exit::ExitCode;
use tidewater::kafka::Admin;

use super::events;
use crate::model::{Record, read_topic};
use crate::starts::Scene;
use crate::support::{Tidewater, kafka_brokers};

const ORDERS: &str = "
    create table order_1 (id bigint primary key, note text);
    create table order_2 (id bigint primary key, note text);
    create table order_old (id bigint primary key, note text);
    insert into order_1 values (1, 'a'), (2, 'b');
    insert into order_2 values (1, 'c');
    insert into order_old values (1, 'd')";

fn route(prefix: &str) -> String {
    format!(
        "[[route]]\ntables = [\"public./order_[0-9]+/\"]\ntopic = \"{prefix}.orders\"\npartitions = 2\n"
    )
}

fn read(topic: &str) -> Vec<Record> {
    read_topic(&kafka_brokers(), topic)
}

#[tokio::test]
async fn tables_that_share_a_topic_are_told_apart() {
    let scene = Scene::new("shared", ORDERS).await;
    let config = scene.config("initial", &route(&scene.name));
    let replicator = scene.stream(&config).await;
    for change in [
        "insert into order_2 values (2, 'e')",
        "update order_1 set id = 9 where id = 2",
        "truncate order_1",
        "insert into order_1 values (1, 'f')",
        "delete from order_2 where id = 1",
    ] {
        scene.sql(change).await;
    }
    let shared = Tidewater::run(&["verify", "--source-only"], &config);
    assert_eq!(
        shared.code(),
        Some(ExitCode::Configuration as i32),
        "{}",
        shared.log
    );
    scene.drain(replicator).await;

    let topic = format!("{}.orders", scene.name);
    let admin = Admin::new(&scene.kafka()).unwrap();
    assert_eq!(admin.partitions(&topic).unwrap(), Some(2));
    assert_eq!(admin.partitions(&scene.topic("order_1")).unwrap(), None);
    let records = read(&topic);
    let marks = records
        .iter()
        .filter(|record| record.header("tidewater.mark").is_some());
    let marked: Vec<i32> = marks.map(|record| record.partition).collect();
    assert_eq!(marked, [0, 1], "one mark in each partition");

    let mut keys: BTreeSet<String> = BTreeSet::new();
    let mut truncated = Vec::new();
    for (key, event) in events(&records) {
        let table = event["source"]["table"].as_str().unwrap().to_owned();
        if event["op"] == "t" {
            truncated.push(table);
            continue;
        }
        let named = format!("{}.public.{table}", scene.name);
        assert_eq!(key["__dbz__physicalTableIdentifier"], named, "{event}");
        keys.insert(key.to_string());
    }
    assert_eq!(truncated, ["order_1", "order_1"], "one in each partition");
    assert_eq!(keys.len(), 5, "{keys:?}");
    // A table that no route names has a topic of its own, and keys as ever.
    let own = events(&scene.records("order_old"));
    assert_eq!(own[0].0, serde_json::json!({"id": 1}));
}

#[tokio::test]
async fn a_topic_s_name_is_made_of_the_table_s() {
    let scene = Scene::new("named", ORDERS).await;
    let routes =
        "[[route]]\ntables = [\"public.order_1\"]\ntopic = \"{prefix}-{table}.of.{schema}\"\n";
    let config = scene.config("initial", routes);
    let replicator = scene.stream(&config).await;
    scene.sql("insert into order_1 values (3, 'c')").await;
    Tidewater::run(&["verify", "--source-only"], &config).expect(ExitCode::Success);
    scene.drain(replicator).await;
    let found = events(&read(&format!("{}-order_1.of.public", scene.name)));
    let keys: Vec<Value> = found
        .into_iter()
        .map(|(key, _)| key["id"].clone())
        .collect();
    assert_eq!(keys, [1, 2, 3]);
}

#[tokio::test]
async fn changes_that_are_left_out_are_counted() {
    let scene = Scene::new("skipped", ORDERS).await;
    let replicator = scene
        .stream(&scene.config("initial", "[format]\nskip = [\"u\", \"d\", \"t\"]\n"))
        .await;
    scene
        .sql(
            "begin;
             insert into order_1 values (3, 'c');
             update order_1 set note = 'x' where id = 3;
             update order_1 set id = 5 where id = 3;
             delete from order_1 where id = 5;
             insert into order_1 values (4, 'd');
             truncate order_2;
             insert into order_2 values (4, 'd');
             commit",
        )
        .await;
    scene.drain(replicator).await;
    let told = |table: &str| -> Vec<(String, u64)> {
        events(&scene.records(table))
            .into_iter()
            .filter(|(_, event)| event["op"] != "r")
            .map(|(_, event)| {
                let position = event["source"]["position"].as_str().unwrap();
                let ordinal = position.rsplit(':').next().unwrap().parse().unwrap();
                (event["op"].as_str().unwrap().to_owned(), ordinal)
            })
            .collect()
    };
    assert_eq!(told("order_1"), [("c".to_owned(), 1), ("c".to_owned(), 5)]);
    assert_eq!(told("order_2"), [("c".to_owned(), 7)]);
}

#[tokio::test]
async fn the_rest_of_a_split_transaction_looks_like_its_beginning() {
    let scene = Scene::new("split", ORDERS).await;
    // The first commit of the stream must be part of the transaction, and no heartbeat's.
    let quiet = |more: &str| {
        let config = scene.config("initial", more);
        config.replace("interval = \"100ms\"", "interval = \"0s\"")
    };
    scene.stream(&quiet("")).await.terminate();
    scene
        .sql("insert into order_1 select id, 'x' from generate_series(10, 50000) id")
        .await;
    let crash = quiet("[debug]\ncrash_at = \"publish.committed:1\"\n");
    assert_eq!(Tidewater::run(&["replicate"], &crash).code(), None);
    for changed in [
        "[[transform]]\ncolumns = [\"*.*.note\"]\naction = \"mask\"\n",
        "[[route]]\ntables = [\"public.order_1\"]\ntopic = \"{prefix}.other\"\n",
        "[format]\nskip = [\"d\"]\n",
        "[format]\nvalues = \"debezium\"\n",
    ] {
        let ended = Tidewater::run(&["replicate"], &scene.config("initial", changed));
        let ended = ended.expect(ExitCode::SourceTables);
        assert!(ended.log.contains("published in part"), "{}", ended.log);
    }
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene.drain(replicator).await;
    assert_eq!(events(&scene.records("order_1")).len(), 2 + 49_991);
}
