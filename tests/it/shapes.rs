//! Flat rows: whoever keeps the last row of each key has the table, whatever was done to it.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tidewater::connection::{Connection, Database, connect};

use crate::model::random::seed;
use crate::model::read_topic;
use crate::support::{self, Tidewater, caught_up, kafka_brokers};

const STEPS: usize = 400;

fn config(source: &Connection, prefix: &str, format: &str) -> String {
    format!(
        "[source]\nurl = \"{}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n\
         [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 3\n\
         [format]\nshape = \"flat\"\n{format}",
        support::database_url(source.database()),
        kafka_brokers()
    )
}

/// Inserts, updates, changes of the key, and deletes, of rows with a value that is stored out of line.
async fn live(database: &Database, rng: &mut ChaCha8Rng) {
    for _ in 0..STEPS {
        let (key, other) = (rng.random_range(0..40), rng.random_range(0..40));
        let number = rng.random_range(0..1000);
        let sql = match rng.random_range(0..5) {
            0 => format!("delete from t where id = {key}"),
            1 => format!(
                "update t set id = {other} where id = {key}
                 and not exists (select from t where id = {other})"
            ),
            2 => format!("update t set n = {number} where id = {key}"),
            _ => format!(
                "insert into t values ({key}, {number}, repeat(md5('{number}'), 2000))
                 on conflict (id) do update set n = excluded.n, big = excluded.big"
            ),
        };
        database.batch_execute(&sql).await.unwrap();
    }
}

async fn rows(database: &Database) -> BTreeMap<i64, Value> {
    let sql = "select id, jsonb_build_object('id', id, 'n', n, 'big', big)::text from t";
    let rows = database.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| {
            (
                row.get(0),
                serde_json::from_str(row.get::<_, &str>(1)).unwrap(),
            )
        })
        .collect()
}

/// The last value of each key; rows that are marked as deleted stay with their mark.
fn folded(topic: &str) -> BTreeMap<i64, Value> {
    let mut rows = BTreeMap::new();
    for record in read_topic(&kafka_brokers(), topic) {
        // The end of the snapshot has no key.
        let Some(key) = record.key else { continue };
        let key: Value = serde_json::from_slice(&key).unwrap();
        let id = key["id"].as_i64().unwrap();
        match record.value {
            Some(value) => rows.insert(id, serde_json::from_slice(&value).unwrap()),
            None => rows.remove(&id),
        };
    }
    rows
}

/// A table whose out-of-line values are never sent without being changed, and a replicator on it.
async fn start(name: &str, format: &str) -> (Database, String, String, Tidewater) {
    let source = support::postgres_database(name).await;
    let database = connect(&source).await.unwrap();
    let setup = "create table t (id bigint primary key, n integer, big text);
         alter table t alter big set storage external;
         alter table t replica identity full;
         insert into t select i, i, repeat(md5(i::text), 2000) from generate_series(0, 9) i";
    database.batch_execute(setup).await.unwrap();
    let prefix = support::unique(name);
    let config = config(&source, &prefix, format);
    let replicator = Tidewater::start(&["replicate"], &config);
    replicator.streaming().await;
    (database, prefix, config, replicator)
}

#[tokio::test]
async fn the_last_row_of_each_key_is_the_table() {
    let (database, prefix, _, replicator) = start("flat", "").await;
    live(&database, &mut ChaCha8Rng::seed_from_u64(seed())).await;
    caught_up(&database, &prefix).await;
    assert_eq!(replicator.terminate().code(), Some(0));
    let (rows, folded) = (rows(&database).await, folded(&format!("{prefix}.public.t")));
    assert!(!rows.is_empty());
    assert_eq!(folded, rows);
}

#[tokio::test]
async fn rows_marked_as_deleted_are_those_that_are_gone() {
    let format = "deletes = \"rewrite\"\ntombstones = false\nfields = [\"op\", \"position\"]\n\
                  headers = [\"op\"]\n";
    let (database, prefix, _, replicator) = start("rewritten", format).await;
    live(&database, &mut ChaCha8Rng::seed_from_u64(seed())).await;
    caught_up(&database, &prefix).await;
    assert_eq!(replicator.terminate().code(), Some(0));
    let topic = format!("{prefix}.public.t");
    let mut folded = folded(&topic);
    folded.retain(|_, row| row["__deleted"] == "false");
    for row in folded.values_mut() {
        let row = row.as_object_mut().unwrap();
        for extra in ["__deleted", "__op", "__position"] {
            row.remove(extra).unwrap();
        }
    }
    assert_eq!(folded, rows(&database).await);
    for record in read_topic(&kafka_brokers(), &topic) {
        let Some(value) = &record.value else { continue };
        let value: Value = serde_json::from_slice(value).unwrap();
        assert_eq!(record.header("__op"), value["__op"].as_str());
    }
}

#[tokio::test]
async fn a_value_that_was_not_sent_ends_the_stream() {
    let (database, _, config, replicator) = start("unsent", "").await;
    let update = "alter table t replica identity default; update t set n = n + 1 where id = 3";
    database.batch_execute(update).await.unwrap();
    let ended = replicator.wait(std::time::Duration::from_mins(1));
    assert_eq!(ended.code(), Some(18), "{}", ended.log);
    assert!(ended.log.contains("column big"), "{}", ended.log);
    let with_placeholder = format!("{config}unchanged = \"placeholder\"\n");
    let replicator = Tidewater::start(&["replicate"], &with_placeholder);
    replicator.streaming().await;
    let prefix = config.split('"').nth(3).unwrap().to_owned();
    caught_up(&database, &prefix).await;
    assert_eq!(replicator.terminate().code(), Some(0));
    let row = &folded(&format!("{prefix}.public.t"))[&3];
    assert_eq!(row["big"], "__debezium_unavailable_value");
    assert_eq!(row["n"], 4);
}

#[test]
fn aggregate_and_verify_refuse_what_they_cannot_read() {
    let sections = "[source]\nurl = \"postgres://x@localhost/x\"\n[kafka]\nbrokers = \"localhost:1\"\n\
                    [sink]\nurl = \"postgres://x@localhost/x\"\n[format]\n";
    for (key, value) in [("shape", "flat"), ("encoding", "json-schema")] {
        let config = format!("{sections}{key} = \"{value}\"\n");
        for command in ["aggregate", "verify"] {
            let ended = Tidewater::run(&[command], &config);
            assert_eq!(ended.code(), Some(2), "{}{}", ended.log, ended.output);
            let told = format!("{}{}", ended.log, ended.output);
            let both = told.contains(&format!("format.{key}")) && told.contains("format.values");
            assert!(both, "{told}");
        }
    }
}
