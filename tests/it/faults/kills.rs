//! `kill -9` at random moments.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::step::Role;

use super::Scene;
use crate::model::random;
use crate::support::until;

/// Kills that must have met an open batch or transaction.
const KILLS: usize = 40;
/// Tries in all, should most of them meet an idle replicator.
const TRIES: usize = 120;

/// Whether a batch or a Kafka transaction is open at the step.
fn is_open(step: &str) -> bool {
    matches!(
        step,
        "publish.begun"
            | "publish.mid-produce"
            | "publish.before-commit"
            | "publish.committed"
            | "stream.before-confirm"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicator_killed_at_any_moment_loses_and_repeats_nothing() {
    let scene = Scene::shared("kills").await;
    let load = scene.load();
    until("rows to read", async || load.changes() > 500).await;
    let first = scene.replicate();
    until("streaming", async || first.log().contains("streaming")).await;
    assert_eq!(first.terminate().code(), Some(0));
    let mut rng = ChaCha8Rng::seed_from_u64(random::seed());
    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    let (mut counted, mut tries) = (0, 0);
    while counted < KILLS {
        tries += 1;
        assert!(
            tries <= TRIES,
            "only {counted} of {tries} kills met an open batch: {steps:?}"
        );
        let replicator = scene.replicate();
        until("a batch", async || {
            replicator.step(Role::Replicate).starts_with("publish.")
        })
        .await;
        // The random moment itself.
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..150_000))).await;
        let step = replicator.kill_at_step(Role::Replicate);
        counted += usize::from(is_open(&step));
        *steps.entry(step).or_default() += 1;
    }
    let changes = load.stop().await;
    println!("{counted} kills with an open batch of {tries}, under {changes} changes");
    for (step, kills) in &steps {
        println!("{kills:>8}  {step}");
    }
    scene.assert_exactly_once().await;
}
