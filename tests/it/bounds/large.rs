//! Values and records that are larger than they may be.

use serde_json::{Value, json};
use tidewater::exit::ExitCode;

use super::{passed_over, values};
use crate::starts::Scene;
use crate::support::{Tidewater, caught_up};

/// A value far larger than the process may grow.
const HUGE: &str = "repeat('x', 268435456)";
/// The process's bound: 128 MB and twice the largest record.
const RESIDENT_BYTES_MAX: u64 = (128 << 20) + 2 * 1_000_000;

const TABLE: &str = "create table t (id bigint primary key, note text, small text)";

fn passing(scene: &Scene, more: &str) -> String {
    let config = scene.config("initial", more);
    config.replace("[kafka]", "on_too_large = \"pass-over\"\n[kafka]")
}

/// `op` and key of events, in the order of the source.
fn told(records: &[Value]) -> Vec<String> {
    let mut told: Vec<_> = records
        .iter()
        .map(|event| {
            let position = event["source"]["position"].as_str().unwrap();
            let row = if event["op"] == "d" {
                "before"
            } else {
                "after"
            };
            let op = event["op"].as_str().unwrap();
            // The delete of a changed key stands before its create.
            let order = (crate::model::position(position), op != "d");
            (order, format!("{op} {}", event[row]["id"]))
        })
        .collect();
    told.sort();
    told.into_iter().map(|(_, told)| told).collect()
}

/// What a record of the topic says, without where and when.
fn note(record: &Value) -> Value {
    let ordinal = record["position"].as_str().unwrap().rsplit(':').next();
    assert_eq!(record["position"], record["source"]["position"]);
    assert_eq!(record["source"]["table"], "t");
    let large = record["bytes"].as_u64().unwrap() > 268_435_456;
    json!([
        record["op"],
        ordinal,
        record["key"],
        record["old_key"],
        record["reason"],
        large
    ])
}

#[tokio::test]
async fn a_huge_value_is_passed_over_within_the_bound() {
    let scene = Scene::new("huge", TABLE).await;
    scene
        .sql(&format!(
            "insert into t values (1, 'a'), (2, {HUGE}), (3, 'c')"
        ))
        .await;
    let config = passing(&scene, "");
    let replicator = scene.stream(&config).await;
    scene
        .sql(&format!(
            "begin;
             insert into t values (4, 'd');
             insert into t values (5, {HUGE});
             update t set small = 'its note stays where it is' where id = 2;
             update t set id = 6 where id = 5;
             insert into t values (7, 'g');
             commit"
        ))
        .await;
    caught_up(&scene.database, &scene.name).await;
    scene.sql("alter table t replica identity full").await;
    scene.sql("delete from t where id = 2").await;
    scene.sql("update t set id = 8 where id = 6").await;
    scene.sql("insert into t values (9, 'i')").await;
    caught_up(&scene.database, &scene.name).await;
    let resident = replicator.resident_bytes_max();
    assert!(resident < RESIDENT_BYTES_MAX, "{resident} bytes resident");
    let before = passed_over(&scene);
    replicator.kill();
    // What is recorded stays recorded, and is not told of again.
    let replicator = scene.stream(&config).await;
    scene.sql("insert into t values (10, 'j')").await;
    scene.drain(replicator).await;

    let notes: Vec<Value> = passed_over(&scene).iter().map(note).collect();
    assert_eq!(passed_over(&scene), before);
    let key = |id: u64| json!({ "id": id });
    assert_eq!(
        notes,
        [
            json!(["r", "0", key(2), null, "change", true]),
            json!(["c", "2", key(5), null, "change", true]),
            json!(["d", "1", key(2), null, "change", true]),
            json!(["u", "1", key(8), key(6), "change", true]),
        ]
    );
    let events = values(&scene.records("t"));
    assert_eq!(
        told(&events),
        [
            "r 1", "r 3", "c 4", "u 2", "d 5", "c 6", "c 7", "c 9", "c 10"
        ]
    );
    let unchanged = events.iter().find(|event| event["op"] == "u").unwrap();
    assert_eq!(unchanged["source"]["unchanged"], json!(["note"]));
}

