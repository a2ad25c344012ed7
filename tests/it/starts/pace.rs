//! A snapshot's limit, and what is told of its progress.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Scene;
use super::content::Content;
use crate::support::{Tidewater, until};

const ROWS: u64 = 12_000;
const ROWS_PER_SECOND: u64 = 4_000;

#[tokio::test]
async fn a_snapshot_keeps_to_its_limit_and_tells_how_far_it_is() {
    // Two chunks, each a transaction.
    let table = format!(
        "create table t (id bigint primary key, note text);
         insert into t select id, repeat(md5(id::text), 10) from generate_series(1, {ROWS}) as id;
         analyze t"
    );
    let scene = Scene::new("pace", &table).await;
    let config = scene.config("initial", "").replace(
        "[kafka]",
        &format!("snapshot_rows_per_second = {ROWS_PER_SECOND}\n[kafka]"),
    );
    let began = Instant::now();
    let replicator = Tidewater::start(&["replicate"], &config);
    let snapshot = || {
        let status = Tidewater::run(&["status", "--json"], &config);
        let status: Value = serde_json::from_str(&status.output).unwrap();
        status["topics"]["snapshot"].clone()
    };
    // The look that found it is the one that is judged: the next may come after the end.
    let mut now = Value::Null;
    until("a chunk", async || {
        now = snapshot();
        assert!(
            !replicator.log().contains("streaming resume"),
            "it was never seen"
        );
        now["rows"].as_u64().is_some_and(|rows| rows > 0)
    })
    .await;
    assert_eq!(
        (&now["tables"], &now["rows_estimate"]),
        (&1.into(), &ROWS.into())
    );
    replicator.streaming().await;
    // Less what the first look at the clock has let through.
    let least = Duration::from_secs(ROWS / ROWS_PER_SECOND - 1);
    assert!(began.elapsed() > least, "{:?}", began.elapsed());
    assert_eq!(snapshot(), Value::Null);
    scene.drain(replicator).await;
    Content::of(&scene.records("t"))
        .assert_is(&scene, "t")
        .await;
}
