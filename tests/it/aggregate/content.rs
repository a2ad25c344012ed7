//! Topics that hold what the consumer cannot read.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidewater::exit::ExitCode;

use super::{Scene, Servers};
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_is_named() {
    let scene = Scene::new("content", &Servers::shared(), "default", "").await;
    let replicator = scene.replicate();
    until("streaming", async || replicator.log().contains("streaming")).await;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &scene.brokers)
        .create()
        .unwrap();
    let topic = scene.topic("orders");
    let record = BaseRecord::to(&topic)
        .partition(1)
        .key("{\"order_id\":1}")
        .payload("{\"op\":\"c\",\"after\":{\"order_id\":1}}");
    producer.send(record).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();

    let ended = scene.aggregate().wait(Duration::from_mins(2));
    assert_eq!(
        ended.code(),
        Some(ExitCode::TopicContent as i32),
        "{}",
        ended.log
    );
    let last = ended.log.lines().last().unwrap();
    assert!(
        last.contains(&topic) && last.contains("partition 1"),
        "{last}"
    );
    assert_eq!(replicator.terminate().code(), Some(0));
}
