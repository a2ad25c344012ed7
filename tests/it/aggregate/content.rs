//! Topics that hold what the consumer cannot read.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidewater::exit::ExitCode;

use super::{Scene, Servers};
use crate::model::read_topic;
use crate::support::Tidewater;

/// What the topic of orders must not hold, with words of the error.
const UNREADABLE: [(&str, &str, &str); 3] = [
    ("not json", "{\"order_id\":1}", "no"),
    (
        "no position",
        "{\"order_id\":1}",
        "{\"op\":\"c\",\"after\":{\"order_id\":1}}",
    ),
    (
        "wrong key",
        "{\"id\":1}",
        "{\"op\":\"d\",\"before\":null,\"after\":null,\"source\":{\"position\":\"1:0/9:1\",\"ts_us\":1}}",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_is_named() {
    for (what, key, value) in UNREADABLE {
        let scene = Scene::new("content", &Servers::shared(), "default", "").await;
        let replicator = scene.replicate();
        replicator.streaming().await;
        assert_eq!(replicator.terminate().code(), Some(0));
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &scene.brokers)
            .create()
            .unwrap();
        let topic = scene.topic("orders");
        let record = BaseRecord::to(&topic).partition(1).key(key).payload(value);
        producer.send(record).unwrap();
        producer.flush(Duration::from_secs(30)).unwrap();
        let offset = read_topic(&scene.brokers, &topic)
            .iter()
            .filter(|record| record.partition == 1)
            .map(|record| record.offset)
            .max()
            .unwrap();

        let ended = scene.aggregate().wait(Duration::from_mins(2));
        assert_eq!(
            ended.code(),
            Some(ExitCode::TopicContent as i32),
            "{what}: {}",
            ended.log
        );
        let last = ended.log.lines().last().unwrap();
        for named in [topic, "partition 1".to_owned(), format!("offset {offset}")] {
            assert!(last.contains(&named), "{what}: no {named} in {last}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_format_that_loses_truncates_is_refused() {
    let skip = "[format]\ntruncate = \"skip\"";
    let scene = Scene::new("format", &Servers::shared(), "default", skip).await;
    let ended = Tidewater::run(&["aggregate"], &scene.config);
    assert_eq!(
        ended.code(),
        Some(ExitCode::Configuration as i32),
        "{}",
        ended.log
    );
    assert!(ended.log.contains("each-partition"), "{}", ended.log);
}
