//! A snapshot of millions of rows, killed ten times under load: `make soak`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::kafka::{SnapshotProgress, read_recorded_now, topics};
use tidewater::step::Role;

use super::Scene;
use crate::model::{random, scan_topic};
use crate::support::load::Load;
use crate::support::{self, Tidewater, caught_up_within, until_within};

const KILLS: usize = 10;
const PATIENCE: Duration = Duration::from_mins(30);
/// Rows of the table, for the writers.
static ROWS: AtomicI64 = AtomicI64::new(0);

fn statement(rng: &mut ChaCha8Rng) -> String {
    let rows = ROWS.load(Ordering::Relaxed);
    let (id, to) = (
        rng.random_range(0..rows * 10),
        rng.random_range(0..rows * 10),
    );
    match rng.random_range(0..10) {
        0..3 => format!(
            "insert into big values ({id}, 'new', 1) on conflict (id) do update set version = big.version + 1"
        ),
        3..6 => format!("update big set version = version + 1 where id = {id} / 10 * 10"),
        6..8 => format!("delete from big where id = {id} / 10 * 10"),
        _ => format!(
            "update big set id = {to} where id = {id} / 10 * 10 and not exists (select from big where id = {to})"
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make soak"]
async fn a_large_snapshot_killed_ten_times_holds_every_row_once() {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let rows = std::env::var("TIDEWATER_TEST_SNAPSHOT_ROWS");
    let rows: i64 = rows.map_or(2_000_000, |rows| rows.parse().unwrap());
    ROWS.store(rows, Ordering::Relaxed);
    let table = format!(
        "create table big (id bigint primary key, note text, version bigint);
         insert into big select n * 10, repeat(md5(n::text), 4), 0 from generate_series(1, {rows}) as n;
         vacuum analyze big"
    );
    let scene = Scene::new("soak", "").await;
    for statement in table.split(';') {
        scene.sql(statement).await;
    }
    let config = scene.config("initial", "");
    let load = Load::of(
        statement,
        &scene.url.parse().unwrap(),
        3,
        Duration::from_millis(5),
    );
    let mut rng = ChaCha8Rng::seed_from_u64(random::seed());
    let began = Instant::now();
    let mut read = Vec::new();
    for _ in 0..KILLS {
        let attempt = Tidewater::start(&["replicate"], &config);
        until_within(PATIENCE, "the first chunks", async || {
            let step = attempt.step(Role::Replicate);
            step == "snapshot.chunk" || step.starts_with("stream")
        })
        .await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..1_000))).await;
        attempt.kill();
        let topic = topics::position(&scene.name, &scene.name);
        let recorded = read_recorded_now(&scene.kafka(), &topic).unwrap();
        let snapshot = recorded.position.map(|position| position.snapshot);
        assert_eq!(
            snapshot,
            Some(SnapshotProgress::Reading),
            "too few rows for {KILLS} kills"
        );
        let ranges = recorded.progress.ranges.values().flatten();
        read.push((
            ranges.clone().count(),
            ranges.map(|range| range.rows).sum::<u64>(),
        ));
    }
    println!("ranges and rows that were recorded at each kill: {read:?}");
    assert!(read.is_sorted_by_key(|(_, rows)| *rows), "{read:?}");
    let last = Tidewater::start(&["replicate"], &config);
    until_within(PATIENCE, "streaming", async || {
        last.log().contains("streaming resume")
    })
    .await;
    println!("{rows} rows read after {:?}", began.elapsed());
    println!("under {} changes", load.stop().await);
    caught_up_within(PATIENCE, &scene.database, &scene.name).await;
    println!(
        "resident memory {} MiB at most",
        last.resident_bytes_max() >> 20
    );
    assert_eq!(last.terminate().code(), Some(0));
    assert_same(&scene).await;
}

#[derive(serde::Deserialize)]
struct Event<'a> {
    op: &'a str,
    after: Option<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    version: i64,
}

#[derive(serde::Deserialize)]
struct Key {
    id: i64,
}

/// Panics unless every event fits on those before it, and what they amount to is the table.
async fn assert_same(scene: &Scene) {
    let mut found: HashMap<i64, i64> = HashMap::new();
    let mut reads = 0_u64;
    scan_topic(&support::kafka_brokers(), &scene.topic("big"), |record| {
        let Some(value) = &record.value else { return };
        let event: Event<'_> = serde_json::from_slice(value).unwrap();
        let key: Key = serde_json::from_slice(record.key.as_ref().unwrap()).unwrap();
        let known = match event.after {
            Some(after) => found.insert(key.id, after.version),
            None => found.remove(&key.id),
        };
        reads += u64::from(event.op == "r");
        let appears = matches!(event.op, "r" | "c");
        assert_eq!(known.is_some(), !appears, "{} of {}", event.op, key.id);
    });
    let sql = "select id, version from big";
    let none: [&str; 0] = [];
    let rows = scene.database.query_raw(sql, none).await.unwrap();
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await.unwrap() {
        let (id, version): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(found.remove(&id), Some(version), "row {id}");
    }
    assert!(
        found.is_empty(),
        "{} rows are in the topic alone",
        found.len()
    );
    println!("{reads} reads, each row once");
}
