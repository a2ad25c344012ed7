//! A snapshot that is killed again and again while writers change what it reads: what is finished stays,
//! the rest is read later, and every row and change is there once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::event::KeyRange;
use tidewater::kafka::{SnapshotProgress, read_recorded_now, topics};
use tidewater::step::Role;

use super::Scene;
use super::content::{Content, assert_ended};
use crate::model::{Beginning, Journal, assert_every_change_once, journal_sql, random};
use crate::support::load::Load;
use crate::support::{Tidewater, until};

/// Rows of the large table; their numbers are ten apart.
const ROWS: i64 = 200_000;
/// Rows of each small one.
const FEW: i64 = 5_000;
/// Kills before the snapshot may end.
const KILLS: usize = 5;
/// Those that are killed read no faster, so that on a quick machine too there is something left.
const ROWS_PER_SECOND: i64 = 60_000;

/// Tables with keys whose order the client knows, and one whose order only the server does.
const KEYED: [(&str, &[&str]); 4] = [
    ("big", &["id"]),
    ("words", &["word"]),
    ("days", &["day", "n"]),
    ("scores", &["score"]),
];

/// Tables filled before their journals are, each row as of version 1, 2, …
async fn fill(scene: &Scene) {
    let tables = format!(
        "create table big (id bigint primary key, note text);
         create table words (word text collate \"C\" primary key, note text);
         create table days (day date, n integer, note text, primary key (n, day));
         create table scores (score numeric primary key, note text);
         create table keyless (id bigint, note text);
         alter table keyless replica identity full;
         insert into keyless select n, 'k' from generate_series(1, {FEW}) as n;"
    );
    scene.sql(&tables).await;
    for (table, key) in KEYED {
        scene.sql(&journal_sql(table, key)).await;
        let (rows, values) = match table {
            "big" => (ROWS, "n * 10, repeat(md5(n::text), 6)"),
            "words" => (FEW, "chr(65 + n % 60) || md5(n::text), 'w'"),
            "days" => (FEW, "date '2000-01-01' + n * 7919 % 40000, n % 7, 'd'"),
            _ => (FEW, "n / 7.0, 's'"),
        };
        let mut key = key.to_vec();
        key.sort_unstable();
        let key = key.join(", ");
        // As the triggers would, and faster.
        scene
            .sql(&format!(
                "alter table {table} disable trigger user;
                 insert into {table} select {values}, nextval('tests.version')
                   from generate_series(1, {rows}) as n on conflict do nothing;
                 insert into tests.journal (source_table, key, version, op)
                   select '{table}', concat_ws(',', {key}), version, 'v' from {table};
                 alter table {table} enable trigger user;
                 analyze {table}"
            ))
            .await;
    }
}

fn statement(rng: &mut ChaCha8Rng) -> String {
    let id = rng.random_range(0..ROWS * 10);
    let few = rng.random_range(1..=FEW);
    match rng.random_range(0..100) {
        0..20 => format!(
            "insert into big values ({id}, 'new') on conflict (id) do update set note = 'again'"
        ),
        20..35 => format!("update big set note = 'changed' where id = {id} / 10 * 10"),
        35..45 => format!("delete from big where id = {id} / 10 * 10"),
        // To a key far away, in a range that may have been read at another point.
        45..65 => {
            let to = rng.random_range(0..ROWS * 10);
            format!(
                "update big set id = {to} where id = {id} / 10 * 10 and not exists (select from big where id = {to})"
            )
        }
        65..72 => format!(
            "update words set word = reverse(word) where word = chr(65 + {few} % 60) || md5('{few}') and not exists (select from words as other where other.word = reverse(words.word))"
        ),
        72..76 => format!("delete from words where word = chr(65 + {few} % 60) || md5('{few}')"),
        76..82 => format!(
            "update days set n = n + 1 where day = date '2000-01-01' + {few} * 7919 % 40000 and not exists (select from days as other where other.day = days.day and other.n = days.n + 1)"
        ),
        82..88 => format!(
            "update scores set score = -score where score = {few} / 7.0 and not exists (select from scores where score = -({few} / 7.0))"
        ),
        88..92 => format!("delete from scores where score = {few} / 7.0"),
        92..96 => format!("insert into keyless values ({id}, 'new')"),
        96..98 => format!("delete from keyless where id = {few}"),
        _ => format!("update keyless set note = 'changed' where id = {few}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_killed_again_and_again_goes_on_where_it_was() {
    let scene = Scene::new("resumed", "").await;
    fill(&scene).await;
    let name = &scene.name;
    scene
        .sql(&format!(
            "alter database {name} set log_min_duration_statement = 0"
        ))
        .await;
    let config = scene
        .config("initial", "")
        .replace("[kafka]", "tables = [\"public.*\"]\n[kafka]");
    let limit = format!("snapshot_rows_per_second = {ROWS_PER_SECOND}\n[kafka]");
    let slow = config.replace("[kafka]", &limit);
    let source = scene.url.parse().unwrap();
    let load = Load::of(statement, &source, 2, Duration::from_millis(10));
    until("some changes", async || load.changes() > 100).await;
    let mut rng = ChaCha8Rng::seed_from_u64(random::seed());
    let mut looks = Vec::new();
    let mut kills = BTreeMap::new();
    while kills.values().sum::<usize>() < KILLS {
        let attempt = Tidewater::start(&["replicate"], &slow);
        until("the first chunks", async || {
            let step = attempt.step(Role::Replicate);
            step == "snapshot.chunk" || step.starts_with("stream")
        })
        .await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
        let step = attempt.kill_at_step(Role::Replicate);
        let (unfinished, finished) = finished(&scene, "big").await;
        assert!(
            unfinished,
            "the snapshot ended before it was killed {KILLS} times: {kills:?}"
        );
        looks.push((statements("big").await.len(), finished));
        *kills.entry(step).or_default() += 1;
    }
    println!("killed at {kills:?}");
    let replicator = scene.stream(&config).await;
    println!("under {} changes", load.stop().await);
    scene.drain(replicator).await;

    for (table, _) in KEYED {
        let records = scene.records(table);
        let content = Content::of(&records);
        if table != "scores" {
            // A numeric is a string in the topic and a number in the table's JSON; the journal has its text.
            content.assert_is(&scene, table).await;
        }
        let journal = Journal::read(&scene.database, table).await;
        assert_every_change_once(&records, &journal, Beginning::Snapshot);
        assert_ended(&records, scene.partitions, 1);
        let voided = table == "scores";
        assert!(voided || content.count("t") == 0, "{table} was voided");
    }
    let keyless = scene.records("keyless");
    Content::of(&keyless).assert_is(&scene, "keyless").await;
    assert_not_read_again(&looks, &statements("big").await);
    assert_forgotten(&scene);
}

/// Whether the snapshot is unfinished, and the keys of a table that are recorded as read.
async fn finished(scene: &Scene, table: &str) -> (bool, Vec<KeyRange>) {
    let topic = topics::position(&scene.name, &scene.name);
    let recorded = read_recorded_now(&scene.kafka(), &topic).unwrap();
    let unfinished = recorded
        .position
        .is_none_or(|position| position.snapshot == SnapshotProgress::Reading);
    let oid: u32 = scene
        .database
        .query_one("select $1::text::regclass::oid", &[&table])
        .await
        .unwrap()
        .get(0);
    let ranges = recorded.progress.ranges_of(oid).iter();
    (
        unfinished,
        ranges.map(|progress| progress.range.clone()).collect(),
    )
}

/// The ranges of a table that were read to their end, in the order of the server's log.
async fn statements(table: &str) -> Vec<(i64, i64)> {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let directory = PathBuf::from(std::env::var("TIDEWATER_TEST_DIRECTORY").unwrap());
    let log = tokio::fs::read_to_string(directory.join("postgres/log"));
    let log = log.await.unwrap();
    let reads = log.lines().filter(|line| {
        line.contains("duration: ")
            && line.contains(&format!("from only \"public\".\"{table}\""))
            && line.contains("select \"id\", \"note\"")
    });
    let bound = |line: &str, operator: &str| {
        let (_, rest) = line.split_once(&format!("{operator} row('"))?;
        rest.split_once('\'')?.0.parse().ok()
    };
    reads
        .map(|line| {
            let from = bound(line, ">=").unwrap_or(i64::MIN);
            (from, bound(line, "<").unwrap_or(i64::MAX))
        })
        .collect()
}

/// Panics if a range was read after it was recorded as finished.
fn assert_not_read_again(looks: &[(usize, Vec<KeyRange>)], statements: &[(i64, i64)]) {
    let mut compared = 0;
    for (read_by_then, finished) in looks {
        for range in finished {
            let bound =
                |bound: &Option<Vec<String>>| bound.as_ref().map(|key| key[0].parse().unwrap());
            let from: i64 = bound(&range.from).unwrap_or(i64::MIN);
            let until: i64 = bound(&range.until).unwrap_or(i64::MAX);
            for (first, last) in &statements[*read_by_then..] {
                compared += 1;
                assert!(
                    *last <= from || until <= *first,
                    "{from}..{until} was finished, and {first}..{last} read after that"
                );
            }
        }
    }
    assert!(compared > 0, "nothing was finished before a kill");
    println!(
        "{} reads, {compared} comparisons with what was finished",
        statements.len()
    );
}

/// Panics unless the progress is gone from the position topic, now that the stream has passed it.
fn assert_forgotten(scene: &Scene) {
    let topic = topics::position(&scene.name, &scene.name);
    let recorded = read_recorded_now(&scene.kafka(), &topic).unwrap();
    assert_eq!(recorded.position.unwrap().fences, None);
    assert!(
        recorded.progress.forget().is_empty(),
        "{:?}",
        recorded.progress
    );
}
