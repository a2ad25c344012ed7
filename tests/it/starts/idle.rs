//! A source whose published tables are quiet: its log is confirmed nevertheless, and never before the
//! position that covers it is in Kafka.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidewater::event::Lsn;
use tidewater::kafka::topics;
use tidewater::postgres::read_slot;

use super::Scene;
use crate::support::{Tidewater, kafka_brokers, until};

/// A published table, and one that is not.
const TABLES: &str = "
    create table t (id bigint primary key, note text);
    create schema private;
    create table private.u (id bigint generated always as identity, note text)";
/// As much log as makes an idle record due at once.
const LARGE: &str = "insert into private.u (note) select repeat(md5(id::text), 30) from generate_series(1, 20000) as id";
/// A little, which waits for the clock.
const SMALL: &str = "insert into private.u (note) values ('x')";
/// The clock's part.
const INTERVAL_MS: i64 = 10_000;

#[tokio::test]
async fn a_quiet_source_is_confirmed_behind_its_recorded_position() {
    let scene = Scene::new("idle", TABLES).await;
    let config = scene.config("initial", "").replace("\"100ms\"", "\"0s\"");
    let replicator = scene.stream(&config).await;
    // Two records closer to each other than the clock makes them are the size's doing.
    until("a record for the log's size", async || {
        scene.sql(LARGE).await;
        confirmed(&scene, &replicator).await;
        let times = idle_record_times(&scene);
        times.windows(2).any(|pair| pair[1] - pair[0] < INTERVAL_MS)
    })
    .await;
    scene.sql(SMALL).await;
    confirmed(&scene, &replicator).await;
    let ended = replicator.terminate();
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    // Nothing of all that is in the topic: the snapshot's end in each partition.
    assert_eq!(scene.records("t").len(), 3);
}

/// Waits until all that the log holds by now is confirmed. At each look what is confirmed is recorded.
async fn confirmed(scene: &Scene, replicator: &Tidewater) {
    let sql = "select pg_current_wal_lsn()::text";
    let now: String = scene.database.query_one(sql, &[]).await.unwrap().get(0);
    let now: Lsn = now.parse().unwrap();
    until("the quiet log to be confirmed", async || {
        let slot = read_slot(&scene.database, &scene.name)
            .await
            .unwrap()
            .unwrap();
        let confirmed = slot.confirmed_flush_lsn.unwrap();
        let recorded = scene.position().resume_lsn;
        assert!(
            confirmed <= recorded,
            "{confirmed} is confirmed, {recorded} recorded: {}",
            replicator.log()
        );
        confirmed >= now
    })
    .await;
}

/// When the records behind the snapshot's were sent, milliseconds.
fn idle_record_times(scene: &Scene) -> Vec<i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka_brokers())
        .set("group.id", "idle")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    let topic = topics::position(&scene.name, &scene.name);
    assignment
        .add_partition_offset(&topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&assignment).unwrap();
    let mut times = Vec::new();
    loop {
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(record)) if record.key() == Some(b"stream") => {
                times.push(record.timestamp().to_millis().unwrap());
            }
            Some(Ok(_)) | None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) => panic!("{topic}: {error}"),
        }
    }
    // The snapshot's begin and end.
    times.split_off(2)
}
