//! Topics that no longer hold what the sink needs, or not as it knows them: refused, and nothing is
//! wiped or skipped.

use nix::sys::signal::Signal;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::Duration;
use tidewater::exit::ExitCode;

use super::{Scene, Servers, sink};
use crate::model::read_topic;
use crate::support::{Ended, Tidewater, until};

fn client(scene: &Scene) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &scene.brokers);
    client
}

fn admin(scene: &Scene) -> AdminClient<DefaultClientContext> {
    client(scene).create().unwrap()
}

fn assert_refused(ended: &Ended, code: ExitCode, words: &[&str]) {
    assert_eq!(ended.code(), Some(code as i32), "{}", ended.log);
    for words in words {
        assert!(ended.log.contains(words), "{words} in {}", ended.log);
    }
}

/// Deletes all that the topic of stock holds.
async fn delete_stock(scene: &Scene) {
    let topic = scene.topic("inventory");
    let mut all = TopicPartitionList::new();
    for partition in 0..3 {
        all.add_partition_offset(&topic, partition, Offset::End)
            .unwrap();
    }
    let deleted = admin(scene)
        .delete_records(&all, &AdminOptions::new())
        .await;
    for partition in deleted.unwrap().elements() {
        partition.error().unwrap();
    }
}

/// Replicator and consumer, once everything has been applied.
async fn flowing(scene: &Scene) -> (Tidewater, Tidewater) {
    let replicator = scene.replicate();
    let consumer = scene.aggregate();
    until("the consumer", async || {
        consumer.log().contains("partitions assigned")
    })
    .await;
    scene.applied().await;
    (replicator, consumer)
}

/// Sets the level of a few products of one store, and waits for the records.
async fn stock(scene: &Scene, store: usize) {
    let topic = scene.topic("inventory");
    let goal = read_topic(&scene.brokers, &topic).len() + 30;
    let rows = format!("insert into inventory select {store}, generate_series(1, 30), 7, 60");
    scene.database.batch_execute(&rows).await.unwrap();
    until("the records", async || {
        read_topic(&scene.brokers, &topic).len() >= goal
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_records_that_are_still_needed_are_refused() {
    let scene = Scene::new("deleted", &Servers::shared(), "default", "").await;
    let (replicator, consumer) = flowing(&scene).await;

    // What it has asked for already is answered with the first store's rows, never with the second's.
    consumer.signal(Signal::SIGSTOP);
    stock(&scene, 8).await;
    stock(&scene, 9).await;
    delete_stock(&scene).await;
    consumer.signal(Signal::SIGCONT);
    let gone = [
        scene.topic("inventory"),
        "is needed: restore the topic from its archive".to_owned(),
    ];
    let gone = [gone[0].as_str(), gone[1].as_str()];
    let running = consumer.wait(Duration::from_mins(1));
    assert_refused(&running, ExitCode::TopicContent, &gone);
    let again = Tidewater::run(&["aggregate"], &scene.config);
    assert_refused(&again, ExitCode::TopicContent, &gone);

    let sink = scene.sink().await;
    let before = sink::dump(&sink).await;
    assert!(!before[0].1.is_empty());
    let rebuilt = Tidewater::run(&["rebuild"], &scene.config);
    let start = [gone[0], "and offset 0 is needed", gone[1]];
    assert_refused(&rebuilt, ExitCode::TopicContent, &start);
    assert_eq!(sink::dump(&sink).await, before);
    assert_eq!(replicator.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_were_added_are_refused() {
    let attentive = "[kafka.consumer]\n\"topic.metadata.refresh.interval.ms\" = \"500\"";
    let scene = Scene::new("added", &Servers::shared(), "default", attentive).await;
    let (replicator, consumer) = flowing(&scene).await;
    let topic = scene.topic("orders");
    let five = NewPartitions::new(&topic, 5);
    let added = admin(&scene).create_partitions([&five], &AdminOptions::new());
    added.await.unwrap()[0].as_ref().unwrap();
    let words = format!("topic {topic} has 5 partitions and the sink knows 3");
    let words = [
        &words,
        "choose a new kafka.prefix and run tidewater rebuild",
    ];
    let running = consumer.wait(Duration::from_mins(1));
    assert_refused(&running, ExitCode::TopicUnusable, &words);
    let again = Tidewater::run(&["aggregate"], &scene.config);
    assert_refused(&again, ExitCode::TopicUnusable, &words);
    replicator.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_nobody_can_read_ends_consumer_and_rebuild() {
    let scene = Scene::new("unreadable", &Servers::shared(), "default", "").await;
    let (replicator, consumer) = flowing(&scene).await;
    let topic = scene.topic("customers");
    let producer: BaseProducer = client(&scene).create().unwrap();
    let record = BaseRecord::to(&topic).partition(1).key("k").payload("v");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_mins(1)).unwrap();
    let words = format!("of topic {topic}, partition 1, cannot be used");
    let words = ["the record at offset", &words];
    let running = consumer.wait(Duration::from_mins(1));
    assert_refused(&running, ExitCode::TopicContent, &words);
    let rebuilt = Tidewater::run(&["rebuild"], &scene.config);
    assert_refused(&rebuilt, ExitCode::TopicContent, &words);
    assert_eq!(replicator.terminate().code(), Some(0));
}
