//! Several consumers of one group.

use nix::sys::signal::Signal;

use super::{Scene, Servers};
use crate::support::load::Load;
use crate::support::{Tidewater, until};

async fn flows(load: &Load, more: u64) {
    let goal = load.changes() + more;
    until("the load to go on", async || load.changes() >= goal).await;
}

/// How often the instance was given partitions.
fn assignments(instance: &Tidewater) -> usize {
    instance.log().matches("partitions assigned").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_share_the_partitions_and_a_zombie_is_fenced() {
    let scene = Scene::new("group", &Servers::shared(), "default", "").await;
    let replicator = scene.replicate();
    until("streaming", async || replicator.log().contains("streaming")).await;
    let load = scene.load();
    let zombie = scene.aggregate();
    until("the first to be assigned", async || {
        assignments(&zombie) == 1
    })
    .await;
    let second = scene.aggregate();
    until("both to share", async || {
        assignments(&second) == 1 && assignments(&zombie) == 2
    })
    .await;
    flows(&load, 500).await;

    // Longer than a session lasts: the second is given everything.
    zombie.signal(Signal::SIGSTOP);
    until("the second to take over", async || {
        assignments(&second) == 2
    })
    .await;
    flows(&load, 500).await;
    zombie.signal(Signal::SIGCONT);
    until("the first to be back", async || assignments(&zombie) >= 3).await;
    flows(&load, 500).await;
    second.kill();
    flows(&load, 200).await;
    load.stop().await;
    scene.assert_right().await;
    assert_eq!(zombie.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}
