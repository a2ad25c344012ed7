//! A publication that tidewater has made: what `source.tables` matches later is added to it, and read.

use tokio_postgres::error::SqlState;

use super::joined::{config, create, finished, joined};
use super::{Tidewater, assert_fits};
use crate::starts::Scene;
use crate::starts::content::Content;
use crate::support::{server_version, unique, until};

const ROWS: u64 = 2_000;
const TABLE: &str =
    "create table t (id bigint primary key, note text); insert into t values (1, 't')";

/// Waits until the replicator has said that.
async fn said(replicator: &Tidewater, what: &str) {
    until(what, async || replicator.log().contains(what)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_created_later_are_added_and_read() {
    let scene = Scene::new("managed", TABLE).await;
    let config = config(&scene, "initial");
    let replicator = scene.stream(&config).await;
    create(&scene, "late").await;
    finished(&config, 1).await;
    // To publish it would make its updates fail.
    scene
        .sql("create table keyless (id bigint, note text); insert into keyless values (1, 'k')")
        .await;
    said(&replicator, "its updates and deletes would fail").await;
    scene.sql("update keyless set note = 'changed'").await;
    scene.sql("alter table keyless replica identity full").await;
    finished(&config, 2).await;
    scene
        .sql(
            "create table days (day date, id bigint, primary key (day, id)) partition by range (day);
             create table days_1 partition of days for values from ('2026-01-01') to ('2026-02-01');
             insert into days select date '2026-01-05', n from generate_series(1, 50) as n",
        )
        .await;
    finished(&config, 3).await;
    scene.drain(replicator).await;
    // While nobody runs.
    create(&scene, "later").await;
    let replicator = scene.stream(&config).await;
    finished(&config, 4).await;
    scene
        .sql("update later set note = 'last' where id = 1")
        .await;
    scene.drain(replicator).await;
    for table in ["late", "later"] {
        assert_fits(&scene, table, 1).await;
    }
    for table in ["keyless", "days_1"] {
        let records = scene.records(table);
        Content::of_part(&records).assert_is(&scene, table).await;
    }
    assert_eq!(joined(&config).len(), 4, "none of them is read again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_added_is_told_of_with_the_statement() {
    let scene = Scene::new("unmanaged", TABLE).await;
    let (name, role) = (&scene.name, unique("reader"));
    scene
        .sql(&format!(
            "create publication {name} for table t;
             create role {role} login replication; grant select on all tables in schema public to {role}"
        ))
        .await;
    let config = config(&scene, "initial");
    let config = config.replace("//postgres@", &format!("//{role}@"));
    assert!(config.contains(&role), "{config}");
    let replicator = scene.stream(&config).await;
    scene.sql("create table late (id bigint primary key)").await;
    said(&replicator, "the publication is not managed by tidewater").await;
    let statement = format!("alter publication \"{name}\" add table \"public\".\"late\"");
    assert!(
        replicator.log().contains(&statement),
        "{}",
        replicator.log()
    );
    let comment = format!("comment on publication {name} is 'managed by tidewater'");
    scene.sql(&comment).await;
    scene
        .sql("create table other (id bigint primary key)")
        .await;
    said(&replicator, "must be owner of").await;
    scene.drain(replicator).await;
    // One who may finds both of them.
    let owner = self::config(&scene, "initial");
    let replicator = scene.stream(&owner).await;
    scene
        .sql("insert into late values (1); insert into other values (1)")
        .await;
    scene.drain(replicator).await;
    for table in ["late", "other"] {
        let records = scene.records(table);
        Content::of(&records).assert_is(&scene, table).await;
    }
}

/// First version with column lists.
const LISTS_SINCE: i32 = 150_000;

/// What the publication publishes of a table's columns.
async fn published(scene: &Scene, table: &str) -> String {
    let sql = "select array_to_string(attnames, ',') from pg_publication_tables
                where pubname = $1 and tablename = $2";
    let row = scene.database.query_one(sql, &[&scene.name, &table]).await;
    row.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_columns_are_left_out_of_the_publication() {
    if server_version().await < LISTS_SINCE {
        return;
    }
    let tables = format!(
        "create table t (email text, id bigint primary key, note text, twice bigint generated always as (id * 2) stored);
         insert into t select n || '@example.com', n, 'n' from generate_series(1, {ROWS}) as n;
         create table whole (id bigint primary key, email text);
         alter table whole replica identity full"
    );
    let scene = Scene::new("lists", &tables).await;
    let lists = "columns = [\"!*.*.email\", \"!*.*.secret\"]\ncolumn_lists = true\n[kafka]";
    let config = config(&scene, "initial").replace("[kafka]", lists);
    let replicator = scene.stream(&config).await;
    said(&replicator, "replica identity full needs every column").await;
    assert_eq!(published(&scene, "t").await, "id,note");
    // Read once, at the start.
    let rows = usize::try_from(ROWS).unwrap();
    assert_eq!(Content::of(&scene.records("t")).count("r"), rows);
    // A column that is not hidden: what changes before the list follows has no value of it.
    scene
        .sql("alter table t add column more text; update t set more = 'm' where id % 2 = 0")
        .await;
    let request = finished(&config, 1).await.remove(0);
    assert_eq!(request["tables"], serde_json::json!(["public.t"]));
    assert_eq!(published(&scene, "t").await, "id,note,more");
    scene
        .sql("alter table t add column secret text; update t set secret = 's' where id = 1")
        .await;
    scene.sql("update t set more = 'last' where id = 1").await;
    scene.drain(replicator).await;
    // While nobody runs.
    scene
        .sql("alter table t add column late text; update t set late = 'l' where id % 3 = 0")
        .await;
    let replicator = scene.stream(&config).await;
    finished(&config, 2).await;
    scene.drain(replicator).await;
    assert_eq!(published(&scene, "t").await, "id,note,more,late");
    let content = Content::of_part(&scene.records("t"));
    assert_eq!(
        content.count("t"),
        0,
        "no change was lost, so nothing is void"
    );
    scene
        .sql(
            "create schema hidden; create table hidden.shown as select id, note, more, late from t",
        )
        .await;
    content.assert_is(&scene, "hidden.shown").await;
    // What docs/events.md says of lists: the server keeps their columns.
    let dropped = scene
        .database
        .batch_execute("alter table t drop column note")
        .await;
    let code = dropped.unwrap_err().code().cloned();
    assert_eq!(code, Some(SqlState::DEPENDENT_OBJECTS_STILL_EXIST));
    // Without the setting a list is nobody's to follow, and what it lacks is told of.
    scene.sql("alter table t add column frozen text").await;
    let off = config.replace("column_lists = true\n", "");
    let replicator = scene.stream(&off).await;
    said(&replicator, "its values are not published").await;
    assert!(
        replicator.log().contains("column=frozen"),
        "{}",
        replicator.log()
    );
    scene.drain(replicator).await;
}
