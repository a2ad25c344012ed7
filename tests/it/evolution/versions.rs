//! Columns, keys and identities that change, with rows before, between and after in one transaction.

use super::{columns, inserted, versions};
use crate::starts::Scene;

#[tokio::test]
async fn each_row_has_the_columns_of_its_place() {
    let tables = "
        create table t (id bigint primary key, a integer, note varchar(10) not null default 'none');
        insert into t values (0, 0, 'zero')";
    let scene = Scene::new("columns", tables).await;
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene
        .sql(
            "begin;
             insert into t values (1, 1, 'one');
             alter table t add b numeric(6,2);
             insert into t values (2, 2, 'two', 2);
             alter table t drop a;
             insert into t values (3, 'three', 3);
             alter table t rename note to remark;
             insert into t values (4, 'four', 4);
             alter table t alter b type text;
             insert into t values (5, 'five', 'b');
             alter table t alter remark type varchar(20), alter remark drop not null;
             insert into t values (6, null, 'b');
             commit",
        )
        .await;
    scene.drain(replicator).await;
    assert_eq!(
        inserted(&scene, "t"),
        [
            r#"{"a":0,"id":0,"note":"zero"}"#,
            r#"{"a":1,"id":1,"note":"one"}"#,
            r#"{"a":2,"b":"2.00","id":2,"note":"two"}"#,
            r#"{"b":"3.00","id":3,"note":"three"}"#,
            r#"{"b":"4.00","id":4,"remark":"four"}"#,
            r#"{"b":"b","id":5,"remark":"five"}"#,
            r#"{"b":"b","id":6,"remark":null}"#,
        ]
    );
    let versions = versions(&scene);
    assert_eq!(
        columns(&versions, "t"),
        [
            "id bigint, a integer, note character varying(10)",
            "id bigint, a integer, note character varying(10), b numeric(6,2)",
            "id bigint, note character varying(10), b numeric(6,2)",
            "id bigint, remark character varying(10), b numeric(6,2)",
            "id bigint, remark character varying(10), b text",
            "id bigint, remark character varying(20), b text",
        ]
    );
    let note = &versions[0]["columns"][2];
    assert_eq!(
        (&note["nullable"], &note["default"]),
        (&false.into(), &"'none'::character varying".into())
    );
    assert_eq!(versions[0]["key"], serde_json::json!(["id"]));
    assert_eq!(versions[0]["topic"], scene.topic("t"));
    // The version's position is that of its first row.
    let positions: Vec<String> = scene
        .records("t")
        .iter()
        .filter_map(|record| {
            serde_json::from_slice::<serde_json::Value>(record.value.as_deref()?).ok()
        })
        .map(|event| event["source"]["position"].as_str().unwrap().to_owned())
        .collect();
    for version in &versions {
        let position = version["position"].as_str().unwrap().to_owned();
        assert!(positions.contains(&position), "{version} {positions:?}");
    }
}

#[tokio::test]
async fn keys_and_identities_change() {
    let tables = "create table t (id bigint not null, area bigint not null, note text,
        constraint t_key primary key (id))";
    let scene = Scene::new("keys", tables).await;
    let replicator = scene.stream(&scene.config("initial", "")).await;
    for change in [
        "insert into t values (1, 1, 'a'), (2, 2, 'b')",
        "begin; update t set note = 'c' where id = 1;
         alter table t drop constraint t_key, add constraint t_pair primary key (area, id);
         update t set note = 'd' where id = 1; commit",
        "alter table t replica identity full",
        "delete from t where id = 1",
        "create unique index told on t (id); alter table t replica identity using index told",
        "update t set id = 3 where id = 2",
    ] {
        for statement in change.split(';') {
            scene.sql(statement).await;
        }
    }
    scene.drain(replicator).await;
    let mut events: Vec<(String, String, String)> = scene
        .records("t")
        .iter()
        .filter_map(|record| {
            let event: serde_json::Value = serde_json::from_slice(record.value.as_deref()?).ok()?;
            let key = String::from_utf8(record.key.clone()?).unwrap();
            let text = |part: &serde_json::Value| part.as_str().unwrap_or_default().to_owned();
            Some((text(&event["source"]["position"]), text(&event["op"]), key))
        })
        .collect();
    events.sort_by_key(|(position, op, _)| (crate::model::position(position), op != "d"));
    let told: Vec<String> = events
        .iter()
        .map(|(_, op, key)| format!("{op} {key}"))
        .collect();
    assert_eq!(
        told,
        [
            r#"c {"id":1}"#,
            r#"c {"id":2}"#,
            r#"u {"id":1}"#,
            r#"u {"area":1,"id":1}"#,
            r#"d {"area":1,"id":1}"#,
            r#"d {"id":2}"#,
            r#"c {"id":3}"#,
        ]
    );
    let versions: Vec<String> = versions(&scene)
        .iter()
        .map(|version| format!("{} {}", version["replica_identity"], version["key"]))
        .collect();
    assert_eq!(
        versions,
        [
            r#""default" ["id"]"#,
            r#""default" ["area","id"]"#,
            r#""full" ["area","id"]"#,
            r#""index" ["id"]"#,
        ]
    );
}

#[tokio::test]
async fn what_is_hidden_is_not_in_the_versions_either() {
    let tables = "create table t (id bigint primary key, secret text default 'hush', pin integer)";
    let scene = Scene::new("hidden", tables).await;
    let mask = "[[transform]]\ncolumns = [\"*.*.pin\"]\naction = \"mask\"\n";
    let config = scene
        .config("initial", mask)
        .replace("[kafka]", "columns = [\"!*.*.secret\"]\n[kafka]");
    let replicator = scene.stream(&config).await;
    scene.drain(replicator).await;
    let versions = versions(&scene);
    assert_eq!(columns(&versions, "t"), ["id bigint, pin text"]);
    assert!(!format!("{versions:?}").contains("hush"));
}
