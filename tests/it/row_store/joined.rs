//! Rows that are read beside the stream: of tables that join the publication, come back to it, or are read on request.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidewater::event::Lsn;
use tidewater::exit::ExitCode;

use super::{Twins, on};
use crate::adhoc::joined::{finished, publication};
use crate::adhoc::{finished as request_finished, start};
use crate::starts::Scene;
use crate::support::load::Load;
use crate::support::{Tidewater, until};

const ROWS: u64 = 3_000;
/// With values out of line.
const LATE: &str = "
    create table late{t} (id bigint primary key, n integer, big text);
    insert into late{t} select n, n, case when n % 10 = 0 then
        (select string_agg(md5((n * m)::text), '') from generate_series(1, 100) m) end
      from generate_series(1, 3000) n";
/// While nobody is told of it.
const MISSED: &str = "update late{t} set n = n + 5000, big = 'missed' where id % 3 = 0;
                      delete from late{t} where id % 7 = 0;
                      insert into late{t} select n, 7, 'missed' from generate_series(30001, 30050) n";
const CHANGES: &str = "update late{t} set n = n + 1 where id % 2 = 0;
                       update late{t} set big = repeat('x', id::integer % 5) where id % 11 = 0;
                       update late{t} set id = -id where id % 13 = 0;
                       delete from late{t} where id % 17 = 0";

/// Twins of which the first table is published, by name.
pub(super) async fn twins(name: &str) -> Twins {
    let scene = Scene::new(name, "create table t (id bigint primary key)").await;
    let publish = format!("create publication {} for table t", scene.name);
    scene.sql(&publish).await;
    Twins {
        scene,
        directory: TempDir::new().unwrap(),
        more: String::new(),
    }
}

/// Makes tables that nobody publishes yet.
pub(super) async fn create(twins: &Twins) {
    twins.run(LATE).await;
    twins
        .scene
        .sql("alter table late_full replica identity full; analyze")
        .await;
}

pub(super) fn config(twins: &Twins) -> String {
    let more = "publication_interval = \"100ms\"\nsnapshot_rows_per_second = 2000\n[kafka]";
    twins.config().replace("[kafka]", more)
}

pub(super) const ADD: &str = "add table late, late_full";
const LOCK: &str = "select pg_advisory_xact_lock(7)";
const DROP: &str = "drop table late, late_full";

/// Both twins join between two transactions of the load, each of which writes to both.
pub(super) async fn join(twins: &Twins) {
    let add = format!("alter publication {} {ADD}", twins.scene.name);
    let sql = format!("begin; {LOCK}; {add}; commit");
    twins.scene.sql(&sql).await;
}

/// Out of the publication and in again, and in between that.
async fn out_and_in(twins: &Twins, between: &str) {
    let alter = |change: &str| format!("alter publication {} {change};", twins.scene.name);
    let both = [on(between, ""), on(between, "_full")].join(";\n");
    // A transaction of the load writes to both twins before it, or behind it.
    let sql = format!(
        "begin; {LOCK}; {} {both}; {} commit",
        alter(DROP),
        alter(ADD)
    );
    twins.scene.sql(&sql).await;
}

/// The end of the source's log.
pub(super) async fn now(twins: &Twins) -> Lsn {
    let sql = "select pg_current_wal_insert_lsn()::text";
    let row = twins.scene.database.query_one(sql, &[]).await.unwrap();
    row.get::<_, &str>(0).parse().unwrap()
}

/// Updates and deletes of a table by key, in their order, each with the place of its commit.
pub(super) fn changes(twins: &Twins, table: &str) -> BTreeMap<String, Vec<(Lsn, Value)>> {
    let mut changes: BTreeMap<String, Vec<(Lsn, Value)>> = BTreeMap::new();
    for record in twins.scene.records(table) {
        let (Some(key), Some(value)) = (record.key, record.value) else {
            continue;
        };
        let event: Value = serde_json::from_slice(&value).unwrap();
        if event["op"] == "u" || event["op"] == "d" {
            let position = event["source"]["position"].as_str().unwrap();
            let commit = position.split(':').nth(1).unwrap().parse().unwrap();
            let of_key = changes.entry(String::from_utf8(key).unwrap()).or_default();
            of_key.push((commit, event));
        }
    }
    changes
}

