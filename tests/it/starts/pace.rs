//! A snapshot's limit, and what is told of its progress.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Scene;
use super::content::Content;
use crate::support::{Tidewater, until};

const ROWS: u64 = 100_000;
const ROWS_PER_SECOND: u64 = 8_000;
/// At least what a chunk of these rows holds.
const CHUNK_ROWS: u64 = 6_000;

/// The second half goes on without the limit.
#[tokio::test]
async fn a_snapshot_keeps_to_its_limit_and_tells_how_far_it_is() {
    let table = format!(
        "create table t (id bigint primary key, note text);
         insert into t select id, repeat(md5(id::text), 10) from generate_series(1, {ROWS}) as id;
         analyze t"
    );
    let scene = Scene::new("pace", &table).await;
    let unlimited = scene.config("initial", "");
    let limited = unlimited.replace(
        "[kafka]",
        &format!("snapshot_rows_per_second = {ROWS_PER_SECOND}\n[kafka]"),
    );
    let snapshot = || {
        let status = Tidewater::run(&["status", "--json"], &unlimited);
        let status: Value = serde_json::from_str(&status.output).unwrap();
        status["topics"]["snapshot"].clone()
    };
    let replicator = Tidewater::start(&["replicate"], &limited);
    // A look that found rows is one that is judged: the next may come after the end.
    let look_past = async |rows: u64| {
        let (mut now, mut asked) = (Value::Null, Instant::now());
        until("progress", async || {
            asked = Instant::now();
            now = snapshot();
            let ended = replicator.log().contains("streaming resume");
            assert!(!ended, "more than {rows} rows were never seen");
            now["rows"].as_u64().is_some_and(|read| read > rows)
        })
        .await;
        (now, asked)
    };
    let (first, asked) = look_past(0).await;
    let (last, _) = look_past(ROWS / 2).await;
    let elapsed = asked.elapsed();
    replicator.kill();
    for now in [&first, &last] {
        let told = (&now["tables"], &now["rows_estimate"]);
        assert_eq!(told, (&1.into(), &ROWS.into()));
    }
    let rows = last["rows"].as_u64().unwrap() - first["rows"].as_u64().unwrap();
    // What each of the two workers has read and not yet published counts for neither look.
    let least = Duration::from_secs_f64((rows - 2 * CHUNK_ROWS) as f64 / ROWS_PER_SECOND as f64);
    assert!(elapsed >= least, "{rows} rows in {elapsed:?}");

    let replicator = Tidewater::start(&["replicate"], &unlimited);
    replicator.streaming().await;
    assert_eq!(snapshot(), Value::Null);
    scene.drain(replicator).await;
    Content::of(&scene.records("t"))
        .assert_is(&scene, "t")
        .await;
}
