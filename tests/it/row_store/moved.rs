//! Rows that get another key while their table is read beside the stream: behind the reader, where no range that is to
//! come has them, and without the values that the change did not send.

use std::time::Duration;

use serde_json::{Value, json};
use tidewater::event::Lsn;
use tidewater::kafka::{RequestTable, read_recorded_now, topics};

use super::Twins;
use super::joined::{ADD, assert_true, config, create, join, now, twins};
use crate::adhoc::joined::{finished, publication};
use crate::adhoc::{finished as request_finished, snapshot, start};
use crate::support::{Tidewater, caught_up, until};

/// The last tenth of them has its values out of line.
const MOVED: &str = "update late{t} set id = -id where id > 2900";
/// The keys of those.
const KEYS: [i64; 10] = [
    -2910, -2920, -2930, -2940, -2950, -2960, -2970, -2980, -2990, -3000,
];

/// Reads so slowly that rows can move behind the reader.
fn slow(twins: &Twins) -> String {
    config(twins).replace("_second = 2000", "_second = 40")
}

/// The one request that is recorded, and what is recorded of its table.
fn recorded(twins: &Twins) -> Option<(String, RequestTable)> {
    let topic = topics::position(&twins.scene.name, &twins.scene.name);
    let recorded = read_recorded_now(&twins.scene.kafka(), &topic).unwrap();
    let (request, tables) = recorded.ad_hoc.tables.into_iter().next()?;
    let mut tables = tables.into_values();
    let table = tables.find(|table| table.table == "public.late")?;
    Some((request, table))
}

/// Pauses the reading of the table when it has begun, and moves its last rows behind the reader. Returns the request.
async fn move_behind(twins: &Twins, config: &str) -> String {
    let mut found = None;
    until("the table's first rows to be read", async || {
        found = recorded(twins).filter(|(_, table)| table.reached.is_some());
        found.is_some()
    })
    .await;
    let (request, _) = found.unwrap();
    snapshot(&["pause", &request], config);
    twins.run(MOVED).await;
    let (_, table) = recorded(twins).unwrap();
    assert!(table.rows < 2_900 && !table.passed, "{table:?}");
    request
}

