//! The servers go away and come back; the replicator goes on by itself.

use std::time::Duration;

use nix::sys::signal::Signal;
use tidewater::connection::{Connection, connect};

use super::Scene;
use crate::support::load::Load;
use crate::support::{
    Kafka, Postgres, Tidewater, kafka_brokers, postgres_database, postgres_url, until,
};

/// More changes must come through before the next fault.
async fn flows(load: &Load, more: u64) {
    let goal = load.changes() + more;
    until("the load to go on", async || load.changes() >= goal).await;
}

async fn streaming(replicator: &Tidewater) {
    until("streaming", async || replicator.log().contains("streaming")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_be_restarted_under_load() {
    let server = Postgres::start(&["wal_level=logical"]);
    let source: Connection = server.url().parse().unwrap();
    let scene = Scene::new("pg_restart", source, &server.url(), &kafka_brokers(), "").await;
    let load = scene.load();
    let mut replicator = scene.replicate();
    streaming(&replicator).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_may_be_killed_and_stalled_under_load() {
    let mut kafka = Kafka::start();
    let source = postgres_database("kafka_restart").await;
    let url = postgres_url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let url = format!("{server}/{}", source.database());
    let short = "transaction_timeout = \"3s\"";
    let scene = Scene::new("kafka_restart", source, &url, &kafka.brokers(), short).await;
    let load = scene.load();
    let mut replicator = scene.replicate();
    streaming(&replicator).await;
    for _ in 0..2 {
        flows(&load, 300).await;
        kafka.kill();
        flows(&load, 300).await;
        kafka.resume();
    }
    flows(&load, 300).await;
    // Longer than an open transaction may last: the broker aborts it, which the client reports as a
    // fencing.
    kafka.signal(Signal::SIGSTOP);
    tokio::time::sleep(Duration::from_secs(5)).await;
    kafka.signal(Signal::SIGCONT);
    flows(&load, 300).await;
    load.stop().await;
    scene.caught_up().await;
    assert!(replicator.is_running(), "{}", replicator.log());
    assert_eq!(replicator.terminate().code(), Some(0));
    scene.assert_exactly_once().await;
}
