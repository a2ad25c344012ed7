//! Sink and brokers go away and come back.

use super::{Scene, Servers};
use crate::support::{Kafka, Postgres, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sink_and_kafka_may_be_restarted_under_load() {
    let (server, mut kafka) = (Postgres::start(&[]), Kafka::start());
    let servers = Servers {
        sink_url: server.url().rsplit_once('/').unwrap().0.to_owned(),
        brokers: kafka.brokers(),
    };
    let scene = Scene::new("retail_outage", &servers, "default", "").await;
    let replicator = scene.replicate();
    replicator.streaming().await;
    let load = scene.load();
    let flows = async |more| {
        let goal = load.changes() + more;
        until("the load to go on", async || load.changes() >= goal).await;
    };
    let mut consumer = scene.aggregate();
    until("the consumer", async || {
        consumer.log().contains("partitions assigned")
    })
    .await;
    for mode in ["immediate", "fast"] {
        flows(300).await;
        server.stop(mode);
        flows(300).await;
        server.resume();
    }
    flows(300).await;
    kafka.kill();
    flows(300).await;
    kafka.resume();
    flows(300).await;
    load.stop().await;
    scene.assert_right().await;
    assert!(consumer.is_running(), "{}", consumer.log());
    assert_eq!(consumer.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}
