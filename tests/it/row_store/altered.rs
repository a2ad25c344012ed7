//! Tables that are altered in a way that leaves old values unknown.

use std::time::Duration;

use serde_json::{Value, json};
use tidewater::exit::ExitCode;

use super::Twins;
use crate::starts::Scene;
use crate::support::Tidewater;

const TABLE: &str = "
    create table t{t} (id bigint primary key, a text, b integer);
    insert into t{t} values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)";

fn befores(scene: &Scene) -> Vec<Value> {
    let mut records = scene.records("t");
    records.retain(|record| record.value.is_some());
    let mut events: Vec<Value> = records
        .iter()
        .map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap())
        .collect();
    events.retain(|event: &Value| event["op"] == "u" || event["op"] == "d");
    events.sort_by_key(|event| event["source"]["lsn"].as_u64());
    events
        .into_iter()
        .map(|event| event["before"].clone())
        .collect()
}

/// Reads nothing until it ends.
fn refused(twins: &Twins, message: &str) {
    let ended = twins.start().wait(Duration::from_mins(1));
    let ended = ended.expect(ExitCode::HistoryLost);
    let said = format!("{}{}", ended.output, ended.log);
    assert!(said.contains(message), "{said}");
}

fn replicate(config: &str) -> Tidewater {
    Tidewater::start(&["replicate"], config)
}

#[tokio::test]
async fn a_value_that_was_rewritten_is_refused_or_left_out_and_never_invented() {
    let mut twins = Twins::new("rewritten", TABLE, "").await;
    twins.catch_up().await;
    // The type is the same, so no message tells of it.
    twins
        .run("alter table t{t} alter column a type text using upper(a)")
        .await;
    twins.run("update t{t} set b = 10 where id = 1").await;
    refused(
        &twins,
        "row whose value of column a the row store does not know",
    );
    twins.more = "missing = \"as-sent\"\n".to_owned();
    twins.catch_up().await;
    twins
        .run("update t{t} set b = 11 where id = 1; delete from t{t} where id = 2")
        .await;
    twins.catch_up().await;
    assert_eq!(
        befores(&twins.scene),
        [
            json!({"id": 1, "b": 1}),
            json!({"id": 1, "a": "ONE", "b": 10}),
            json!({"id": 2, "b": 2}),
        ]
    );
}

#[tokio::test]
async fn a_table_that_is_altered_again_and_again_while_nobody_reads_is_read_as_it_was() {
    let twins = Twins::new("later", TABLE, "").await;
    twins.catch_up().await;
    for sql in [
        "update t{t} set b = 10 where id = 1",
        "alter table t{t} add column c text default 'c'",
        "update t{t} set b = 20 where id = 2",
        "alter table t{t} rename column a to z",
        "update t{t} set c = 'd' where id = 1",
        "alter table t{t} drop column b",
        "delete from t{t} where id = 1",
        "update t{t} set z = 'drei' where id = 3",
        "alter table t{t} add column a integer default 8",
        "update t{t} set a = 9 where id = 3",
        "update t{t} set z = 'zwei' where id = 2",
    ] {
        twins.run(sql).await;
    }
    twins.catch_up().await;
    twins.assert_same("t");
}

#[tokio::test]
async fn partitions_are_altered_with_their_table() {
    let tables = "
        create table t{t} (id bigint primary key, a text, b integer) partition by hash (id);
        create table p0_t{t} partition of t{t} for values with (modulus 2, remainder 0);
        create table p1_t{t} partition of t{t} for values with (modulus 2, remainder 1);
        insert into t{t} select n, 'a' || n, n from generate_series(1, 8) n";
    let twins = Twins::new("parts_altered", tables, "").await;
    let replicator = twins.scene.stream(&twins.config()).await;
    for sql in [
        "update t{t} set b = 10 where id < 3",
        "alter table t{t} add column c integer default 7",
        "update t{t} set b = 11 where id < 5",
        "alter table t{t} alter column b set default 5",
        "alter table t{t} rename column a to z",
        "update t{t} set z = 'z' where id > 3",
        "delete from t{t}",
    ] {
        twins.run(sql).await;
    }
    twins.scene.drain(replicator).await;
    assert!(twins.assert_same("t") > 20);
}

#[tokio::test]
async fn another_replica_identity_forgets_the_rows() {
    let tables = "create table t{t} (id bigint primary key, a text not null unique, b integer);
                  insert into t{t} values (1, 'one', 1), (2, 'two', 2)";
    let mut twins = Twins::new("identity", tables, "").await;
    twins.catch_up().await;
    twins.scene.sql("alter table t replica identity full; update t set b = 10 where id = 1;
                     alter table t replica identity using index t_a_key; update t set b = 20 where id = 1").await;
    refused(&twins, "of a row that the row store does not know");
    twins.more = "missing = \"as-sent\"\n".to_owned();
    twins.catch_up().await;
    twins
        .scene
        .sql("update t set b = 30 where id = 1; update t set b = 3 where id = 2")
        .await;
    twins.catch_up().await;
    assert_eq!(
        befores(&twins.scene),
        [
            json!({"id": 1, "a": "one", "b": 1}),
            Value::Null,
            json!({"id": 1, "a": "one", "b": 20}),
            Value::Null,
        ]
    );
    drop(replicate(&twins.config()));
}
