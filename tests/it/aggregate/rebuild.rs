//! A rebuild beside a consumer that runs, through a restart of the sink.

use nix::sys::signal::Signal;

use super::{Scene, Servers, sink};
use crate::support::{Postgres, Tidewater, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_shares_the_work_with_a_consumer_and_outlives_its_sink() {
    let server = Postgres::start(&[]);
    let servers = Servers {
        sink_url: server.url().rsplit_once('/').unwrap().0.to_owned(),
        ..Servers::shared()
    };
    let scene = Scene::new("rebuild", &servers, "default", "").await;
    let replicator = scene.replicate();
    let consumer = scene.aggregate();
    replicator.streaming().await;
    let load = scene.load();
    until("some history", async || load.changes() > 1_000).await;
    load.stop().await;
    scene.assert_right().await;
    let before = sink::dump(&scene.sink().await).await;

    // The group waits for its stopped member, so that the sink goes away before anything is folded.
    consumer.signal(Signal::SIGSTOP);
    let rebuild = Tidewater::start(&["rebuild"], &scene.config);
    until("the wipe", async || {
        rebuild.log().contains("derived tables wiped")
    })
    .await;
    server.stop("immediate");
    consumer.signal(Signal::SIGCONT);
    until("the rebuild to miss the sink", async || {
        rebuild.log().contains("asking again")
    })
    .await;
    server.resume();
    let rebuilt = rebuild.wait(std::time::Duration::from_mins(1));
    assert_eq!(rebuilt.code(), Some(0), "{}", rebuilt.log);
    assert!(
        rebuilt.output.starts_with("rebuilt from "),
        "{}",
        rebuilt.output
    );

    // The consumer was fenced, and goes on alone.
    scene.assert_right().await;
    let after = sink::dump(&scene.sink().await).await;
    for ((table, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before, after, "{table} after the rebuild");
    }
    let change = "insert into inventory values (8, 8, 80, 60)";
    scene.database.batch_execute(change).await.unwrap();
    scene.assert_right().await;
    assert_eq!(consumer.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}
