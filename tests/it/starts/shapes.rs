//! Tables of every shape: what a snapshot reads is the table, each row once, and what follows fits on.

use serde_json::Value;
use tidewater::kafka::Admin;

use super::Scene;
use super::content::{Content, assert_ended};
use crate::model::Record;
use crate::support::Tidewater;

/// Keys of every kind, values that a text key may well have among them.
const KEYED: [(&str, &[&str], &str); 4] = [
    (
        "numbers",
        &["id"],
        "create table numbers (id bigint primary key, note text)",
    ),
    (
        "uuids",
        &["id"],
        "create table uuids (id uuid primary key, note text)",
    ),
    (
        "texts",
        &["code"],
        "create table texts (code text primary key, note text)",
    ),
    (
        "pairs",
        &["area", "code"],
        // The key's order is not the columns'.
        "create table pairs (note text, code text, area integer, primary key (area, code))",
    ),
];

/// SQL that fills a table of [`KEYED`] with rows of these numbers.
fn fill(table: &str, from: usize, until: usize) -> String {
    let numbers = format!("generate_series({from}, {until} - 1) as n");
    // Not the order of the numbers, and characters that SQL and JSON quote.
    let text = "(array['', 'é', '''', '\"', '\\', ' ', '%'])[n % 7 + 1] || md5(n::text)";
    match table {
        "numbers" => format!(
            "insert into numbers select (n * 7919) % 100003 - 50000, 'n' || n from {numbers}"
        ),
        "uuids" => format!("insert into uuids select md5(n::text)::uuid, 'n' || n from {numbers}"),
        "texts" => format!("insert into texts select {text}, 'n' || n from {numbers}"),
        "pairs" => format!("insert into pairs select 'n' || n, {text}, n % 5 - 2 from {numbers}"),
        table => panic!("no table {table}"),
    }
}

/// Rows of a chunk at least; a table that is larger than its statistics say has chunks of so many.
const CHUNK_ROWS: usize = 1_000;
/// Five chunks, the last one not full.
const ROWS: usize = 4 * CHUNK_ROWS + 500;

/// Panics unless each record's key is made of the row's key columns.
fn assert_keys(records: &[Record], columns: &[&str]) {
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    for record in records {
        let Some(event) = record.value.as_deref().map(json) else {
            continue;
        };
        let row = &event["after"];
        if row.is_null() {
            continue;
        }
        let expected = columns
            .iter()
            .map(|column| ((*column).to_owned(), row[*column].clone()));
        let expected: serde_json::Map<String, Value> = expected.collect();
        assert_eq!(
            record.key.as_deref().map(json),
            Some(Value::Object(expected))
        );
    }
}

#[tokio::test]
async fn chunks_of_any_key_cover_the_table() {
    let scene = Scene::new("keys", "").await;
    for (table, _, create) in KEYED {
        scene.sql(create).await;
        // Analysed when it was small.
        scene
            .sql(&format!(
                "alter table {table} set (autovacuum_enabled = false)"
            ))
            .await;
        scene.sql(&fill(table, 0, 10)).await;
        scene.sql(&format!("analyze {table}")).await;
        scene.sql(&fill(table, 10, ROWS)).await;
    }
    // Dies with its work half done: as many chunks as that are there, so it is not one for each table.
    let chunks = KEYED.len() * (ROWS / CHUNK_ROWS);
    let crash = scene.config(
        "initial",
        &format!("[debug]\ncrash_at = \"snapshot.chunk:{chunks}\"\n"),
    );
    let died = Tidewater::run(&["replicate"], &crash);
    assert_eq!(died.code(), None, "{}", died.log);

    let replicator = scene.stream(&scene.config("initial", "")).await;
    for (table, key, _) in KEYED {
        scene.sql(&fill(table, ROWS, ROWS + 10)).await;
        let column = key[key.len() - 1];
        scene
            .sql(&format!(
                "update {table} set note = 'changed' where note in ('n3', 'n4003')"
            ))
            .await;
        scene
            .sql(&format!(
                "delete from {table} where note in ('n4', 'n4004')"
            ))
            .await;
        let next = match table {
            "numbers" => "id + 200000",
            "uuids" => "gen_random_uuid()",
            _ => "code || '+'",
        };
        scene
            .sql(&format!(
                "update {table} set {column} = {next} where note in ('n5', 'n4005')"
            ))
            .await;
    }
    scene.drain(replicator).await;
    for (table, key, _) in KEYED {
        let records = scene.records(table);
        let content = Content::of(&records);
        content.assert_is(&scene, table).await;
        assert_eq!(content.count("t"), 0, "{table}: what was read stays");
        assert_keys(&records, key);
        assert_ended(&records, scene.partitions, 1);
    }
}

