//! Versions and rows across `kill -9`.

use super::{columns, inserted, versions};
use crate::starts::Scene;
use crate::support::Tidewater;

const TABLE: &str = "create table t (id bigint primary key)";

#[tokio::test]
async fn a_version_is_there_before_its_rows() {
    let scene = Scene::new("before", TABLE).await;
    scene.stream(&scene.config("initial", "")).await.terminate();
    scene
        .sql("insert into t values (1); alter table t add note text; insert into t values (2, 'x')")
        .await;
    let crash = scene.config("initial", "[debug]\ncrash_at = \"schema.recorded:1\"\n");
    let died = Tidewater::run(&["replicate"], &crash);
    assert_eq!(died.code(), None, "{}", died.log);
    assert_eq!(
        columns(&versions(&scene), "t"),
        ["id bigint", "id bigint, note text"]
    );
    assert!(inserted(&scene, "t").is_empty(), "no row is committed yet");

    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene.drain(replicator).await;
    assert_eq!(
        inserted(&scene, "t"),
        [r#"{"id":1}"#, r#"{"id":2,"note":"x"}"#]
    );
    assert_eq!(
        versions(&scene).len(),
        2,
        "what is known is not written again"
    );
}

#[tokio::test]
async fn no_crash_repeats_a_version() {
    let scene = Scene::new("repeats", TABLE).await;
    scene.stream(&scene.config("initial", "")).await.terminate();
    let mut expected = Vec::new();
    let mut row = 0;
    for (round, step) in [
        "publish.begun:1",
        "publish.mid-produce:2",
        "publish.before-commit:1",
        "publish.committed:1",
        "schema.recorded:1",
        "publish.before-commit:2",
        "schema.recorded:2",
        "publish.before-commit:3",
        "publish.committed:2",
    ]
    .iter()
    .enumerate()
    {
        // Two versions and three rows in each round, one of them from before.
        let added = format!("c{round}");
        scene
            .sql(&format!(
                "begin; insert into t (id) values ({row}); alter table t add {added} integer;
                 insert into t (id, {added}) values ({row} + 1, 1); commit;
                 alter table t alter {added} type bigint;
                 insert into t (id, {added}) values ({row} + 2, 1)"
            ))
            .await;
        for width in [round, round + 1, round + 1] {
            expected.push(width + 1);
        }
        row += 3;
        let crash = scene.config("initial", &format!("[debug]\ncrash_at = \"{step}\"\n"));
        let died = Tidewater::run(&["replicate"], &crash);
        assert_eq!(died.code(), None, "{step}: {}", died.log);
    }
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene.drain(replicator).await;
    let widths: Vec<usize> = inserted(&scene, "t")
        .iter()
        .map(|row| row.matches(':').count())
        .collect();
    assert_eq!(
        widths, expected,
        "each row once, with the columns of its place"
    );
    // The first of all, and two of each round.
    assert_eq!(versions(&scene).len(), 1 + 2 * 9);
}

#[tokio::test]
async fn a_table_that_changes_during_a_snapshot_is_told_as_it_is_read() {
    let scene = Scene::new(
        "reading",
        "create table t (id bigint primary key); insert into t values (1)",
    )
    .await;
    let crash = scene.config("initial", "[debug]\ncrash_at = \"snapshot.chunk:1\"\n");
    assert_eq!(Tidewater::run(&["replicate"], &crash).code(), None);
    scene.sql("alter table t add note text default 'new'").await;
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene.sql("insert into t values (2)").await;
    scene.drain(replicator).await;
    let rows = inserted(&scene, "t");
    assert_eq!(
        rows[rows.len() - 2..],
        [r#"{"id":1,"note":"new"}"#, r#"{"id":2,"note":"new"}"#]
    );
    assert_eq!(
        columns(&versions(&scene), "t"),
        ["id bigint", "id bigint, note text"]
    );
}
