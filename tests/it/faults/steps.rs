//! Death at each named step.

use std::time::Duration;

use super::Scene;
use crate::support::until;

/// Steps of a start that reads the tables, in the order in which one attempt after the other dies.
/// Each attempt finds what the one before has left: a slot without a position, an unfinished snapshot.
const SNAPSHOT: [(&str, u64); 13] = [
    ("start.leased", 1),
    ("start.init-transactions", 1),
    ("start.fenced", 1),
    ("snapshot.slot-created", 1),
    ("snapshot.begun", 1),
    // From here on what is left is read.
    ("snapshot.resumed", 1),
    ("snapshot.begun", 1),
    // The tables are small enough to share a transaction, the second after that record's.
    ("snapshot.chunk", 1),
    ("snapshot.chunk", 2),
    ("publish.before-commit", 2),
    ("publish.committed", 2),
    ("snapshot.read", 1),
    ("snapshot.ended", 1),
];

/// Steps of a stream, and at which arrival it dies: at the first, and in the midst.
const STREAM: [(&str, u64); 14] = [
    ("start.init-transactions", 1),
    ("start.streaming", 1),
    ("publish.before-begin", 1),
    ("publish.before-begin", 9),
    ("publish.begun", 1),
    ("publish.begun", 9),
    ("publish.mid-produce", 1),
    ("publish.mid-produce", 9),
    ("publish.before-commit", 1),
    ("publish.before-commit", 9),
    ("publish.committed", 1),
    ("publish.committed", 9),
    ("stream.before-confirm", 3),
    ("stream.confirmed", 3),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicator_that_dies_at_any_step_loses_and_repeats_nothing() {
    let scene = Scene::shared("steps").await;
    let load = scene.load();
    until("rows to read", async || load.changes() > 500).await;
    for (step, arrival) in SNAPSHOT.into_iter().chain(STREAM) {
        scene
            .replicate_until(step, arrival)
            .wait(Duration::from_mins(1))
            .died_at(step, arrival);
    }
    load.stop().await;
    scene.assert_exactly_once().await;
}