/// Rows that were read with that key, as they were shown.
fn read(twins: &Twins, table: &str, id: i64) -> Vec<Value> {
    let key = json!({ "id": id }).to_string();
    let records = twins.scene.records(table).into_iter();
    let of_key = records.filter(|record| record.key.as_deref() == Some(key.as_bytes()));
    let events = of_key.filter_map(|record| record.value);
    let events = events.map(|event| serde_json::from_slice::<Value>(&event).unwrap());
    let read = events.filter(|event| event["op"] == "r");
    read.map(|event| event["after"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_move_behind_the_reader_are_read_by_their_keys() {
    let twins = twins("moved_joined").await;
    let replicator = twins.scene.stream(&slow(&twins)).await;
    create(&twins).await;
    join(&twins).await;
    let request = move_behind(&twins, &slow(&twins)).await;
    // Nobody is told of them yet.
    twins
        .run("update late{t} set n = n + 1 where id = -2910")
        .await;
    twins.run("delete from late{t} where id = -2920").await;
    twins.scene.drain(replicator).await;
    let config = config(&twins);
    let replicator = twins.scene.stream(&config).await;
    // And on to others, before anything is read again.
    twins
        .run("update late{t} set id = id - 1 where id < 0")
        .await;
    caught_up(&twins.scene.database, &twins.scene.name).await;
    snapshot(&["resume", &request], &config);
    finished(&config, 1).await;
    let whole_from = now(&twins).await;
    twins.run("update late{t} set n = n + 1").await;
    twins
        .run("update late{t} set id = id - 10000 where id < 0")
        .await;
    twins.scene.drain(replicator).await;
    let (count, partly) = assert_true(&twins, whole_from);
    assert!(count > 3_000 && partly >= 10, "{partly} of {count}");
    for id in KEYS {
        let read = read(&twins, "late", id - 1);
        assert_eq!(read.len(), usize::from(id != -2920), "{id}: {read:?}");
        assert!(read.iter().all(|row| row["big"].is_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_move_while_they_are_read_on_request_become_known_too() {
    let mut twins = twins("moved_request").await;
    create(&twins).await;
    publication(&twins.scene, ADD).await;
    let without = config(&twins);
    let without = without.split("[row_store]").next().unwrap();
    let replicator = twins.scene.stream(without).await;
    twins.scene.drain(replicator).await;
    // An empty store.
    twins.more = "missing = \"as-sent\"\n".to_owned();
    let replicator = twins.scene.stream(&slow(&twins)).await;
    let request = start(&["public.late"], &slow(&twins));
    assert_eq!(move_behind(&twins, &slow(&twins)).await, request);
    twins.scene.drain(replicator).await;
    let fast = config(&twins);
    let replicator = twins.scene.stream(&fast).await;
    snapshot(&["resume", &request], &fast);
    request_finished(&request, &fast).await;
    twins.scene.drain(replicator).await;
    let whole_from = now(&twins).await;
    // Also for those who want nothing less.
    twins.more = String::new();
    let replicator = twins.scene.stream(&config(&twins)).await;
    twins.run("update late{t} set n = n + 1").await;
    twins.scene.drain(replicator).await;
    assert!(assert_true(&twins, whole_from).0 > 3_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_cancelled_leaves_its_table_as_sent_until_the_next() {
    let twins = twins("moved_cancelled").await;
    let replicator = twins.scene.stream(&slow(&twins)).await;
    create(&twins).await;
    join(&twins).await;
    let request = move_behind(&twins, &slow(&twins)).await;
    snapshot(&["cancel", &request], &slow(&twins));
    twins
        .run("update late{t} set n = n + 1 where id < 0; update late{t} set id = id - 1 where id < 0")
        .await;
    twins.scene.drain(replicator).await;
    let (count, partly) = assert_true(&twins, Lsn(u64::MAX));
    assert!(partly >= 120, "{partly} of {count}");
    let fast = config(&twins);
    let replicator = twins.scene.stream(&fast).await;
    let request = start(&["public.late"], &fast);
    request_finished(&request, &fast).await;
    let whole_from = now(&twins).await;
    twins.run("update late{t} set n = n + 1").await;
    twins.scene.drain(replicator).await;
    assert!(assert_true(&twins, whole_from).0 > 3_000);
}

/// One after the other, each when some of the table has been read as the last one left it.
const ALTERATIONS: [&str; 3] = [
    "alter table late{t} add column more text default 'more'",
    "alter table late{t} drop column n, add column n integer",
    "alter table late{t} alter column big type varchar",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_altered_while_it_is_read_is_known_as_it_is_then() {
    let twins = twins("moved_altered").await;
    let replicator = twins.scene.stream(&slow(&twins)).await;
    create(&twins).await;
    join(&twins).await;
    let mut identity = String::new();
    for alteration in ALTERATIONS {
        until("some of the table to be read", async || {
            let found = recorded(&twins).filter(|(_, table)| table.reached.is_some());
            let Some((_, table)) = found.filter(|(_, table)| table.identity != identity) else {
                return false;
            };
            identity = table.identity;
            true
        })
        .await;
        twins
            .run("update late{t} set id = id - 10000 where id % 1000 = 0")
            .await;
        twins.run(alteration).await;
        twins
            .run("update late{t} set more = 'x' where id % 100 = 10")
            .await;
    }
    twins.scene.drain(replicator).await;
    let config = config(&twins);
    let replicator = twins.scene.stream(&config).await;
    finished(&config, 1).await;
    let whole_from = now(&twins).await;
    twins.run("update late{t} set n = 7").await;
    twins.scene.drain(replicator).await;
    assert!(assert_true(&twins, whole_from).0 > 3_000);
}

/// Steps of what reads rows by their keys, and at which arrival it dies.
const STEPS: [(&str, u64); 5] = [
    ("ad-hoc.ordered", 1),
    ("ad-hoc.stored", 1),
    ("rows.written", 1),
    ("ad-hoc.appended", 1),
    ("publish.before-commit", 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_moved_become_known_wherever_their_reading_dies() {
    let twins = twins("moved_steps").await;
    let replicator = twins.scene.stream(&slow(&twins)).await;
    create(&twins).await;
    join(&twins).await;
    let request = move_behind(&twins, &slow(&twins)).await;
    twins.scene.drain(replicator).await;
    // One key at a time, so that it is in their midst when it is told to die.
    let config = config(&twins);
    let few = slow(&twins).replace("_second = 40", "_second = 2");
    snapshot(&["resume", &request], &config);
    let die = |config: &str, (step, arrival)| {
        let crash = format!("{config}[debug]\ncrash_at = \"{step}:{arrival}\"\n");
        Tidewater::start(&["replicate"], &crash)
    };
    let passed = |step| {
        let (_, table) = recorded(&twins).unwrap();
        assert!(table.passed && !table.finished, "{step}: {table:?}");
    };
    // Two chunks of all keys, and one of those that moved.
    let (step, arrival) = ("ad-hoc.appended", 3);
    let victim = die(&config, (step, arrival));
    victim.wait(Duration::from_mins(1)).died_at(step, arrival);
    passed(step);
    for (step, arrival) in STEPS {
        // On to other keys, told of before they are read and while they are.
        let on = "update late{t} set id = id - 1 where id < 0";
        twins.run(on).await;
        let victim = die(&few, (step, arrival));
        twins.run(on).await;
        victim.wait(Duration::from_mins(1)).died_at(step, arrival);
        passed(step);
    }
    let replicator = twins.scene.stream(&config).await;
    finished(&config, 1).await;
    let whole_from = now(&twins).await;
    twins.run("update late{t} set n = n + 1").await;
    twins.scene.drain(replicator).await;
    assert!(assert_true(&twins, whole_from).0 > 3_000);
}
