//! Death of the consumer at random moments and at each named step, and a rebuild of what is left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::step::Role;

use super::{Scene, Servers, shop, sink};
use crate::model::random;
use crate::support::load::Load;
use crate::support::{Tidewater, until};

/// Kills that must have met an open transaction.
const KILLS: usize = 20;
/// Tries in all.
const TRIES: usize = 200;
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
    until("streaming", async || replicator.log().contains("streaming")).await;
    // Heavy enough that the consumer is seldom without a transaction.
    let load = Load::of(shop::statement, &scene.source, 4, Duration::from_millis(3));
    let mut rng = ChaCha8Rng::seed_from_u64(random::seed());
    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    let (mut counted, mut tries) = (0, 0);
    while counted < KILLS {
        tries += 1;
        assert!(
            tries <= TRIES,
            "only {counted} of {tries} kills met a transaction: {steps:?}"
        );
        let consumer = scene.aggregate();
        until("a batch", async || {
            !consumer.step(Role::Aggregate).is_empty()
        })
        .await;
        // A random moment, and then the next transaction.
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..150_000))).await;
        let deadline = Instant::now() + Duration::from_secs(2);
        while !is_open(&consumer.step(Role::Aggregate)) && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        let step = consumer.kill_at_step(Role::Aggregate);
        counted += usize::from(is_open(&step));
        *steps.entry(step).or_default() += 1;
        if tries % 5 == 0 {
            replicator.kill();
            replicator = scene.replicate();
        }
    }
    let changes = load.stop().await;
    println!("{counted} kills in a transaction of {tries}, under {changes} changes");
    for (step, kills) in &steps {
        println!("{kills:>8}  {step}");
    }
    let consumer = scene.aggregate();
    scene.assert_right().await;
    assert_eq!(consumer.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_dies_at_any_step_and_a_rebuild_give_the_same() {
    let scene = Scene::new("retail_steps", &Servers::shared(), "full", ONE_INSTANCE).await;
    let replicator = scene.replicate();
    until("streaming", async || replicator.log().contains("streaming")).await;
    let load = scene.load();
    for (step, arrival) in STEPS {
        let crash = format!(
            "{}\n[debug]\ncrash_at = \"{step}:{arrival}\"\n",
            scene.config
        );
        let ended = Tidewater::start(&["aggregate"], &crash).wait(Duration::from_mins(2));
        assert_eq!(
            ended.code(),
            None,
            "{step}:{arrival} was not reached: {}",
            ended.log
        );
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
