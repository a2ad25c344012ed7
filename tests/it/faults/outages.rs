//! The servers go away and come back; the replicator goes on by itself.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tidewater::connection::{Connection, connect};

use super::Scene;
use crate::support::load::Load;
use crate::support::{Kafka, Postgres, kafka_brokers, until};

/// How long the replicator lets its source be silent.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// More than two batches hold, which are closed at 4 MiB or 16,384 records.
const FLOOD: &str = "
    insert into t select id, repeat('n', 200), 1 from generate_series(1000000, 1050000) as id";
const RESIDENT_BYTES_MAX: u64 = 128 << 20;

/// More changes must come through before the next fault.
async fn flows(load: &Load, more: u64) {
    let goal = load.changes() + more;
    until("the load to go on", async || load.changes() >= goal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_be_restarted_under_load() {
    let server = Postgres::start(&["wal_level=logical"]);
    let source: Connection = server.url().parse().unwrap();
    let scene = Scene::new("pg_restart", source, &server.url(), &kafka_brokers(), "").await;
    let load = scene.load();
    let mut replicator = scene.replicate();
    replicator.streaming().await;
    for mode in ["immediate", "fast", "immediate"] {
        flows(&load, 300).await;
        server.stop(mode);
        server.resume();
    }
    flows(&load, 300).await;
    load.stop().await;
    let scene = Scene {
        database: connect(&scene.source).await.unwrap(),
        ..scene
    };
    scene.caught_up().await;
    assert!(replicator.is_running(), "{}", replicator.log());
    assert_eq!(replicator.terminate().code(), Some(0));
    scene.assert_exactly_once().await;
}

// Three seconds are shorter than a busy broker takes to come back: its coordinator ends the transaction before the
// partitions have a leader, and may leave one hanging for ever (KAFKA-20734).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kafka itself may leave a transaction hanging: make outages"]
async fn kafka_may_be_killed_under_load() {
    let mut kafka = Kafka::start();
    let short = "transaction_timeout = \"3s\"";
    let scene = Scene::on("kafka_restart", &kafka.brokers(), short).await;
    let load = scene.load();
    let mut replicator = scene.replicate();
    replicator.streaming().await;
    for _ in 0..2 {
        flows(&load, 300).await;
        kafka.kill();
        flows(&load, 300).await;
        kafka.resume();
    }
    flows(&load, 300).await;
    load.stop().await;
    scene.caught_up().await;
    assert!(replicator.is_running(), "{}", replicator.log());
    assert_eq!(replicator.terminate().code(), Some(0));
    scene.assert_exactly_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_may_stall_under_load() {
    let kafka = Kafka::stalling();
    let short = "transaction_timeout = \"3s\"";
    let scene = Scene::on("kafka_stall", &kafka.brokers(), short).await;
    let load = scene.load();
    let mut replicator = scene.replicate();
    replicator.streaming().await;
    flows(&load, 300).await;
    scene.caught_up().await;
    let streams = || replicator.log().matches("streaming").count();
    let before = streams();

    // Longer than an open transaction may last, so that the broker aborts it, which the client reports
    // as a fencing; and longer than the source may be silent, with both batches full: nothing is read,
    // and the source is not to blame.
    kafka.signal(Signal::SIGSTOP);
    let stalled = Instant::now();
    scene.database.batch_execute(FLOOD).await.unwrap();
    until("longer than the source may be silent", async || {
        stalled.elapsed() > SILENCE_MAX + Duration::from_secs(3)
    })
    .await;
    kafka.signal(Signal::SIGCONT);
    scene.caught_up().await;
    assert_eq!(streams(), before, "{}", replicator.log());
    flows(&load, 300).await;
    load.stop().await;
    scene.caught_up().await;
    let resident = replicator.resident_bytes_max();
    println!("resident memory {} MiB at most", resident >> 20);
    assert!(resident < RESIDENT_BYTES_MAX, "{} MiB", resident >> 20);
    assert!(replicator.is_running(), "{}", replicator.log());
    assert_eq!(replicator.terminate().code(), Some(0));
    scene.assert_exactly_once().await;
}
