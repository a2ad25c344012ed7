//! Tables that join the publication when the stream has begun: their rows are read by themselves.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tidewater::connection::{Database, connect};
use tidewater::kafka::Admin;

use super::{Tidewater, assert_fits, journal, snapshot, source};
use crate::starts::Scene;
use crate::starts::content::Content;
use crate::support::load::Load;
use crate::support::until;

const ROWS: u64 = 6_000;

/// A table is looked for often, and read in many chunks.
pub(super) fn config(scene: &Scene, mode: &str) -> String {
    let more = "publication_interval = \"100ms\"\nsnapshot_rows_per_second = 4000\n[kafka]";
    scene.config(mode, "").replace("[kafka]", more)
}

/// A source with one table, which is published from the first start on, and a publication of somebody else's.
async fn scene(name: &str, published: &str) -> Scene {
    let table = "create table t (id bigint primary key, note text); insert into t values (1, 't')";
    let scene = Scene::new(name, table).await;
    let create = format!("create publication {} for {published}", scene.name);
    scene.sql(&create).await;
    scene
}

/// A table that nobody publishes yet.
pub(super) async fn create(scene: &Scene, table: &str) {
    scene
        .sql(&format!(
            "create table {table} (id bigint primary key, note text);
             insert into {table} select n, repeat(md5(n::text), 3) from generate_series(1, {ROWS}) as n"
        ))
        .await;
    journal(scene, table, &["id"]).await;
}

/// Alters the publication: `add table late` for instance.
pub(crate) async fn publication(scene: &Scene, change: &str) {
    let alter = format!("alter publication {} {change}", scene.name);
    scene.sql(&alter).await;
}

/// The requests that nobody has asked for, oldest first.
pub(super) fn joined(config: &str) -> Vec<Value> {
    let shown = snapshot(&["show"], config);
    let requests = shown.as_array().unwrap().iter();
    let joined = requests.filter(|request| request["joined"] == true);
    joined.cloned().collect()
}

/// Waits until so many of them have ended; what they are then.
pub(crate) async fn finished(config: &str, count: usize) -> Vec<Value> {
    let mut last = Vec::new();
    until("the tables that joined to be read", async || {
        last = joined(config);
        let failed = last.iter().any(|request| request["state"] == "failed");
        assert!(!failed, "{last:?}");
        let done = |request: &Value| request["state"] == "finished";
        last.len() == count && last.iter().all(done)
    })
    .await;
    last
}

fn statement(rng: &mut ChaCha8Rng) -> String {
    let id = rng.random_range(1..=ROWS + 500);
    match rng.random_range(0..10) {
        0..4 => format!(
            "insert into late values ({id}, 'new') on conflict (id) do update set note = 'again'"
        ),
        4..7 => format!("update late set note = note || 'x' where id = {id}"),
        7..9 => format!("delete from late where id = {id}"),
        _ => format!(
            "update late set id = {id} + 10000 where id = {id} and not exists (select from late where id = {id} + 10000)"
        ),
    }
}

