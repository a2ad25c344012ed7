//! Rows of outbox tables, each routed to the topic that it names, on real servers.

mod crashes;
mod refusals;

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidewater::exit::ExitCode;
use tidewater::kafka::Admin;

use crate::model::{Record, read_topic};
use crate::starts::Scene;
use crate::support::{FakeRegistry, Mood, Tidewater, caught_up, kafka_brokers, until};

const TABLES: &str = "
    create table outbox (
        id uuid primary key default gen_random_uuid(), aggregatetype text, aggregateid text not null,
        type text not null, payload jsonb, at timestamptz, part integer);
    create table orders (id bigint primary key)";

/// Rows of which the second part is routed by what `kind` says.
fn event(kind: &str, key: &str) -> String {
    format!(
        "insert into outbox (aggregatetype, aggregateid, type, payload)
         values ('{kind}', '{key}', 'made', '{{\"n\": {key}}}')"
    )
}

/// Topics of the scene's own, and what else `[outbox]` says.
fn section(scene: &Scene, more: &str) -> String {
    format!(
        "[outbox]\ntables = [\"public.outbox\"]\ntopic = \"{{prefix}}.event.{{routed}}\"\n\
         headers = [\"type:eventType\"]\npartitions = 2\n{more}\n[format]\n# {}\n",
        scene.name
    )
}

fn config(scene: &Scene, more: &str) -> String {
    scene.config("initial", &section(scene, more))
}

fn topic(scene: &Scene, routed: &str) -> String {
    format!("{}.event.{routed}", scene.name)
}

fn routed(scene: &Scene, routed: &str) -> Vec<Record> {
    read_topic(&kafka_brokers(), &topic(scene, routed))
}

/// Keys of a topic's records, sorted.
fn keys(scene: &Scene, kind: &str) -> Vec<i64> {
    let key = |record: &Record| -> i64 {
        let key: String = serde_json::from_slice(record.key.as_ref().unwrap()).unwrap();
        key.parse().unwrap()
    };
    let mut keys: Vec<i64> = routed(scene, kind).iter().map(key).collect();
    keys.sort_unstable();
    keys
}

fn json(bytes: Option<&Vec<u8>>) -> Value {
    bytes.map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap())
}

#[tokio::test]
async fn rows_are_routed_in_snapshot_and_stream() {
    let scene = Scene::new("outbox", TABLES).await;
    for row in [event("order", "1"), event("customer", "2")] {
        scene.sql(&row).await;
    }
    let replicator = scene.stream(&config(&scene, "expand_json = true")).await;
    scene
        .sql(&format!(
            "begin; {}; {}; insert into orders values (1); delete from outbox; commit",
            event("order", "3"),
            event("shipment", "4")
        ))
        .await;
    scene.sql(&event("order", "5")).await;
    scene
        .sql(
            "update outbox set type = 'other'; update outbox set type = 'another'; truncate outbox",
        )
        .await;
    scene.sql(&event("order", "6")).await;
    caught_up(&scene.database, &scene.name).await;
    let warnings = "a row of an outbox was updated, which is no event: it is left out";
    assert_eq!(replicator.log().matches(warnings).count(), 1);
    scene.drain(replicator).await;

    assert_eq!(keys(&scene, "order"), [1, 3, 5, 6]);
    assert_eq!(keys(&scene, "customer"), [2]);
    assert_eq!(keys(&scene, "shipment"), [4]);
    for record in routed(&scene, "order") {
        let key = json(record.key.as_ref());
        let n: i64 = key.as_str().unwrap().parse().unwrap();
        assert_eq!(json(record.value.as_ref()), json!({"n": n}));
        assert_eq!(record.header("eventType"), Some("made"));
        assert!(uuid::Uuid::try_parse(record.header("id").unwrap()).is_ok());
    }
    let admin = Admin::new(&scene.kafka()).unwrap();
    assert_eq!(admin.partitions(&topic(&scene, "order")).unwrap(), Some(2));
    assert_eq!(admin.partitions(&scene.topic("outbox")).unwrap(), None);
    // Other tables are as ever.
    assert_eq!(
        scene.records("orders").len(),
        1 + 3,
        "a mark in each partition"
    );
}