#[tokio::test]
async fn a_huge_value_stops_by_name_and_is_passed_over_then() {
    let scene = Scene::new("stopped", TABLE).await;
    scene.sql("insert into t values (1, 'a')").await;
    // A message that nobody wants stops nothing, however large.
    let config = scene.config("initial", "");
    let replicator = scene.stream(&config).await;
    scene
        .sql("select pg_logical_emit_message(true, 'other', repeat('x', 20000000))")
        .await;
    caught_up(&scene.database, &scene.name).await;
    scene
        .sql(&format!(
            "begin; insert into t values (2); insert into t values (3, {HUGE}); commit"
        ))
        .await;
    let ended = replicator.wait(std::time::Duration::from_mins(2));
    let ended = ended.expect(ExitCode::RecordTooLarge);
    for part in [
        "table public.t: the server sent a change of 2684",
        "more than the 8388608 that are held of one",
        "raise kafka.message_bytes_max",
        "set source.on_too_large = \"pass-over\"",
    ] {
        assert!(ended.log.contains(part), "{part}: {}", ended.log);
    }
    let replicator = scene.stream(&passing(&scene, "")).await;
    scene.drain(replicator).await;
    assert_eq!(told(&values(&scene.records("t"))), ["r 1", "c 2"]);
    let notes: Vec<Value> = passed_over(&scene).iter().map(note).collect();
    assert_eq!(
        notes,
        [json!(["c", "2", { "id": 3 }, null, "change", true])]
    );
}

#[tokio::test]
async fn a_huge_row_stops_a_snapshot_by_name() {
    let scene = Scene::new("unread", TABLE).await;
    scene
        .sql(&format!("insert into t values (1, {HUGE})"))
        .await;
    let ended = Tidewater::run(&["replicate"], &scene.config("only", ""));
    let ended = ended.expect(ExitCode::RecordTooLarge);
    let named = "table public.t: the server sent a change of 2684";
    assert!(ended.log.contains(named), "{}", ended.log);
}

#[tokio::test]
async fn the_bound_of_a_record_is_exact() {
    const BOUND: usize = 1_000_000;
    let scene = Scene::new("exact", TABLE).await;
    let replicator = scene.stream(&passing(&scene, "")).await;
    scene.sql("insert into t values (0, 'probe')").await;
    scene.sql("insert into t values (1, 'probe')").await;
    caught_up(&scene.database, &scene.name).await;
    let size = |record: &crate::model::Record| {
        let parts = [&record.key, &record.value].into_iter().flatten();
        parts.map(Vec::len).sum::<usize>()
    };
    let probe = scene.records("t").iter().map(size).max().unwrap();
    // Numbers in the event may have grown by a digit meanwhile.
    let first = BOUND - probe - 10;
    scene
        .sql(&format!(
            "insert into t select 100 + n, repeat('x', 5 + {first} + n) from generate_series(0, 30) n"
        ))
        .await;
    scene.drain(replicator).await;
    let records = scene.records("t");
    let largest = records.iter().map(size).max().unwrap();
    assert_eq!(largest, BOUND, "a record of just that size is published");
    let mut passed: Vec<u64> = passed_over(&scene)
        .iter()
        .map(|record| {
            assert_eq!(record["reason"], "record");
            assert_eq!(record["bytes_max"], 1_000_000);
            record["bytes"].as_u64().unwrap()
        })
        .collect();
    passed.sort_unstable();
    assert_eq!(passed.first(), Some(&1_000_001), "and one byte more is not");
    let published = records.iter().filter(|record| record.value.is_some());
    // The mark of the snapshot's end has no value.
    assert_eq!(published.count() + passed.len(), 2 + 31);
}

#[tokio::test]
async fn large_logical_messages_are_passed_over() {
    let scene = Scene::new("letters", TABLE).await;
    let config = passing(&scene, "");
    let config = config.replace("[kafka]", "messages = [\"app.*\"]\n[kafka]");
    let replicator = scene.stream(&config).await;
    for (transactional, bytes) in [(true, 2_000_000), (false, 20_000_000), (true, 10)] {
        scene
            .sql(&format!(
                "select pg_logical_emit_message({transactional}, 'app.a', repeat('x', {bytes}))"
            ))
            .await;
    }
    scene.drain(replicator).await;
    let told: Vec<Value> = passed_over(&scene)
        .iter()
        .map(|record| json!([record["op"], record["key"], record["reason"]]))
        .collect();
    let key = json!({ "prefix": "app.a" });
    assert_eq!(
        told,
        [json!(["m", key, "record"]), json!(["m", key, "change"])]
    );
    let topic = format!("{}.message", scene.name);
    let records = crate::model::read_topic(&crate::support::kafka_brokers(), &topic);
    assert_eq!(values(&records).len(), 1);
}
