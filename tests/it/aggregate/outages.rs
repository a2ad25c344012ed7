//! Sink and brokers go away and come back.

use super::{Scene, Servers};
use crate::model::read_topic;
use crate::support::{Kafka, Postgres, Tidewater, until};

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
    let topic = scene.topic("orders");
    let mut reader = Tidewater::start(&["tail", &topic, "--from-beginning"], &scene.config);
    until("a record to be read", async || !reader.output().is_empty()).await;
    flows(300).await;
    kafka.kill();
    flows(300).await;
    until("the reader to notice", async || {
        reader.log().contains("kafka is disturbed")
    })
    .await;
    kafka.resume();
    flows(300).await;
    load.stop().await;
    scene.assert_right().await;
    let records = read_topic(&scene.brokers, &topic).len();
    until("every record to be read", async || {
        assert!(reader.is_running(), "{}", reader.log());
        reader.output().lines().count() >= records
    })
    .await;
    let reader = reader.terminate();
    assert_eq!(reader.code(), Some(0), "{}", reader.log);
    assert_eq!(reader.output.lines().count(), records);
    assert!(consumer.is_running(), "{}", consumer.log());
    assert_eq!(consumer.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}