#[tokio::test]
async fn rows_are_routed_that_are_read_beside_the_stream() {
    let tables =
        "create table keyless (aggregatetype text, aggregateid text, id text, payload text)";
    let scene = Scene::new("outbox_beside", &format!("{TABLES};{tables}")).await;
    let config =
        config(&scene, "").replace("\"public.outbox\"", "\"public.outbox\", \"*.keyless\"");
    let config = config.replace("headers = [\"type:eventType\"]\n", "");
    for row in [event("order", "1"), event("customer", "2")] {
        scene.sql(&row).await;
    }
    scene
        .sql("insert into keyless values ('thing', '3', 'a', 'b')")
        .await;
    scene.stream(&config).await.terminate();
    // One that has just started knows none of the topics.
    let replicator = scene.stream(&config).await;
    scene.sql(&event("order", "4")).await;
    let tables = ["public.outbox", "public.keyless"];
    let asked = [&["snapshot", "start"], &tables[..], &["--json"]].concat();
    let asked = Tidewater::run(&asked, &config).expect(ExitCode::Success);
    let asked: Value = serde_json::from_str(&asked.output).unwrap();
    until("the snapshot to be read", async || {
        let shown = Tidewater::run(&["snapshot", "show", "--json"], &config);
        let shown: Value = serde_json::from_str(&shown.output).unwrap();
        let mut requests = shown.as_array().unwrap().iter();
        requests.any(|request| request["id"] == asked["ids"][0] && request["state"] == "finished")
    })
    .await;
    scene.drain(replicator).await;
    assert_eq!(keys(&scene, "order"), [1, 1, 4, 4]);
    assert_eq!(keys(&scene, "customer"), [2, 2]);
    assert_eq!(keys(&scene, "thing"), [3, 3]);
}

#[tokio::test]
async fn rows_are_told_of_that_were_written_while_the_outbox_was_not_published() {
    let scene = Scene::new("outbox_back", TABLES).await;
    let config = config(&scene, "").replace("[kafka]", "publication_interval = \"100ms\"\n[kafka]");
    let replicator = scene.stream(&config).await;
    scene.sql(&event("order", "1")).await;
    let alter = |change: &str| format!("alter publication {} {change} table outbox", scene.name);
    let (out, back) = (alter("drop"), alter("add"));
    scene
        .sql(&format!("{out}; {}; {back}", event("missed", "2")))
        .await;
    let admin = Admin::new(&scene.kafka()).unwrap();
    until("the event that was missed", async || {
        let there = admin.partitions(&topic(&scene, "missed")).unwrap();
        there.is_some() && keys(&scene, "missed") == [2]
    })
    .await;
    scene.drain(replicator).await;
    // What is read again is told of again: nothing voids it.
    assert_eq!(keys(&scene, "order"), [1, 1]);
}

/// Partition and time of a topic's records.
fn places(topic: &str) -> Vec<(i32, i64)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka_brokers())
        .set("group.id", "places")
        .create()
        .unwrap();
    let count = read_topic(&kafka_brokers(), topic).len();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..2 {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut places = Vec::new();
    while places.len() < count {
        let message = consumer.poll(Duration::from_mins(1)).unwrap().unwrap();
        let time = message.timestamp().to_millis().unwrap();
        places.push((message.partition(), time));
    }
    places.sort_unstable();
    places
}

#[tokio::test]
async fn a_row_chooses_partition_and_time() {
    let scene = Scene::new("outbox_places", TABLES).await;
    // A header is there where its column is not null.
    let config = config(
        &scene,
        "partition = \"part\"\ntimestamp = \"at\"\nid = \"payload\"",
    )
    .replace("headers = [\"type:eventType\"]\n", "");
    let replicator = scene.stream(&config).await;
    scene
        .sql(
            "insert into outbox (aggregatetype, aggregateid, type, at, part, payload) values
                ('order', '1', 'a', '2026-01-02 03:04:05.678+00', 1, '7'),
                ('order', '1', 'a', '1970-01-01 00:00:01+00', 0, null),
                ('order', '1', 'a', '2026-01-02 03:04:05.678+00', 0, '7')",
        )
        .await;
    scene.drain(replicator).await;
    let expected = [(0, 1000), (0, 1_767_323_045_678), (1, 1_767_323_045_678)];
    assert_eq!(places(&topic(&scene, "order")), expected);
}

#[tokio::test]
async fn what_is_too_large_is_passed_over_and_the_rest_counted() {
    let scene = Scene::new("outbox_large", TABLES).await;
    let config = config(&scene, "")
        .replace(
            "[kafka]",
            "on_too_large = \"pass-over\"\n[kafka]\nmessage_bytes_max = 10000",
        )
        .replace("[format]", "[format]\ntransactions = true");
    let replicator = scene.stream(&config).await;
    scene
        .sql(&format!(
            "begin; {}; insert into outbox (aggregatetype, aggregateid, type, payload)
                 values ('order', '2', 'large', to_jsonb(repeat('x', 20000)));
             insert into orders values (1); {}; delete from outbox; commit",
            event("order", "1"),
            event("order", "3"),
        ))
        .await;
    scene.drain(replicator).await;
    assert_eq!(keys(&scene, "order"), [1, 3]);
    let brokers = kafka_brokers();
    let passed = read_topic(&brokers, &format!("{}.passed-over", scene.name));
    assert_eq!(passed.len(), 1);
    assert_eq!(json(passed[0].key.as_ref())["table"], "outbox");
    let boundaries = read_topic(&brokers, &format!("{}.transaction", scene.name));
    let end = json(boundaries.last().unwrap().value.as_ref());
    assert_eq!(
        end["data_collections"],
        json!([
            {"data_collection": "public.outbox", "event_count": 2},
            {"data_collection": "public.orders", "event_count": 1},
        ])
    );
}