/// A transaction that writes to the table, and stays open.
async fn writer(scene: &Scene, statements: &str) -> Database {
    let writer = connect(&source(scene)).await.unwrap();
    let begin = format!("begin; {statements}");
    writer.batch_execute(&begin).await.unwrap();
    writer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_joins_under_load_is_read_whole_and_in_order() {
    let scene = scene("joined_load", "table t").await;
    let config = config(&scene, "initial");
    let replicator = scene.stream(&config).await;
    create(&scene, "late").await;
    // Nobody else writes to this one: what is decoded of it is decided when that transaction is.
    create(&scene, "quiet").await;
    let load = Load::of(statement, &source(&scene), 3, Duration::from_millis(2));
    let open = writer(
        &scene,
        "update late set note = 'before' where id between 100 and 120;
         insert into late values (90000, 'before');
         update late set id = id + 50000 where id = 200;
         update quiet set note = 'before' where id between 100 and 120;
         delete from quiet where id = 200;
         insert into quiet values (90000, 'before')",
    )
    .await;
    publication(&scene, "add table late, quiet").await;
    until("the writer to be waited for", async || {
        replicator
            .log()
            .contains("when those have ended that were writing to it")
    })
    .await;
    open.batch_execute(
        "update late set note = 'behind' where id in (101, 90000);
         update quiet set note = 'behind' where id in (101, 90000)",
    )
    .await
    .unwrap();
    let admin = Admin::new(&scene.kafka()).unwrap();
    until("changes of the table", async || {
        let exists = admin.partitions(&scene.topic("late")).unwrap().is_some();
        exists && scene.records("late").len() > 100
    })
    .await;
    assert_eq!(
        joined(&config),
        [] as [Value; 0],
        "it is read while the writer is open"
    );
    open.batch_execute("commit").await.unwrap();
    finished(&config, 1).await;
    println!("under {} changes", load.stop().await);
    scene.drain(replicator).await;
    assert_fits(&scene, "quiet", 1).await;
    let (changes, reads) = assert_fits(&scene, "late", 1).await;
    assert!(
        changes > 100 && reads > 1_000,
        "{changes} changes, {reads} reads"
    );
    // What was there at the first start is not read again.
    let restarted = scene.stream(&config).await;
    scene.drain(restarted).await;
    assert_eq!(
        (
            joined(&config).len(),
            Content::of(&scene.records("t")).count("r")
        ),
        (1, 1)
    );
}

/// Steps, and at which arrival it dies.
const STEPS: [(&str, u64); 8] = [
    ("members.joined", 1),
    ("publish.before-commit", 1),
    ("ad-hoc.told", 1),
    ("ad-hoc.ordered", 1),
    ("ad-hoc.appended", 1),
    ("publish.committed", 2),
    ("ad-hoc.appended", 2),
    ("publish.before-commit", 3),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_joins_while_nobody_runs_is_read_once_across_crashes() {
    let scene = scene("joined_steps", "table t").await;
    // So slowly that each of the steps is reached.
    let config = config(&scene, "initial").replace("_second = 4000", "_second = 1000");
    let first = scene.stream(&config).await;
    scene.drain(first).await;
    create(&scene, "late").await;
    publication(&scene, "add table late").await;
    scene
        .sql("update late set note = 'away' where id % 5 = 0")
        .await;
    for (step, arrival) in STEPS {
        let crash = format!("{config}[debug]\ncrash_at = \"{step}:{arrival}\"\n");
        let victim = Tidewater::start(&["replicate"], &crash);
        victim.wait(Duration::from_mins(1)).died_at(step, arrival);
        scene
            .sql("update late set note = 'between' where id % 7 = 0")
            .await;
    }
    let replicator = scene.stream(&config).await;
    let request = finished(&config, 1).await.remove(0);
    assert_eq!(request["tables"], serde_json::json!(["public.late"]));
    scene.drain(replicator).await;
    let (_, reads) = assert_fits(&scene, "late", 1).await;
    assert!(reads > 1_000, "{reads}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_out_of_the_publication_is_voided_and_read_again() {
    let scene = scene("joined_again", "table t").await;
    let config = config(&scene, "when-needed");
    create(&scene, "late").await;
    publication(&scene, "add table late").await;
    let replicator = scene.stream(&config).await;
    scene
        .sql("update late set note = 'first' where id < 100")
        .await;
    let missed =
        "delete from late where id % 3 = 0; update late set note = 'missed' where id % 3 = 1";
    // Nobody sees that it was away.
    let (out, back) = ("drop table late", "add table late");
    let alter = |change: &str| format!("alter publication {} {change}", scene.name);
    scene
        .sql(&format!("{}; {missed}; {}", alter(out), alter(back)))
        .await;
    // That is one transaction, and has lost changes all the same.
    scene
        .sql("update late set note = 'behind' where id % 10 = 2")
        .await;
    finished(&config, 1).await;
    // And now it is seen.
    publication(&scene, out).await;
    until("the table to leave", async || {
        replicator.log().contains("has left the publication")
    })
    .await;
    scene
        .sql("delete from late where id % 10 = 1; update late set note = 'again' where id % 10 = 2")
        .await;
    publication(&scene, back).await;
    finished(&config, 2).await;
    scene
        .sql("update late set note = 'last' where id % 10 = 4")
        .await;
    scene.drain(replicator).await;
    assert_fits(&scene, "late", 3).await;
    let content = Content::of_part(&scene.records("late"));
    let partitions = usize::try_from(scene.partitions).unwrap();
    assert_eq!(
        content.count("t"),
        2 * partitions,
        "it is voided once each time"
    );
}

/// Another table of its name, too; and one without a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_created_under_all_tables_joins_by_itself() {
    let scene = scene("joined_all", "all tables").await;
    let config = config(&scene, "initial");
    let replicator = scene.stream(&config).await;
    // Nothing has to be read of it, so nothing is asked for.
    scene
        .sql("create table empty (id bigint primary key, note text)")
        .await;
    until("the empty table", async || {
        replicator
            .log()
            .contains("nothing is read of it table=public.empty")
    })
    .await;
    scene.sql("insert into empty values (1, 'streamed')").await;
    scene
        .sql(
            "create table made as select n as id, 'made' as note from generate_series(1, 500) as n;
             alter table made replica identity full;
             update made set note = 'changed' where id > 400",
        )
        .await;
    finished(&config, 1).await;
    scene
        .sql("drop table empty; create table empty (id bigint primary key, other integer)")
        .await;
    finished(&config, 2).await;
    scene.sql("insert into empty values (2, 7)").await;
    scene.drain(replicator).await;
    Content::of_part(&scene.records("empty"))
        .assert_is(&scene, "empty")
        .await;
    Content::of_part(&scene.records("made"))
        .assert_is(&scene, "made")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_to_be_read_is_known() {
    let scene = scene("joined_known", "table t").await;
    let config = config(&scene, "initial");
    let off = config.replace("[kafka]", "added_tables = \"stream\"\n[kafka]");
    let never = self::config(&scene, "never");
    for (table, config) in [("one", &off), ("two", &never)] {
        let replicator = scene.stream(config).await;
        create(&scene, table).await;
        publication(&scene, &format!("add table {table}")).await;
        until("the table", async || {
            let told = format!("nothing is read of it table=public.{table}");
            replicator.log().contains(&told)
        })
        .await;
        scene
            .sql(&format!("insert into {table} values (0, 'streamed')"))
            .await;
        scene.drain(replicator).await;
    }
    // Now that such tables are read, these are known.
    let replicator = scene.stream(&config).await;
    create(&scene, "three").await;
    publication(&scene, "add table three").await;
    finished(&config, 1).await;
    scene.drain(replicator).await;
    assert_fits(&scene, "three", 1).await;
    for table in ["one", "two"] {
        let content = Content::of_part(&scene.records(table));
        assert_eq!((content.count("c"), content.count("r")), (1, 0), "{table}");
    }
}
