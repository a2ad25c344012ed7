//! `source.snapshot`: what each mode does with the slot and the position that it finds.

use tidewater::connection::Connection;
use tidewater::event::Lsn;
use tidewater::postgres::{Error, Session, SessionKind};

use super::Scene;
use super::content::{Content, assert_ended};
use crate::commands::refused;
use crate::support::{Postgres, Tidewater, until};

/// A table with ten rows.
const TEN_ROWS: &str = "
    create table t (id bigint primary key, note text);
    insert into t select id, 'before' from generate_series(1, 10) as id";

#[tokio::test]
async fn never_publishes_what_comes_after_the_slot_and_nothing_else() {
    let scene = Scene::new("never", TEN_ROWS).await;
    let replicator = scene.stream(&scene.config("never", "")).await;
    scene
        .sql("insert into t values (11, 'live'), (12, 'live')")
        .await;
    scene.drain(replicator).await;
    // While nobody streams, and after the start that resumes.
    scene.sql("insert into t values (13, 'down')").await;
    let replicator = scene.stream(&scene.config("never", "")).await;
    assert!(
        replicator.log().contains("start=Resume"),
        "{}",
        replicator.log()
    );
    scene
        .sql("update t set note = 'changed' where id = 12; delete from t where id = 11")
        .await;
    scene.drain(replicator).await;

    let records = scene.records("t");
    let content = Content::of(&records);
    let ops = ["r", "c", "u", "d"].map(|op| content.count(op));
    assert_eq!(ops, [0, 3, 1, 1]);
    scene.sql("delete from t where id <= 10").await;
    content.assert_is(&scene, "t").await;
    // A consumer that waits for the end of a snapshot need not wait for one that never comes.
    assert_ended(&records, scene.partitions, 1);
}

#[tokio::test]
async fn a_slot_made_by_somebody_else_is_streamed_from_its_beginning() {
    let scene = Scene::new("prepared", TEN_ROWS).await;
    let create = "select pg_create_logical_replication_slot($1, 'pgoutput')::text";
    let publish = format!("create publication {} for table t", scene.name);
    scene.sql(&publish).await;
    scene
        .database
        .query_one(create, &[&scene.name])
        .await
        .unwrap();
    scene
        .sql("insert into t values (11, 'after the slot')")
        .await;
    scene.replicate("never").await;
    let content = Content::of(&scene.records("t"));
    assert_eq!((content.count("r"), content.count("c")), (0, 1));

    // Where the tables are to be read it is kept, and what it holds of before the reading is dropped.
    let scene = Scene::new("beside", TEN_ROWS).await;
    scene
        .sql(&format!("create publication {} for table t", scene.name))
        .await;
    scene
        .database
        .query_one(create, &[&scene.name])
        .await
        .unwrap();
    scene
        .sql("insert into t values (11, 'before the reading'); delete from t where id = 1")
        .await;
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene.sql("update t set note = 'live' where id <= 3").await;
    scene.drain(replicator).await;
    let records = scene.records("t");
    let content = Content::of(&records);
    let ops = ["r", "c", "u", "d"].map(|op| content.count(op));
    assert_eq!(ops, [10, 0, 2, 0]);
    content.assert_is(&scene, "t").await;
    assert_ended(&records, scene.partitions, 1);
    assert_eq!(scene.slots().await, [scene.name.as_str()]);
}

#[tokio::test]
async fn only_reads_the_tables_and_ends() {
    let scene = Scene::new("only", TEN_ROWS).await;
    let only = scene.config("only", "");
    let first = Tidewater::run(&["replicate"], &only);
    assert_eq!(first.code(), Some(0), "{}", first.log);
    assert!(!first.log.contains("streaming resume"), "{}", first.log);
    assert!(scene.slots().await.is_empty(), "{:?}", scene.slots().await);
    let records = scene.records("t");
    let content = Content::of(&records);
    assert_eq!((content.count("r"), content.count("t")), (10, 0));
    content.assert_is(&scene, "t").await;
    assert_ended(&records, scene.partitions, 1);

    // Read again, the rows of the first time are void: one of them is gone by now.
    scene
        .sql("delete from t where id = 4; insert into t values (11, 'between')")
        .await;
    let second = Tidewater::run(&["replicate"], &only);
    assert_eq!(second.code(), Some(0), "{}", second.log);
    let records = scene.records("t");
    let content = Content::of(&records);
    assert_eq!((content.count("r"), content.count("t")), (20, 3));
    content.assert_is(&scene, "t").await;
    assert_ended(&records, scene.partitions, 2);
    assert_eq!(content.epochs, [1]);

    // Nothing was streamed in between, so a stream cannot go on from there.
    let words = ["are missing", "when-needed"];
    refused(&["replicate"], &scene.config("initial", ""), 15, &words);
}

