//! A replicator that stores rows and dies, at any moment and at each step between store and Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Twins;
use super::histories::{ALL, TABLES, statement};
use crate::model::random;
use crate::support::until;

/// Steps and at which arrival it dies there, one attempt after the other.
const STEPS: [(&str, u64); 18] = [
    ("snapshot.slot-created", 1),
    ("snapshot.begun", 1),
    ("snapshot.rows-written", 1),
    ("publish.before-commit", 2),
    ("snapshot.chunk", 1),
    ("snapshot.ended", 1),
    ("start.streaming", 1),
    ("rows.before-write", 1),
    ("rows.written", 1),
    ("rows.covered", 1),
    ("rows.before-write", 2),
    ("rows.written", 2),
    ("rows.covered", 2),
    ("publish.before-commit", 4),
    ("publish.committed", 1),
    ("publish.committed", 9),
    ("stream.before-confirm", 3),
    ("rows.written", 3),
];
/// Kills at random moments.
const KILLS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_whole_whenever_the_replicator_dies() {
    let twins = Arc::new(Twins::new("stored_kills", TABLES, "").await);
    let mut rng = ChaCha8Rng::seed_from_u64(random::seed());
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    {
        let (twins, stop) = (Arc::clone(&twins), Arc::clone(&stop));
        let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
        writers.spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                // Tables stay as they are: who reads their alterations late may rightly not know a value.
                let count = rng.random_range(1..4);
                let statements: Vec<String> = (0..count).map(|_| statement(&mut rng)).collect();
                twins.run(&statements.join(";\n")).await;
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            number
        });
    }
    for (step, arrival) in STEPS {
        twins
            .start_until(step, arrival)
            .wait(Duration::from_mins(1))
            .died_at(step, arrival);
    }
    for _ in 0..KILLS {
        let mut replicator = twins.start();
        until("streaming", async || {
            assert!(replicator.is_running(), "{}", replicator.log());
            replicator.log().contains("streaming resume")
        })
        .await;
        // The random moment itself.
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..2500))).await;
        replicator.kill();
    }
    stop.store(true, Ordering::Relaxed);
    println!("{:?} transactions", writers.join_all().await);
    twins.catch_up().await;
    for table in ALL {
        assert!(twins.assert_same(table) > 500);
    }
}

/// Larger than a batch, so that it is published in part.
const ROWS: usize = 40_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_whole_behind_a_transaction_that_was_published_in_part() {
    let tables = "create table wide{t} (id bigint primary key, n integer, big text)";
    let twins = Twins::new("stored_split", tables, "").await;
    let fill = format!(
        "insert into wide{{t}} select n, 0, case when n % 500 = 0 then
             (select string_agg(md5((n * m)::text), '') from generate_series(1, 100) m) end
           from generate_series(1, {ROWS}) n"
    );
    twins.run(&fill).await;
    twins.catch_up().await;
    // Each row twice in one transaction, and once more in the next.
    let update = "update wide{t} set n = n + 1; update wide{t} set n = n + 10 where id % 2 = 0;
                  delete from wide{t} where id % 7 = 0";
    twins.run(update).await;
    twins
        .run("update wide{t} set n = n + 100 where id % 3 = 0")
        .await;
    for arrival in [3, 5, 8] {
        let step = "publish.committed";
        twins
            .start_until(step, arrival)
            .wait(Duration::from_mins(2))
            .died_at(step, arrival);
    }
    twins
        .start_until("rows.written", 1)
        .wait(Duration::from_mins(2))
        .died_at("rows.written", 1);
    twins.catch_up().await;
    assert!(twins.assert_same("wide") > ROWS * 3);
}
