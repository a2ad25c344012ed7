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
    replicator.streaming().await;
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

/// How the next owner begins.
const TAKE_OVER: &str = "begin; update consumer_offset set owner = gen_random_uuid()";

/// How many sessions of the sink wait at their claim of a batch's offsets.
const CLAIMS: &str = "
    select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
      and query like '%update consumer_offset o set next_offset%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_meets_another_owner_is_refused_though_its_offsets_fit() {
    let scene = Scene::new("owner", &Servers::shared(), "default", "").await;
    let replicator = scene.replicate();
    let zombie = scene.aggregate();
    until("the consumer to be assigned", async || {
        assignments(&zombie) == 1
    })
    .await;
    scene.applied().await;
    let (sink, next_owner) = (scene.sink().await, scene.sink().await);
    let offsets = "select string_agg(o.next_offset::text, ' ' order by o.topic, o.partition)
                   from consumer_offset o";
    let stands = async || -> String { sink.query_one(offsets, &[]).await.unwrap().get(0) };

    // Kafka tells the zombie nothing: the row alone can stop it. It waits for the new owner's commit,
    // and the offsets are where its batch expects them.
    next_owner.batch_execute(TAKE_OVER).await.unwrap();
    let before = stands().await;
    let change = "insert into inventory values (8, 8, 80, 60)";
    scene.database.batch_execute(change).await.unwrap();
    until("the zombie to claim its batch", async || {
        sink.query_one(CLAIMS, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    assert_eq!(stands().await, before);
    next_owner.batch_execute("commit").await.unwrap();
    scene.assert_right().await;
    assert_ne!(stands().await, before);
    let log = zombie.log();
    assert!(
        log.contains("another consumer owns our partitions") && assignments(&zombie) == 2,
        "the batch was not refused: {log}"
    );
    assert_eq!(zombie.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}
