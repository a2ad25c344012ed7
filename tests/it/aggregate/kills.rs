//! Death of the consumer at random moments and at each named step, and a rebuild of what is left.

use std::time::Duration;

use tidewater::step::Role;

use super::{Scene, Servers, shop, sink};
use crate::support::load::Load;
use crate::support::{Kills, Tidewater, until};

/// One instance that takes its partitions back at once when it is started again.
const ONE_INSTANCE: &str = "[kafka.consumer]\n\"group.instance.id\" = \"one\"";
const STEPS: [(&str, u64); 8] = [
    ("aggregate.begin", 1),
    ("aggregate.write", 2),
    ("aggregate.decide", 1),
    ("aggregate.decide", 5),
    ("aggregate.commit", 1),
    ("aggregate.commit", 5),
    ("aggregate.committed", 1),
    ("aggregate.committed", 5),
];

fn is_open(step: &str) -> bool {
    matches!(
        step,
        "aggregate.begin" | "aggregate.write" | "aggregate.decide" | "aggregate.commit"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_killed_at_any_moment_counts_every_change_once() {
    let scene = Scene::new("retail_kills", &Servers::shared(), "default", ONE_INSTANCE).await;
    let mut replicator = scene.replicate();
    replicator.streaming().await;
    // Heavy enough that the consumer is seldom without a transaction.
    let load = Load::of(shop::statement, &scene.source, 4, Duration::from_millis(3));
    let kills = Kills {
        role: Role::Aggregate,
        working: "aggregate.",
        is_open,
        lurk: Duration::from_secs(2),
        enough: 20,
        tries_max: 200,
    };
    let restart_replicator = |kill: usize| {
        if kill.is_multiple_of(5) {
            std::mem::replace(&mut replicator, scene.replicate()).kill();
        }
    };
    kills.run(|| scene.aggregate(), restart_replicator).await;
    println!("under {} changes", load.stop().await);
    let consumer = scene.aggregate();
    scene.assert_right().await;
    assert_eq!(consumer.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_dies_at_any_step_and_a_rebuild_give_the_same() {
    let scene = Scene::new("retail_steps", &Servers::shared(), "full", ONE_INSTANCE).await;
    let replicator = scene.replicate();
    replicator.streaming().await;
    let load = scene.load();
    for (step, arrival) in STEPS {
        let crash = format!(
            "{}\n[debug]\ncrash_at = \"{step}:{arrival}\"\n",
            scene.config
        );
        let consumer = Tidewater::start(&["aggregate"], &crash);
        consumer.wait(Duration::from_mins(2)).died_at(step, arrival);
    }
    load.stop().await;
    let consumer = scene.aggregate();
    scene.assert_right().await;
    let database = scene.sink().await;
    scene.database.batch_execute(shop::OVERSTOCK).await.unwrap();
    until("a code", async || {
        let codes = "select count(*) > 0 from promotion";
        database.query_one(codes, &[]).await.unwrap().get(0)
    })
    .await;
    scene.assert_right().await;
    assert_eq!(consumer.terminate().code(), Some(0));

    let before = sink::dump(&database).await;
    for (table, rows) in &before {
        assert!(
            !rows.is_empty(),
            "{table} is empty, and its rebuild proves nothing"
        );
    }
    let rebuilt = Tidewater::run(&["rebuild"], &scene.config);
    assert_eq!(rebuilt.code(), Some(0), "{}", rebuilt.log);
    for ((table, before), (_, after)) in before.iter().zip(sink::dump(&database).await) {
        assert_eq!(*before, after, "{table} after the rebuild");
    }
    println!("rebuilt the same: {}", rebuilt.output.trim());
    assert_eq!(replicator.terminate().code(), Some(0));
}
