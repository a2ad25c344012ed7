//! Two replicators on one slot.

use nix::sys::signal::Signal;
use tidewater::exit::ExitCode;
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
