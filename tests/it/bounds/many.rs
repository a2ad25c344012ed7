//! Many tables that share a topic: what they cost at a start, in statements and in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::values;
use crate::model::{read_topic, scan_topic};
use crate::starts::Scene;
use crate::support::{Postgres, Tidewater, caught_up_within, kafka_brokers, until_within};

/// 128 MB and twice the largest record, whatever the tables.
const RESIDENT_BYTES_MAX: u64 = (128 << 20) + 2 * 1_000_000;
/// Statements of a start that do not depend on the tables, those of the lookers-on included.
const STATEMENTS: usize = 150;
/// Tables that are created in one transaction.
const TOGETHER: usize = 500;
const PATIENCE: Duration = Duration::from_mins(10);

/// What a run of the source's tables through one topic came to.
struct Many {
    server: Postgres,
    scene: Scene,
    tables: usize,
    config: String,
    /// Statements in the server's log so far.
    counted: usize,
}

impl Many {
    async fn new(tables: usize) -> Many {
        // Four connections lock every table.
        let locks = format!("max_locks_per_transaction={}", (tables / 20).max(64));
        let server = Postgres::start(&[
            "wal_level=logical",
            "log_statement=all",
            "log_line_prefix=%a|",
            &locks,
        ]);
        let scene = Scene::at(&server, "many", "set application_name = 'test'").await;
        for first in (0..tables).step_by(TOGETHER) {
            let last = tables.min(first + TOGETHER) - 1;
            // Tables of no row, one and two.
            scene
                .sql(&format!(
                    "do $$ begin for n in {first}..{last} loop
                         execute format('create table table_%s (id bigint primary key, note text)', n);
                         execute format('insert into table_%s select g, ''read'' from generate_series(1, %s) g',
                                        n, n % 3);
                     end loop; end $$"
                ))
                .await;
        }
        let route = "[[route]]\ntables = [\"public.*\"]\ntopic = \"{prefix}.all\"\n";
        let config = scene.config("initial", route);
        let mut many = Many {
            server,
            scene,
            tables,
            config,
            counted: 0,
        };
        many.statements();
        many
    }

    /// Statements of the replicator since the last call, without its heartbeats.
    fn statements(&mut self) -> usize {
        let log = std::fs::read(self.server.data().join("log")).unwrap();
        let log = String::from_utf8_lossy(&log);
        let is_statement = |line: &&str| {
            (line.contains("|LOG:  statement: ") || line.contains("|LOG:  execute "))
                && !line.starts_with("test|")
                && !line.contains("pg_logical_emit_message")
        };
        let all = log.lines().filter(is_statement).count();
        let new = all - self.counted;
        self.counted = all;
        new
    }

    async fn start(&mut self) -> (Tidewater, Duration) {
        let began = Instant::now();
        let mut replicator = Tidewater::start(&["replicate"], &self.config);
        until_within(PATIENCE, "streaming", async || {
            assert!(replicator.is_running(), "{}", replicator.log());
            replicator.log().contains("streaming resume")
        })
        .await;
        (replicator, began.elapsed())
    }

    async fn caught_up(&self) {
        caught_up_within(PATIENCE, &self.scene.database, &self.scene.name).await;
    }

    /// One more row in every table.
    async fn insert_everywhere(&self) {
        for first in (0..self.tables).step_by(TOGETHER) {
            let last = self.tables.min(first + TOGETHER) - 1;
            self.scene
                .sql(&format!(
                    "do $$ begin for n in {first}..{last} loop
                         execute format('insert into table_%s values (7, ''streamed'')', n);
                     end loop; end $$"
                ))
                .await;
        }
    }

    /// Every row once, as it came, and one version of each table's schema.
    fn assert_exact(&self) {
        let mut told: BTreeMap<(String, i64), Vec<String>> = BTreeMap::new();
        scan_topic(
            &kafka_brokers(),
            &format!("{}.all", self.scene.name),
            |record| {
                let Some(value) = record.value else { return };
                let event: Value = serde_json::from_slice(&value).unwrap();
                let table = event["source"]["table"].as_str().unwrap().to_owned();
                let (row, op) = (&event["after"], event["op"].as_str().unwrap());
                let told = told.entry((table, row["id"].as_i64().unwrap()));
                told.or_default()
                    .push(format!("{op} {}", row["note"].as_str().unwrap()));
            },
        );
        let mut expected = BTreeMap::new();
        for n in 0..self.tables {
            let read = i64::try_from(n % 3).unwrap();
            for id in 1..=read {
                expected.insert((format!("table_{n}"), id), vec!["r read".to_owned()]);
            }
            expected.insert((format!("table_{n}"), 7), vec!["c streamed".to_owned()]);
        }
        assert!(
            told == expected,
            "{} rows of {}",
            told.len(),
            expected.len()
        );
        let topic = format!("{}.schema-changes", self.scene.name);
        let versions = values(&read_topic(&kafka_brokers(), &topic));
        let versioned: BTreeSet<&str> = versions
            .iter()
            .map(|version| version["table"].as_str().unwrap())
            .collect();
        assert_eq!(
            (versions.len(), versioned.len()),
            (self.tables, self.tables)
        );
    }
}

/// Starts with tables that have never been read, starts again, and changes every table.
async fn measure(tables: usize) {
    let mut many = Many::new(tables).await;

    let (replicator, took) = many.start().await;
    let (statements, resident) = (many.statements(), replicator.resident_bytes_max());
    println!("{tables} tables: first start {took:.1?}, {statements} statements, {resident} bytes");
    assert!(statements <= tables + STATEMENTS, "{statements} statements");
    assert!(resident < RESIDENT_BYTES_MAX, "{resident} bytes");
    many.scene.drain(replicator).await;

    many.statements();
    let (replicator, took) = many.start().await;
    let (statements, resident) = (many.statements(), replicator.resident_bytes_max());
    println!("{tables} tables: next start {took:.1?}, {statements} statements, {resident} bytes");
    assert!(statements <= STATEMENTS, "{statements} statements");

    many.insert_everywhere().await;
    many.caught_up().await;
    let (statements, resident) = (many.statements(), replicator.resident_bytes_max());
    println!("{tables} tables: each changed, {statements} statements, {resident} bytes");
    assert!(
        statements <= 2 * tables + STATEMENTS,
        "{statements} statements"
    );
    assert!(resident < RESIDENT_BYTES_MAX, "{resident} bytes");
    many.scene.drain(replicator).await;
    many.assert_exact();
}

#[tokio::test]
async fn a_table_more_is_a_statement_more() {
    measure(400).await;
}

#[tokio::test]
#[ignore = "takes minutes: make many"]
async fn thousands_of_tables_stay_within_the_bound() {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let tables = std::env::var("TIDEWATER_TEST_TABLES");
    measure(tables.map_or(10_000, |tables| tables.parse().unwrap())).await;
}
