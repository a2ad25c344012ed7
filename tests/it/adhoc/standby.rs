//! A commit that is streamed before it is visible, since it waits for a synchronous standby.

use std::time::Duration;

use tidewater::connection::connect;
use tokio::task::JoinSet;

use super::{assert_fits, finished, journal, show, start};
use crate::starts::Scene;
use crate::support::{Postgres, until};

const ROWS: u64 = 6_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_waits_for_what_was_streamed_before_it_is_visible() {
    let server = Postgres::start(&["wal_level=logical"]);
    let tables = format!(
        "create table t (id bigint primary key, note text);
         insert into t select n, 'n' from generate_series(1, {ROWS}) as n"
    );
    let scene = Scene::at(&server, "adhoc_standby", &tables).await;
    journal(&scene, "t", &["id"]).await;
    let more = "tables = [\"public.*\"]\nsnapshot_rows_per_second = 1000\n[kafka]";
    let config = scene.config("never", "").replace("[kafka]", more);
    let config = config.replace("interval = \"100ms\"", "interval = \"0s\"");
    let replicator = scene.stream(&config).await;
    let id = start(&["public.t"], &config);
    until("a chunk", async || {
        show(&id, &config)["rows"].as_u64() > Some(0)
    })
    .await;

    scene
        .sql("alter system set synchronous_standby_names = 'nobody'")
        .await;
    scene.sql("select pg_reload_conf()").await;
    until("the setting", async || {
        let shown = scene
            .database
            .query_one("show synchronous_standby_names", &[])
            .await;
        shown.unwrap().get::<_, &str>(0) == "nobody"
    })
    .await;
    let writer = connect(&server.url().parse().unwrap()).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let update = format!("update t set note = 'changed' where id > {ROWS} - 100");
        writer.batch_execute(&update).await.unwrap();
    });
    until("the change to be streamed", async || {
        scene.records("t").len() > 100
    })
    .await;
    // Long enough for the rest, if nothing waited; it is not what decides whether the test is right.
    let wait = async {
        until("the end", async || {
            show(&id, &config)["state"] == "finished"
        })
        .await;
    };
    let waited = tokio::time::timeout(Duration::from_secs(12), wait).await;
    assert!(
        waited.is_err(),
        "the snapshot ended before its last rows could be seen"
    );

    scene
        .sql("alter system reset synchronous_standby_names")
        .await;
    scene.sql("select pg_reload_conf()").await;
    tasks.join_next().await.unwrap().unwrap();
    finished(&id, &config).await;
    scene.drain(replicator).await;
    let (changes, reads) = assert_fits(&scene, "t", 2).await;
    assert_eq!((changes, reads as u64), (100, ROWS));
}
