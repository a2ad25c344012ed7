//! A publication that tidewater has made: what `source.tables` matches later is added to it, and read.

use super::joined::{config, create, finished, joined};
use super::{Tidewater, assert_fits};
use crate::starts::Scene;
use crate::starts::content::Content;
use crate::support::{unique, until};

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