/// Whether all that `part` has is in `whole`.
fn is_part(part: &Value, whole: &Value) -> bool {
    let Some(columns) = part.as_object() else {
        return part.is_null();
    };
    columns.iter().all(|(name, value)| whole[name] == *value)
}

/// Whatever changes show of a row is true, and from there on they show all of it. How many there are, and how many of
/// them do not show all.
pub(super) fn assert_true(twins: &Twins, whole_from: Lsn) -> (usize, usize) {
    let (stored, full) = (changes(twins, "late"), changes(twins, "late_full"));
    let (mut count, mut partly) = (0, 0);
    assert!(stored.keys().eq(full.keys()), "other keys");
    for ((key, stored), full) in stored.iter().zip(full.values()) {
        assert_eq!(stored.len(), full.len(), "{key}");
        for ((commit, stored), (_, full)) in stored.iter().zip(full) {
            count += 1;
            for side in ["before", "after"] {
                let (stored, full) = (&stored[side], &full[side]);
                if stored != full {
                    partly += 1;
                    assert!(
                        is_part(stored, full),
                        "{side} of {key} at {commit}: {stored}, but {full}"
                    );
                    assert!(
                        *commit < whole_from,
                        "{side} of {key} at {commit} is {stored}"
                    );
                }
            }
        }
    }
    println!("{count} changes, {partly} of them not whole");
    (count, partly)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_joins_has_whole_old_rows_from_its_first_update() {
    let twins = twins("stored_joined").await;
    let config = config(&twins);
    let replicator = twins.scene.stream(&config).await;
    create(&twins).await;
    publication(&twins.scene, ADD).await;
    finished(&config, 1).await;
    twins.run(CHANGES).await;
    twins.scene.drain(replicator).await;
    let (count, partly) = assert_true(&twins, Lsn::ZERO);
    assert!(count > 1_000 && partly == 0);
    // They are in the file.
    twins.run("update late{t} set n = n + 1").await;
    let replicator = twins.scene.stream(&config).await;
    twins.scene.drain(replicator).await;
    assert!(assert_true(&twins, Lsn::ZERO).0 > 3_000);
}

/// A change of a row with a value out of line, which it does not send.
fn same(rng: &mut rand_chacha::ChaCha8Rng) -> String {
    use rand::Rng;
    let id = 10 * rng.random_range(1..=ROWS / 10);
    locked(&format!("update late{{t}} set n = n + 1 where id = {id}"))
}

/// Another key for such a row: a new one, or that of a row with another value.
fn moved(rng: &mut rand_chacha::ChaCha8Rng) -> String {
    use rand::Rng;
    let mut id = || 10 * rng.random_range(1..=ROWS / 10);
    let (id, other) = (id(), id());
    if rng.random_bool(0.5) || id == other {
        return locked(&format!(
            "update late{{t}} set id = id + 10000 where id = {id}"
        ));
    }
    locked(&format!(
        "delete from late{{t}} where id = {other} and exists (select from late{{t}} where id = {id});
         update late{{t}} set id = {other} where id = {id}
            and not exists (select from late{{t}} where id = {other})"
    ))
}

/// What is not sent of a row that changes while nothing of it is known yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_change_or_move_while_they_are_read_are_whole_behind_that() {
    type Change = fn(&mut rand_chacha::ChaCha8Rng) -> String;
    for (name, change) in [("stored_same", same as Change), ("stored_moved", moved)] {
        let twins = twins(name).await;
        let config = config(&twins);
        let replicator = twins.scene.stream(&config).await;
        create(&twins).await;
        let source = crate::adhoc::source(&twins.scene);
        let load = Load::of(change, &source, 3, Duration::from_millis(1));
        join(&twins).await;
        finished(&config, 1).await;
        println!("under {} changes", load.stop().await);
        let whole_from = now(&twins).await;
        twins.run("update late{t} set n = n + 1").await;
        twins.scene.drain(replicator).await;
        assert!(assert_true(&twins, whole_from).0 > 3_000);
    }
}

