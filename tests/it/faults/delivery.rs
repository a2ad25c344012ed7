//! The broker takes a record into a transaction and then refuses to store it.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::Scene;
use crate::model::read_topic;
use crate::support::until;

async fn limit(scene: &Scene, topic: &str, bytes: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &scene.brokers)
        .create()
        .unwrap();
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", bytes);
    let altered = admin.alter_configs([&change], &AdminOptions::new()).await;
    altered.unwrap().remove(0).unwrap();
}

/// Nothing of the transaction is seen, and nothing is confirmed, until all of it is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_delivery_aborts_its_transaction_and_is_sent_again() {
    let scene = Scene::shared("delivery").await;
    let mut replicator = scene.replicate();
    replicator.streaming().await;
    let topic = format!("{}.public.t", scene.prefix);
    limit(&scene, &topic, "1000").await;
    // One record that is refused, and one beside it that is not.
    let both = "begin;
        insert into t select 1, string_agg(md5(g::text), ''), 1 from generate_series(1, 200) g;
        insert into v values (1, 'beside it');
        commit";
    scene.database.batch_execute(both).await.unwrap();
    until("the transaction to be aborted", async || {
        replicator.log().contains("kafka transaction failed")
    })
    .await;
    assert!(replicator.is_running(), "{}", replicator.log());
    let beside = read_topic(&scene.brokers, &format!("{}.public.v", scene.prefix));
    let holds = |value: &[u8]| value.windows(9).any(|words| words == b"beside it");
    let mut seen = beside.iter().filter_map(|record| record.value.as_deref());
    assert!(!seen.any(holds), "seen before its transaction was whole");
    limit(&scene, &topic, "1048588").await;
    scene.caught_up().await;
    assert_eq!(replicator.terminate().code(), Some(0));
    scene.assert_exactly_once().await;
}