#[tokio::test]
async fn a_capture_is_replayed_to_the_same_topics() {
    let scene = Scene::new("outbox_replayed", TABLES).await;
    let config = config(&scene, "").replace("interval = \"100ms\"", "interval = \"0s\"");
    let replicator = scene.stream(&config).await;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("changes").display().to_string();
    for row in [event("order", "1"), event("customer", "2")] {
        scene.sql(&row).await;
    }
    scene.drain(replicator).await;
    for row in [event("order", "3"), event("shipment", "4")] {
        scene.sql(&row).await;
    }
    let capture = ["capture", &file, "--existing", "--changes", "2"];
    Tidewater::run(&capture, &config).expect(ExitCode::Success);
    let replayed = Tidewater::run(&["replay", &file, "--json"], &config).expect(ExitCode::Success);
    let records: Vec<(Value, Value)> = replayed
        .output
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            (record["topic"].clone(), record["key"].clone())
        })
        .filter(|(topic, _)| topic.as_str().unwrap().contains(".event."))
        .collect();
    assert_eq!(
        records,
        [
            (json!(topic(&scene, "order")), json!("3")),
            (json!(topic(&scene, "shipment")), json!("4")),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_the_schemas_of_their_topics() {
    let registry = FakeRegistry::start(Mood::Well).await;
    let scene = Scene::new("outbox_avro", TABLES).await;
    scene.sql(&event("order", "1")).await;
    let config = config(&scene, "fields = [\"type:kind\"]").replace(
        "[format]",
        &format!(
            "[format]\nencoding = \"avro\"\n[format.registry]\nurl = \"{}\"",
            registry.url()
        ),
    );
    let replicator = scene.stream(&config).await;
    scene.sql(&event("shipment", "2")).await;
    scene.drain(replicator).await;
    for (kind, key) in [("order", b'1'), ("shipment", b'2')] {
        let topic = topic(&scene, kind);
        let keys = registry.schemas(&format!("{topic}-key"));
        assert_eq!(keys, [r#"["null","string"]"#]);
        let values = registry.schemas(&format!("{topic}-value"));
        let name = format!("\"namespace\":\"{}.public.outbox.{kind}\"", scene.name);
        assert!(values.len() == 1 && values[0].contains(&name), "{values:?}");
        let records = routed(&scene, kind);
        assert_eq!(records.len(), 1);
        // No null, and a string of one byte.
        let bytes = records[0].key.as_ref().unwrap();
        assert_eq!((bytes[0], &bytes[5..]), (0, &[2, 2, key][..]));
        let bytes = records[0].value.as_ref().unwrap();
        let payload = format!("{{\"n\": {}}}", char::from(key));
        let expected = [&[2, 16], payload.as_bytes(), &[2, 8], b"made"].concat();
        assert_eq!(bytes[5..], expected);
    }
}

#[tokio::test]
async fn an_outbox_has_no_rows_in_the_row_store() {
    let scene = Scene::new("outbox_stored", TABLES).await;
    scene
        .sql("alter table orders add note text; insert into orders values (1, 'a')")
        .await;
    scene.sql(&event("order", "1")).await;
    let directory = TempDir::new().unwrap();
    let config = config(&scene, "").replace(
        "[format]",
        &format!(
            "[row_store]\npath = \"{}\"\n[format]",
            directory.path().display()
        ),
    );
    for (key, note) in [("2", "b"), ("3", "c")] {
        let replicator = scene.stream(&config).await;
        scene
            .sql(&format!(
                "begin; {}; update outbox set type = 'other'; update orders set note = '{note}';
                 delete from outbox; commit",
                event("order", key)
            ))
            .await;
        scene.drain(replicator).await;
    }
    assert_eq!(keys(&scene, "order"), [1, 2, 3]);
    let changes = scene
        .records("orders")
        .into_iter()
        .filter(|record| record.value.is_some());
    let before: Vec<Value> = changes
        .map(|record| json(record.value.as_ref())["before"]["note"].clone())
        .collect();
    assert_eq!(before, [Value::Null, json!("a"), json!("b")]);
}
