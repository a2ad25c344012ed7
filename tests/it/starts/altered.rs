//! What becomes of a half-read table that is another one when its snapshot goes on.

use super::Scene;
use super::content::{Content, assert_ended};
use crate::support::Tidewater;

/// Rows, wide enough for every thousand of them to be a transaction.
const FILL: &str =
    "insert into t select n, repeat(md5(n::text), 40) from generate_series(1, 4500) as n";

/// Reads the first chunks of a table with a key of that type and dies; `between` changes it, and the rest is
/// read. Panics unless the topic is the table then. Returns how many truncate markers there are.
async fn markers(name: &str, key_type: &str, between: &str) -> usize {
    let table = format!(
        "create table t (id {key_type} primary key, note text);
         alter table t set (autovacuum_enabled = false);
         analyze t"
    );
    let scene = Scene::new(name, &table).await;
    scene.sql(FILL).await;
    // As it was when it was small, so that a chunk has a thousand rows.
    scene
        .sql("update pg_class set reltuples = 100, relpages = 1000 where oid = 't'::regclass")
        .await;
    // After the record that begins it, and two chunks.
    let crash = "[debug]\ncrash_at = \"publish.committed:3\"\n";
    let died = Tidewater::run(&["replicate"], &scene.config("initial", crash));
    assert_eq!(died.code(), None, "{}", died.log);
    scene.sql(between).await;
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene
        .sql(
            "update t set note = 'live' where id in (7, 4007); delete from t where id in (8, 4008)",
        )
        .await;
    scene.drain(replicator).await;
    let records = scene.records("t");
    let content = Content::of(&records);
    if key_type != "numeric" {
        content.assert_is(&scene, "t").await;
    }
    assert_ended(&records, scene.partitions, 1);
    content.count("t")
}

#[tokio::test]
async fn a_table_that_is_as_it_was_goes_on() {
    let between =
        "update t set note = 'between' where id in (1, 4001); delete from t where id in (2, 4002);
                   update t set id = 9001 where id = 3; update t set id = -4003 where id = 4003";
    assert_eq!(markers("same", "integer", between).await, 0);
}

#[tokio::test]
async fn a_table_that_was_truncated_starts_over() {
    let between = format!("truncate t; {FILL}; delete from t where id % 3 = 0");
    assert_eq!(markers("truncated", "integer", &between).await, 3);
}

#[tokio::test]
async fn a_table_whose_key_was_altered_starts_over() {
    let between = "alter table t alter column id type bigint; delete from t where id % 3 = 0";
    assert_eq!(markers("altered", "integer", between).await, 3);
}

#[tokio::test]
async fn a_table_whose_keys_only_the_server_can_order_starts_over() {
    assert_eq!(
        markers("ordered", "numeric", "delete from t where id % 3 = 0").await,
        3
    );
}
