//! Death at each step of a table that is read again.

use std::time::Duration;

use super::{Tidewater, assert_fits, finished, journal, show, start};
use crate::starts::Scene;
use crate::support::until;

const ROWS: u64 = 8_000;
/// Rows of a chunk, too.
const ROWS_PER_SECOND: u64 = 1_000;

/// Steps, and at which arrival it dies.
const STEPS: [(&str, u64); 8] = [
    ("ad-hoc.told", 1),
    ("ad-hoc.ordered", 1),
    ("ad-hoc.told", 2),
    ("ad-hoc.appended", 1),
    ("publish.committed", 2),
    ("ad-hoc.appended", 2),
    ("publish.before-commit", 3),
    ("ad-hoc.ordered", 2),
];

/// A source with one table of so many rows.
async fn filled(name: &str) -> Scene {
    let table = format!(
        "create table t (id bigint primary key, note text);
         insert into t select n, repeat(md5(n::text), 2) from generate_series(1, {ROWS}) as n"
    );
    let scene = Scene::new(name, &table).await;
    journal(&scene, "t", &["id"]).await;
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_not_read_again_after_a_crash() {
    let scene = filled("adhoc_steps").await;
    let config = scene
        .config("initial", "")
        .replace("[kafka]", "tables = [\"public.*\"]\n[kafka]");
    let first = scene.stream(&config).await;
    scene.drain(first).await;
    let config = config.replace(
        "[kafka]",
        &format!("snapshot_rows_per_second = {ROWS_PER_SECOND}\n[kafka]"),
    );
    // Nobody runs: it waits in the log.
    let asked = super::snapshot(&["start", "public.t"], &config);
    assert_eq!(
        (&asked["running"], &asked["taken_up"]),
        (&false.into(), &false.into())
    );
    let id = asked["ids"][0].as_str().unwrap();
    let mut rows = Vec::new();
    for (step, arrival) in STEPS {
        let crash = format!("{config}[debug]\ncrash_at = \"{step}:{arrival}\"\n");
        let replicator = Tidewater::start(&["replicate"], &crash);
        replicator
            .wait(Duration::from_mins(1))
            .died_at(step, arrival);
        rows.push(show(id, &config)["rows"].as_u64().unwrap_or_default());
    }
    println!("{rows:?}");
    assert!(rows.is_sorted(), "{rows:?}");
    let last = *rows.last().unwrap();
    assert!(
        last > 0 && last < ROWS,
        "it died before the first chunk, or behind the last: {rows:?}"
    );
    let replicator = scene.stream(&config).await;
    let request = finished(id, &config).await;
    assert_eq!(request["rows"], ROWS, "{request}");
    scene.drain(replicator).await;
    let (changes, reads) = assert_fits(&scene, "t", 2).await;
    assert_eq!(
        (changes, reads as u64),
        (0, 2 * ROWS),
        "a row was read twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_snapshot_goes_on() {
    let scene = filled("adhoc_kills").await;
    let config = scene.config("never", "").replace(
        "[kafka]",
        &format!("tables = [\"public.*\"]\nsnapshot_rows_per_second = {ROWS_PER_SECOND}\n[kafka]"),
    );
    let mut replicator = scene.stream(&config).await;
    let id = start(&[], &config);
    let mut rows = 0;
    for _ in 0..3 {
        until("another chunk", async || {
            show(&id, &config)["rows"].as_u64() > Some(rows)
        })
        .await;
        replicator.kill();
        rows = show(&id, &config)["rows"].as_u64().unwrap();
        scene
            .sql("update t set note = 'changed' where id % 7 = 1")
            .await;
        replicator = scene.stream(&config).await;
    }
    assert_eq!(finished(&id, &config).await["tables_finished"], 1);
    scene.drain(replicator).await;
    assert_fits(&scene, "t", 2).await;
}
