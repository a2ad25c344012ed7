//! Tables that come, go, and get other names while they are replicated.

use tidewater::kafka::Admin;

use super::{columns, inserted, versions};
use crate::starts::Scene;

async fn run(scene: &Scene, statements: &str) {
    for statement in statements.split(';') {
        scene
            .sql(&statement.replace("PUBLICATION", &scene.name))
            .await;
    }
}

/// What joins is not read: these tests are of the stream.
fn streamed(scene: &Scene) -> String {
    let config = scene.config("initial", "");
    config.replace("[kafka]", "added_tables = \"stream\"\n[kafka]")
}

#[tokio::test]
async fn tables_are_added_dropped_and_renamed() {
    let tables =
        "create table t (id bigint primary key); create table gone (id bigint primary key)";
    let scene = Scene::new("tables", tables).await;
    let replicator = scene.stream(&streamed(&scene)).await;
    run(
        &scene,
        "comment on publication PUBLICATION is null;
         insert into t values (1);
         create table u (id bigint primary key, note text);
         alter publication PUBLICATION add table u;
         insert into u values (1, 'a');
         alter table t rename to s;
         insert into s values (2);
         insert into gone values (1);
         alter publication PUBLICATION drop table gone;
         insert into gone values (2);
         alter table u rename to v;
         alter table s rename to u;
         insert into u values (3);
         insert into v values (2, 'b');
         drop table v",
    )
    .await;
    scene.drain(replicator).await;
    assert_eq!(inserted(&scene, "t"), [r#"{"id":1}"#]);
    assert_eq!(inserted(&scene, "s"), [r#"{"id":2}"#]);
    assert_eq!(
        inserted(&scene, "u"),
        [r#"{"id":1,"note":"a"}"#, r#"{"id":3}"#]
    );
    assert_eq!(inserted(&scene, "v"), [r#"{"id":2,"note":"b"}"#]);
    assert_eq!(inserted(&scene, "gone"), [r#"{"id":1}"#]);
    let versions = versions(&scene);
    assert_eq!(columns(&versions, "s"), ["id bigint"]);
    assert_eq!(
        columns(&versions, "u"),
        ["id bigint, note text", "id bigint"]
    );
    assert_eq!(columns(&versions, "v"), ["id bigint, note text"]);
}

#[tokio::test]
async fn partitions_and_enumerations_grow() {
    let tables = "
        create type mood as enum ('sad');
        create table days (day date, id bigint, mood mood, primary key (day, id)) partition by range (day);
        create table days_1 partition of days for values from ('2026-01-01') to ('2026-02-01')";
    let scene = Scene::new("grow", tables).await;
    let replicator = scene.stream(&streamed(&scene)).await;
    run(
        &scene,
        "comment on publication PUBLICATION is null;
         insert into days values ('2026-01-01', 1, 'sad');
         alter type mood add value 'happy';
         insert into days values ('2026-01-01', 2, 'happy');
         create table days_2 (like days including all);
         insert into days_2 values ('2026-02-01', 1, 'sad');
         alter table days attach partition days_2 for values from ('2026-02-01') to ('2026-03-01');
         insert into days values ('2026-02-01', 2, 'happy');
         alter table days detach partition days_1;
         insert into days_1 values ('2026-01-01', 3, 'sad')",
    )
    .await;
    scene.drain(replicator).await;
    let row =
        |day: &str, id: i64, mood: &str| format!(r#"{{"day":"{day}","id":{id},"mood":"{mood}"}}"#);
    assert_eq!(
        inserted(&scene, "days_1"),
        [row("2026-01-01", 1, "sad"), row("2026-01-01", 2, "happy")]
    );
    assert_eq!(inserted(&scene, "days_2"), [row("2026-02-01", 2, "happy")]);
    assert_eq!(versions(&scene).len(), 2);
}

#[tokio::test]
async fn what_no_pattern_matches_is_not_published() {
    let tables = "
        create table t (id bigint primary key);
        create table other (id bigint primary key);
        create table parts (id bigint primary key) partition by range (id);
        create table piece partition of parts for values from (0) to (100)";
    let scene = Scene::new("wide", tables).await;
    run(&scene, "create publication PUBLICATION for all tables").await;
    let config = scene.config("initial", "").replace(
        "[kafka]",
        "tables = [\"public.t\", \"public.parts\"]\n[kafka]",
    );
    let replicator = scene.stream(&config).await;
    run(
        &scene,
        "begin;
         insert into other values (1);
         insert into t values (1);
         insert into piece values (1);
         truncate other, t;
         delete from other;
         insert into t values (2);
         commit",
    )
    .await;
    scene.drain(replicator).await;
    assert_eq!(inserted(&scene, "t"), [r#"{"id":1}"#, r#"{"id":2}"#]);
    assert_eq!(inserted(&scene, "piece"), [r#"{"id":1}"#]);
    let admin = Admin::new(&scene.kafka()).unwrap();
    assert_eq!(admin.partitions(&scene.topic("other")).unwrap(), None);
    assert!(columns(&versions(&scene), "other").is_empty());
}
