//! A transaction of millions of rows: split, resumed inside, in bounded memory.

use std::time::Duration;

use super::Scene;
use crate::model::{position, scan_topic};
use crate::support::caught_up_within;

const RESIDENT_BYTES_MAX: u64 = 128 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_of_two_million_rows_is_published_once_in_bounded_memory() {
    publish_at_once("volume", 2_000_000, Duration::from_mins(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make volume"]
async fn a_transaction_of_any_size_is_published_once_in_bounded_memory() {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let rows = std::env::var("TIDEWATER_TEST_TRANSACTION_ROWS");
    let rows = rows.map_or(10_000_000, |rows| rows.parse().unwrap());
    publish_at_once("volumes", rows, Duration::from_mins(30)).await;
}

/// Every row in one transaction, in the middle of which the replicator dies once.
async fn publish_at_once(name: &str, rows: i64, patience: Duration) {
    let scene = Scene::shared(name).await;
    let table = "create table public.wide (id bigint primary key, note text)";
    scene.database.batch_execute(table).await.unwrap();
    let first = scene.replicate();
    first.streaming().await;
    assert_eq!(first.terminate().code(), Some(0));
    let insert =
        "insert into wide select id, 'row ' || id from generate_series(1, $1::bigint) as id";
    scene.database.execute(insert, &[&rows]).await.unwrap();

    // Dies inside of it, and goes on where it was.
    let (step, arrival) = ("publish.before-commit", 20);
    scene
        .replicate_until(step, arrival)
        .wait(patience)
        .died_at(step, arrival);
    let replicator = scene.replicate();
    caught_up_within(patience, &scene.database, &scene.prefix).await;
    let resident = replicator.resident_bytes_max();
    println!("resident memory {} MiB at most", resident >> 20);
    assert!(resident < RESIDENT_BYTES_MAX, "{} MiB", resident >> 20);
    assert_eq!(replicator.terminate().code(), Some(0));

    let mut seen = vec![false; usize::try_from(rows).unwrap() + 1];
    let mut last = std::collections::BTreeMap::new();
    scan_topic(
        &scene.brokers,
        &format!("{}.public.wide", scene.prefix),
        |record| {
            let Some(value) = &record.value else { return };
            let event: Event<'_> = serde_json::from_slice(value).unwrap();
            let Some(after) = event.after else { return };
            let at = position(event.source.position);
            let before = last.insert(record.partition, at);
            assert!(
                before.is_none_or(|before| before < at),
                "{before:?} before {at:?}"
            );
            let row = &mut seen[usize::try_from(after.id).unwrap()];
            assert!(
                !std::mem::replace(row, true),
                "row {} is there twice",
                after.id
            );
        },
    );
    let missing = seen.iter().skip(1).filter(|seen| !**seen).count();
    assert_eq!(missing, 0, "{missing} rows are missing");
}

#[derive(serde::Deserialize)]
struct Event<'a> {
    after: Option<Row>,
    #[serde(borrow)]
    source: Source<'a>,
}

#[derive(serde::Deserialize)]
struct Row {
    id: i64,
}

#[derive(serde::Deserialize)]
struct Source<'a> {
    position: &'a str,
}