#[tokio::test]
async fn rows_without_a_key_are_read_once() {
    let tables = "
        create table whole (id bigint, note text);
        alter table whole replica identity full;
        create table bare (id bigint, note text);
        create table named (id bigint primary key, note text);
        alter table named replica identity nothing;
        create table indexed (id bigint not null, note text);
        create unique index indexed_id on indexed (id);
        alter table indexed replica identity using index indexed_id;
        create table nobody (id bigint primary key, note text);
        insert into whole select id % 40, 'twice' from generate_series(1, 80) as id;
        insert into bare select id % 40, 'twice' from generate_series(1, 80) as id;
        insert into named select id, 'n' from generate_series(1, 80) as id;
        insert into indexed select id, 'i' from generate_series(1, 80) as id";
    let scene = Scene::new("keyless", tables).await;
    let replicator = scene.stream(&scene.config("initial", "")).await;
    for table in ["whole", "bare", "named", "indexed"] {
        scene
            .sql(&format!(
                "insert into {table} values (100, 'live'), (101, 'live')"
            ))
            .await;
    }
    let changes = "
        update whole set note = 'changed' where id = 3;
        delete from whole where id = 4;
        update indexed set note = 'changed' where id = 3;
        update indexed set id = 105 where id = 5;
        delete from indexed where id = 4";
    scene.sql(changes).await;
    // The server itself refuses what it could not tell us of.
    for table in ["bare", "named"] {
        let refused = scene
            .database
            .batch_execute(&format!("delete from {table}"))
            .await;
        assert!(refused.is_err(), "{table}");
    }
    scene.drain(replicator).await;

    for (table, key, reads) in [
        ("whole", None, 80),
        ("bare", None, 80),
        ("named", Some("id"), 80),
        ("indexed", Some("id"), 80),
        ("nobody", Some("id"), 0),
    ] {
        let records = scene.records(table);
        let content = Content::of(&records);
        content.assert_is(&scene, table).await;
        assert_eq!(content.count("r"), reads, "{table}");
        match key {
            Some(column) => assert_keys(&records, &[column]),
            None => assert!(records.iter().all(|record| record.key.is_none()), "{table}"),
        }
        assert_ended(&records, scene.partitions, 1);
    }
    let whole = Content::of(&scene.records("whole"));
    assert_eq!(["u", "d"].map(|op| whole.count(op)), [2, 2]);
}

/// Partitions of two levels, and one that takes what no other does.
const PARTITIONED: &str = "
    create table sales (day date, id bigint, units integer, primary key (day, id)) partition by range (day);
    create table sales_2025 partition of sales for values from ('2025-01-01') to ('2026-01-01')
        partition by list (id);
    create table sales_2025_few partition of sales_2025 for values in (1, 2, 3);
    create table sales_2025_rest partition of sales_2025 default;
    create table sales_rest partition of sales default;
    insert into sales select '2024-12-01'::date + id, id % 50, id from generate_series(0, 599) as id";
/// Each of these moves rows within a partition, between partitions, and away.
const CHANGES: &str = "
    insert into sales values ('2025-05-05', 1000, 1), ('2030-01-01', 1000, 1);
    update sales set units = units + 1 where id = 7;
    update sales set day = day + 365 where id = 2;
    delete from sales where id = 3";
const LEAVES: [&str; 3] = ["sales_2025_few", "sales_2025_rest", "sales_rest"];

#[tokio::test]
async fn partitions_have_topics_of_their_own() {
    let scene = Scene::new("leaves", PARTITIONED).await;
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene.sql(CHANGES).await;
    scene.drain(replicator).await;
    for table in LEAVES {
        let records = scene.records(table);
        let content = Content::of(&records);
        content.assert_is(&scene, table).await;
        assert_keys(&records, &["day", "id"]);
        assert_ended(&records, scene.partitions, 1);
    }
    assert_eq!(topics(&scene, &["sales", "sales_2025"]), [false, false]);
}

#[tokio::test]
async fn a_root_has_one_topic_if_the_publication_says_so() {
    let scene = Scene::new("root", PARTITIONED).await;
    let publish =
        "create publication NAME for table sales with (publish_via_partition_root = true)";
    scene.sql(&publish.replace("NAME", &scene.name)).await;
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene.sql(CHANGES).await;
    scene.drain(replicator).await;
    let records = scene.records("sales");
    let content = Content::of(&records);
    content.assert_is(&scene, "sales").await;
    assert_eq!(content.count("r"), 600);
    assert_keys(&records, &["day", "id"]);
    assert_ended(&records, scene.partitions, 1);
    assert_eq!(topics(&scene, &LEAVES), [false; 3]);
}

/// Whether each table has a topic.
fn topics<const N: usize>(scene: &Scene, tables: &[&str; N]) -> [bool; N] {
    let admin = Admin::new(&scene.kafka()).unwrap();
    tables.map(|table| admin.partitions(&scene.topic(table)).unwrap().is_some())
}