#[tokio::test]
async fn only_is_refused_where_a_stream_has_its_position() {
    let scene = Scene::new("exists", TEN_ROWS).await;
    scene.replicate("initial").await;
    scene
        .sql("insert into t values (11, 'not published yet')")
        .await;
    let before = scene.position();
    let words = [
        "streams already",
        "kafka.prefix",
        "source.slot",
        &scene.name,
    ];
    refused(&["replicate"], &scene.config("only", ""), 2, &words);
    assert_eq!(scene.position(), before);
    // What it would have passed over is still published.
    scene.replicate("initial").await;
    let content = Content::of(&scene.records("t"));
    assert_eq!((content.count("r"), content.count("c")), (10, 1));
    content.assert_is(&scene, "t").await;
}

#[tokio::test]
async fn a_dropped_slot_is_refused_unless_the_tables_may_be_read_again() {
    let scene = Scene::new("dropped", TEN_ROWS).await;
    scene.replicate("when-needed").await;
    scene.drop_slot().await;
    starts_over(&scene).await;
}

#[tokio::test]
async fn a_lost_slot_is_refused_unless_the_tables_may_be_read_again() {
    let small = [
        "wal_level=logical",
        "max_slot_wal_keep_size=1MB",
        "max_wal_size=32MB",
        "min_wal_size=32MB",
    ];
    let server = Postgres::start(&small);
    let scene = Scene::at(&server, "lost", TEN_ROWS).await;
    scene.replicate("when-needed").await;
    until("the slot to be lost", async || {
        let waste = "select pg_logical_emit_message(false, 'waste', repeat('x', 1000000))";
        scene.sql(waste).await;
        scene.sql("select pg_switch_wal()").await;
        scene.sql("checkpoint").await;
        let sql = "select wal_status = 'lost' from pg_replication_slots where slot_name = $1";
        scene
            .database
            .query_one(sql, &[&scene.name])
            .await
            .unwrap()
            .get(0)
    })
    .await;
    // It may be lost after it was looked at.
    let connection: Connection = server.url().parse().unwrap();
    let session = Session::connect(&connection, SessionKind::Replication, &[]).await;
    let options = [("proto_version", "1"), ("publication_names", "p")];
    let session = session.unwrap();
    let lost = session.start_replication(&scene.name, Lsn::ZERO, &options);
    let lost = lost.await.expect_err("lost");
    assert!(matches!(lost, Error::SlotLost { .. }), "{lost:?}");
    starts_over(&scene).await;
}

/// The slot of a scene that has streamed its ten rows can't be resumed: `initial` and `never` refuse to
/// start, `when-needed` reads the tables in the next epoch and leaves no ghost of a row.
async fn starts_over(scene: &Scene) {
    scene
        .sql("delete from t where id <= 4; update t set note = 'unseen' where id = 5")
        .await;
    scene.sql("insert into t values (11, 'unseen')").await;
    let before = scene.position();
    for mode in ["initial", "never"] {
        let words = [
            "are missing",
            &scene.name,
            "source.snapshot = \"when-needed\"",
        ];
        refused(&["replicate"], &scene.config(mode, ""), 15, &words);
    }
    assert_eq!(scene.position(), before);

    let replicator = scene.stream(&scene.config("when-needed", "")).await;
    scene
        .sql("insert into t values (12, 'live'); delete from t where id = 5")
        .await;
    scene.drain(replicator).await;
    let records = scene.records("t");
    let content = Content::of(&records);
    let ops = ["r", "c", "u", "d", "t"].map(|op| content.count(op));
    assert_eq!(ops, [10 + 7, 1, 0, 1, 3]);
    assert_eq!(content.epochs, [1, 2]);
    content.assert_is(scene, "t").await;
    assert_ended(&records, scene.partitions, 2);
    // And from there it resumes.
    scene.sql("insert into t values (13, 'later')").await;
    scene.replicate("initial").await;
    let content = Content::of(&scene.records("t"));
    assert_eq!((content.count("r"), content.count("c")), (17, 2));
    content.assert_is(scene, "t").await;
}
