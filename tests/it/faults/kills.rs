//! `kill -9` at random moments.

use std::time::Duration;

use tidewater::step::Role;

use super::Scene;
use crate::support::{Kills, until};

/// Whether a batch or a Kafka transaction is open at the step.
pub(super) fn is_open(step: &str) -> bool {
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
    first.streaming().await;
    assert_eq!(first.terminate().code(), Some(0));
    let kills = Kills {
        role: Role::Replicate,
        working: "publish.",
        is_open,
        lurk: Duration::ZERO,
        enough: 40,
        tries_max: 120,
    };
    kills.run(|| scene.replicate(), |_| ()).await;
    println!("under {} changes", load.stop().await);
    scene.assert_exactly_once().await;
}
