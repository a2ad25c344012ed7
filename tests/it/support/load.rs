//! Load on a source: concurrent writers whose every change the journal knows.
//!
//! Two tables, `t` with a number as its key and `u` with a composite textual one, and `v`, which is
//! truncated now and then. The writers' decisions come from a seed; what they do to each other's rows
//! depends on timing, and that is what the journal is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::connection::{Connection, Database, connect};
use tokio::task::JoinSet;

use crate::model::{Beginning, Journal, assert_every_change_once, journal_sql, random, read_topic};

/// The tables with their keys.
pub(crate) const TABLES: [(&str, &[&str]); 3] =
    [("t", &["id"]), ("u", &["area", "code"]), ("v", &["id"])];
/// Keys that the writers meet each other at.
const KEYS: i64 = 300;

/// Writers that run until they are stopped.
pub(crate) struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicU64>,
}

/// Creates the tables, each journalled, with the replica identity given (`default` or `full`).
pub(crate) async fn create_tables(database: &Database, identity: &str) {
    let tables = "
        create table t (id bigint primary key, note text, amount numeric(12,2));
        create table u (area integer, code text, note text, primary key (area, code));
        create table v (id bigint primary key, note text)";
    database.batch_execute(tables).await.unwrap();
    for (table, key) in TABLES {
        let identity = format!("alter table {table} replica identity {identity}");
        database.batch_execute(&identity).await.unwrap();
        database
            .batch_execute(&journal_sql(table, key))
            .await
            .unwrap();
    }
}

/// Panics unless the topics hold every journalled change once and in order. Returns how many there
/// were.
pub(crate) async fn assert_exactly_once(
    database: &Database,
    brokers: &str,
    prefix: &str,
    from: Beginning,
) -> usize {
    let mut changes = 0;
    for (table, _) in TABLES {
        let journal = Journal::read(database, table).await;
        let records = read_topic(brokers, &format!("{prefix}.public.{table}"));
        assert_every_change_once(&records, &journal, from);
        changes += journal.len();
    }
    changes
}

impl Load {
    /// Starts `writers` connections on the tables of [`create_tables`], each with a pause between its
    /// transactions.
    pub(crate) fn start(source: &Connection, writers: u64, pause: Duration) -> Load {
        Load::of(statement, source, writers, pause)
    }

    /// As [`Load::start`], with statements of one's own.
    pub(crate) fn of(
        statement: fn(&mut ChaCha8Rng) -> String,
        source: &Connection,
        writers: u64,
        pause: Duration,
    ) -> Load {
        let seed = random::seed();
        let mut load = Load {
            tasks: JoinSet::new(),
            stop: Arc::default(),
            changes: Arc::default(),
        };
        for writer in 0..writers {
            let mut writer = Writer {
                statement,
                source: source.clone(),
                rng: ChaCha8Rng::seed_from_u64(seed.wrapping_add(writer)),
                pause,
                stop: Arc::clone(&load.stop),
                changes: Arc::clone(&load.changes),
            };
            load.tasks.spawn(async move { writer.run().await });
        }
        load
    }

    /// Changes that the writers have committed so far.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Ends the writers; returns how many changes they have committed.
    pub(crate) async fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.changes()
    }
}

struct Writer {
    statement: fn(&mut ChaCha8Rng) -> String,
    source: Connection,
    rng: ChaCha8Rng,
    pause: Duration,
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicU64>,
}

impl Writer {
    /// Writes; a server that goes away is waited for.
    async fn run(&mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok(database) = connect(&self.source).await {
                self.write(&database).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn write(&mut self, database: &Database) {
        while !self.stop.load(Ordering::Relaxed) {
            let (sql, changes) = self.transaction();
            match database.batch_execute(&sql).await {
                Ok(()) => {
                    self.changes.fetch_add(changes, Ordering::Relaxed);
                }
                // Two writers met in opposite orders: nothing of this one was written.
                Err(error) if error.as_db_error().is_some() => {
                    if database.batch_execute("rollback").await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    /// A transaction's statements, and how many changes they ask for.
    fn transaction(&mut self) -> (String, u64) {
        let statements = self.rng.random_range(1..15);
        let mut sql = "begin;".to_owned();
        for _ in 0..statements {
            sql.push_str(&(self.statement)(&mut self.rng));
            sql.push(';');
        }
        let rolled_back = self.rng.random_bool(0.05);
        sql.push_str(if rolled_back { "rollback" } else { "commit" });
        (sql, if rolled_back { 0 } else { statements })
    }
}

fn statement(rng: &mut ChaCha8Rng) -> String {
    let id = rng.random_range(0..KEYS);
    let (area, code) = (id % 7, format!("c\u{e9}-{}", id % 40));
    let note = "n".repeat(rng.random_range(0..60));
    // Rare: a slot cannot be created while a writer waits for the tables' locks.
    if rng.random_ratio(1, 2_000) {
        return "truncate v".to_owned();
    }
    match rng.random_range(0..100) {
        0..30 => format!(
            "insert into t values ({id}, '{note}', {id}.25) on conflict (id) do update set note = excluded.note"
        ),
        30..45 => format!("update t set amount = amount + 1 where id = {id}"),
        45..55 => format!("delete from t where id = {id}"),
        55..60 => format!(
            "update t set id = id + {KEYS} where id = {id} and not exists (select from t where id = {id} + {KEYS})"
        ),
        60..62 => format!("delete from t where id >= {KEYS} and id < {KEYS} + {id}"),
        62..78 => format!(
            "insert into u values ({area}, '{code}', '{note}') on conflict (area, code) do update set note = excluded.note"
        ),
        78..84 => format!("delete from u where area = {area} and code = '{code}'"),
        84..88 => format!(
            "update u set code = code || '+' where area = {area} and code = '{code}' and not exists (select from u where area = {area} and code = '{code}+')"
        ),
        _ => format!("insert into v values ({id}, '{note}') on conflict (id) do nothing"),
    }
}