fn statement(rng: &mut rand_chacha::ChaCha8Rng) -> String {
    use rand::Rng;
    let id = rng.random_range(1..=ROWS + 200);
    let sql = match rng.random_range(0..10) {
        0..2 => format!(
            "insert into late{{t}} values ({id}, 0, 'new') on conflict (id) do update set n = 1"
        ),
        2..7 => format!("update late{{t}} set n = n + 1 where id = {id}"),
        7 => format!("update late{{t}} set big = repeat('y', {id}) where id = {id}"),
        8 => format!("delete from late{{t}} where id = {id}"),
        _ => format!(
            "update late{{t}} set id = {id} + 10000 where id = {id} and not exists (select from late{{t}} where id = {id} + 10000)"
        ),
    };
    locked(&sql)
}

/// The same statement sees the same rows of both twins, whoever else writes.
fn locked(sql: &str) -> String {
    format!(
        "begin; {LOCK}; {}; {}; commit",
        on(sql, ""),
        on(sql, "_full")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_are_true_under_load_of_a_table_that_joins_and_comes_back() {
    let twins = twins("stored_load").await;
    let config = config(&twins);
    let mut replicator = twins.scene.stream(&config).await;
    create(&twins).await;
    let source = crate::adhoc::source(&twins.scene);
    let load = Load::of(statement, &source, 2, Duration::from_millis(20));
    join(&twins).await;
    finished(&config, 1).await;
    // Nobody sees that it was away.
    out_and_in(&twins, MISSED).await;
    finished(&config, 2).await;
    // And now nobody runs.
    twins.scene.drain(replicator).await;
    out_and_in(&twins, "update late{t} set n = -n").await;
    replicator = twins.scene.stream(&config).await;
    finished(&config, 3).await;
    let whole_from = now(&twins).await;
    // A row that the load inserts between the twins would be changed in one of them.
    let change = locked("update late{t} set n = n + 1 where id % 2 = 0");
    twins.scene.sql(&change).await;
    println!("under {} changes", load.stop().await);
    twins.run("update late{t} set n = n + 1").await;
    twins.scene.drain(replicator).await;
    assert!(assert_true(&twins, whole_from).0 > 3_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_table_that_came_back_unread_are_unknown() {
    let mut twins = twins("stored_unread").await;
    create(&twins).await;
    publication(&twins.scene, ADD).await;
    let unread =
        |twins: &Twins| config(twins).replace("[kafka]", "added_tables = \"stream\"\n[kafka]");
    let replicator = twins.scene.stream(&unread(&twins)).await;
    twins
        .run("update late{t} set n = n + 1 where id < 10")
        .await;
    out_and_in(&twins, MISSED).await;
    twins.run("update late{t} set n = n + 1 where id = 3").await;
    let ended = replicator
        .wait(Duration::from_mins(1))
        .expect(ExitCode::HistoryLost);
    assert!(format!("{}{}", ended.output, ended.log).contains("that the row store does not know"));
    twins.more = "missing = \"as-sent\"\n".to_owned();
    let replicator = twins.scene.stream(&unread(&twins)).await;
    twins.run("update late{t} set n = n + 1 where id < 6").await;
    // Nobody runs: what was stored before the table leaves is not what it is behind that.
    twins.scene.drain(replicator).await;
    let known = now(&twins).await;
    twins.run("update late{t} set n = n + 1 where id = 3").await;
    out_and_in(&twins, "update late{t} set n = n * 2").await;
    twins.run("update late{t} set n = n + 1 where id < 6").await;
    twins.run("update late{t} set n = n + 1 where id < 6").await;
    let replicator = twins.scene.stream(&unread(&twins)).await;
    twins.scene.drain(replicator).await;
    let (count, partly) = assert_true(&twins, Lsn(u64::MAX));
    assert!(partly > 5, "{partly} of {count}");
    // Once written again a row is known.
    let last = changes(&twins, "late")
        .into_values()
        .filter_map(|mut of_key| of_key.pop());
    let last: Vec<(Lsn, Value)> = last.filter(|(commit, _)| *commit > known).collect();
    assert_eq!(last.len(), 5);
    for (_, event) in last {
        assert!(event["before"]["n"].is_number(), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_on_request_makes_rows_known() {
    let mut twins = twins("stored_request").await;
    create(&twins).await;
    publication(&twins.scene, ADD).await;
    let without = config(&twins)
        .split("[row_store]")
        .next()
        .unwrap()
        .to_owned();
    let replicator = twins.scene.stream(&without).await;
    twins.scene.drain(replicator).await;
    // An empty store.
    twins.more = "missing = \"as-sent\"\n".to_owned();
    let replicator = twins.scene.stream(&config(&twins)).await;
    twins
        .run("update late{t} set n = n + 1 where id % 3 = 0")
        .await;
    let request = start(&["public.late"], &config(&twins));
    assert_eq!(
        request_finished(&request, &config(&twins)).await["tables_finished"],
        1
    );
    let whole_from = now(&twins).await;
    twins.run(CHANGES).await;
    twins.scene.drain(replicator).await;
    let (count, partly) = assert_true(&twins, whole_from);
    assert!(partly >= 1_000 && count > 2_000);
    // Also for those who want nothing less.
    twins.more = String::new();
    twins.run("update late{t} set n = n + 1").await;
    let replicator = twins.scene.stream(&config(&twins)).await;
    twins.scene.drain(replicator).await;
    assert_true(&twins, whole_from);
}

/// Steps, and at which arrival it dies.
const STEPS: [(&str, u64); 12] = [
    ("members.joined", 1),
    ("ad-hoc.ordered", 1),
    ("ad-hoc.appended", 1),
    ("ad-hoc.stored", 1),
    ("rows.before-write", 1),
    ("rows.written", 1),
    ("ad-hoc.stored", 2),
    ("rows.covered", 2),
    ("publish.before-commit", 3),
    ("ad-hoc.appended", 2),
    ("publish.committed", 4),
    ("rows.written", 4),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_are_true_wherever_a_reading_dies() {
    let twins = twins("stored_steps").await;
    create(&twins).await;
    publication(&twins.scene, ADD).await;
    // So slowly that each of the steps is reached.
    let config = config(&twins).replace("_second = 2000", "_second = 300");
    let replicator = twins.scene.stream(&config).await;
    twins.scene.drain(replicator).await;
    twins
        .run("update late{t} set n = n + 1 where id % 5 = 0")
        .await;
    out_and_in(&twins, MISSED).await;
    for (step, arrival) in STEPS {
        twins
            .run("update late{t} set n = n + 1 where id % 19 = 0")
            .await;
        let crash = format!("{config}[debug]\ncrash_at = \"{step}:{arrival}\"\n");
        let victim = Tidewater::start(&["replicate"], &crash);
        // What is stored has changed when it is read again.
        twins
            .run("update late{t} set n = n + 1, big = 'again' || n where id % 23 = 0")
            .await;
        victim.wait(Duration::from_mins(1)).died_at(step, arrival);
    }
    let replicator = twins.scene.stream(&config).await;
    finished(&config, 1).await;
    let whole_from = now(&twins).await;
    twins.run(CHANGES).await;
    twins.run("update late{t} set n = n + 1").await;
    twins.scene.drain(replicator).await;
    assert!(assert_true(&twins, whole_from).0 > 5_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_column_list_forgets_nothing() {
    if crate::support::server_version().await < 150_000 {
        return;
    }
    let twins = twins("stored_lists").await;
    create(&twins).await;
    let managed = format!(
        "alter publication {name} {ADD}; comment on publication {name} is 'managed by tidewater'",
        name = twins.scene.name
    );
    twins.scene.sql(&managed).await;
    twins
        .scene
        .sql("alter table late add secret text; alter table late_full add secret text")
        .await;
    let config = config(&twins).replace(
        "[kafka]",
        "column_lists = true\ncolumns = [\"!*.late.secret\"]\n[kafka]",
    );
    let replicator = twins.scene.stream(&config).await;
    twins.scene.drain(replicator).await;
    // So slowly that what is shown was stored before.
    let config = config.replace("_second = 2000", "_second = 5");
    let replicator = twins.scene.stream(&config).await;
    twins
        .run("update late{t} set n = n + 1 where id < 10")
        .await;
    twins
        .run("alter table late{t} add column more integer default 4")
        .await;
    until("another list", async || {
        replicator.log().contains("lists other columns of a table")
    })
    .await;
    twins
        .run("update late{t} set n = n + 1 where id < 20")
        .await;
    twins.scene.drain(replicator).await;
    let changes = changes(&twins, "late");
    let shown: Vec<&Value> = changes
        .values()
        .flatten()
        .map(|(_, event)| &event["before"])
        .collect();
    assert_eq!(shown.len(), 28);
    assert!(shown.iter().all(|before| before["n"].is_number()));
    assert_eq!(
        changes[&json!({"id": 15}).to_string()][0].1["before"]["n"],
        15
    );
}
