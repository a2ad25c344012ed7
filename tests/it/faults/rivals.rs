//! Two replicators on one slot.

use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidewater::exit::ExitCode;
use tidewater::kafka::topics;
use tidewater::postgres;

use super::Scene;
use crate::support::{Kafka, Tidewater, until};

/// One that streams, and one that waits for its lease.
async fn rivals(scene: &Scene) -> (Tidewater, Tidewater) {
    let first = scene.replicate();
    first.streaming().await;
    let second = scene.replicate();
    until("the second to wait", async || {
        second.log().contains("holds the lease")
    })
    .await;
    (first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_replicator_waits_and_takes_over() {
    let scene = Scene::shared("second").await;
    let load = scene.load();
    let (first, second) = rivals(&scene).await;
    let goal = load.changes() + 500;
    until("more load", async || load.changes() >= goal).await;
    assert!(!second.log().contains("streaming"), "{}", second.log());
    first.kill();
    second.streaming().await;
    let goal = load.changes() + 500;
    until("more load", async || load.changes() >= goal).await;
    load.stop().await;
    assert_eq!(second.terminate().code(), Some(0));
    scene.assert_exactly_once().await;
}

/// One that has waited has reached both servers: an outage is none of a wrong address's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_replicator_outlives_an_outage_at_its_takeover() {
    let mut kafka = Kafka::start();
    let mut scene = Scene::on("takeover", &kafka.brokers(), "").await;
    let impatient = "[source]\nstart_timeout = \"0s\"\n";
    scene.config = scene.config.replacen("[source]\n", impatient, 1);
    let (first, second) = rivals(&scene).await;
    kafka.kill();
    first.kill();
    until("the second to meet the outage", async || {
        second.log().contains("starting over")
    })
    .await;
    kafka.resume();
    second.streaming().await;
    assert_eq!(second.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_publishes_nothing() {
    let scene = Scene::shared("zombie").await;
    let load = scene.load();
    let (zombie, second) = rivals(&scene).await;

    zombie.signal(Signal::SIGSTOP);
    // Its lease is gone although it lives: as after a cut network.
    let name = postgres::lease_name(&scene.prefix, &scene.prefix);
    let holder = postgres::lease_holder(&scene.database, &name)
        .await
        .unwrap();
    let end = "select pg_terminate_backend($1)";
    scene
        .database
        .execute(end, &[&holder.unwrap().0])
        .await
        .unwrap();
    second.streaming().await;
    let goal = load.changes() + 300;
    until("more load", async || load.changes() >= goal).await;

    zombie.signal(Signal::SIGCONT);
    let goal = load.changes() + 1_000;
    until("more load", async || load.changes() >= goal).await;
    load.stop().await;
    scene.caught_up().await;
    // It ends as fenced, or has seen that the lease is lost and waits for it.
    let log = zombie.log();
    let ended = zombie.terminate();
    let fenced = Some(ExitCode::Fenced as i32);
    assert!(
        ended.code() == fenced || log.contains("holds the lease"),
        "{:?}: {}",
        ended.code(),
        ended.log
    );
    assert_eq!(second.terminate().code(), Some(0));
    scene.assert_exactly_once().await;
}

/// Progress that was delivered and not committed hides all later records until its transaction ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_ends_what_a_dead_worker_holds_open_instead_of_waiting() {
    let scene = Scene::shared("worker").await;
    let load = scene.load();
    until("rows to read", async || load.changes() > 500).await;
    load.stop().await;
    let limit = Duration::from_mins(1);
    let died = scene.replicate_until("snapshot.chunk", 1).wait(limit);
    assert_eq!(died.code(), None, "{}", died.log);
    let worker = dead_worker(&scene);

    let next = scene.replicate_until("start.fenced", 1).wait(limit);
    assert_eq!(next.code(), None, "{}", next.log);
    let refused = worker.commit_transaction(limit);
    assert!(refused.is_err(), "a worker that is not fenced");
    scene.assert_exactly_once().await;
}

/// What a worker of the scene's snapshot leaves that dies before it commits. Its transaction times out
/// long after a start has had to end.
fn dead_worker(scene: &Scene) -> BaseProducer {
    let Scene {
        brokers, prefix, ..
    } = scene;
    let id = format!("tidewater.{prefix}.{prefix}.snapshot.0");
    let worker: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "300000")
        .create()
        .unwrap();
    let limit = Duration::from_secs(30);
    worker.init_transactions(limit).unwrap();
    worker.begin_transaction().unwrap();
    let topic = topics::position(prefix, prefix);
    let record = BaseRecord::to(&topic).key("progress").payload("{}");
    worker.send(record).unwrap();
    worker.flush(limit).unwrap();
    worker
}
