//! Updates that show no change.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::events;
use crate::model::read_topic;
use crate::starts::Scene;
use crate::support::kafka_brokers;

const TABLES: &str = "
    create table whole (id bigint primary key, n numeric, phone text, note text);
    alter table whole replica identity full;
    create table keyed (id bigint primary key, big text, note text);
    alter table keyed alter big set storage external";

/// Operations and ordinals of what was streamed.
fn told(scene: &Scene, table: &str) -> Vec<(String, u64)> {
    let streamed = events(&scene.records(table)).into_iter();
    streamed
        .map(|(_, event)| {
            let position = event["source"]["position"].as_str().unwrap();
            let ordinal = position.rsplit(':').next().unwrap().parse().unwrap();
            (event["op"].as_str().unwrap().to_owned(), ordinal)
        })
        .collect()
}

fn expected(told: &[(&str, u64)]) -> Vec<(String, u64)> {
    told.iter()
        .map(|(op, ordinal)| ((*op).to_owned(), *ordinal))
        .collect()
}

#[tokio::test]
async fn updates_that_show_no_change_are_left_out() {
    let scene = Scene::new("unchanged", TABLES).await;
    let more = "[format]\nskip_unchanged = true\ntransactions = true\n
        [[transform]]\ncolumns = [\"*.*.phone\"]\naction = \"mask\"\n";
    let config = scene
        .config("initial", more)
        .replace("[kafka]", "columns = [\"!*.whole.note\"]\n[kafka]");
    let replicator = scene.stream(&config).await;
    let updates = "
        update whole set n = n;
        update whole set note = 'other', phone = '0160';
        update whole set n = 1.50;
        update whole set id = 2;
        update whole set phone = null;
        insert into keyed values (1, 'a', 'b');
        update keyed set note = note";
    scene
        .sql(&format!(
            "begin; insert into whole values (1, 1.5, '0151', 'secret'); {updates}; commit"
        ))
        .await;
    // A transaction that shows nothing is told of all the same, as any of which nothing is published.
    scene.sql("update whole set n = n").await;
    scene.drain(replicator).await;

    let whole = [("c", 1), ("u", 4), ("d", 5), ("c", 5), ("u", 6)];
    assert_eq!(told(&scene, "whole"), expected(&whole));
    // The server has sent no old row: nothing is known.
    assert_eq!(told(&scene, "keyed"), expected(&[("c", 7), ("u", 8)]));
    let orders: Vec<Value> = events(&scene.records("whole"))
        .into_iter()
        .map(|(_, event)| event["transaction"]["total_order"].clone())
        .collect();
    assert_eq!(orders, [1, 2, 3, 4, 5]);
    let records = read_topic(&kafka_brokers(), &format!("{}.transaction", scene.name));
    let counts: Vec<Value> = records
        .iter()
        .map(|record| {
            let end: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
            end["event_count"].clone()
        })
        .collect();
    assert_eq!(counts, [Value::Null, json!(7), Value::Null, json!(0)]);
}

#[tokio::test]
async fn the_row_store_knows_what_has_not_changed() {
    let scene = Scene::new("unchanged", TABLES).await;
    let directory = TempDir::new().unwrap();
    let more = format!(
        "[format]\nskip_unchanged = true\n[row_store]\npath = \"{}\"\n",
        directory.path().display()
    );
    let config = scene
        .config("initial", &more)
        .replace("[kafka]", "columns = [\"!*.keyed.note\"]\n[kafka]");
    let replicator = scene.stream(&config).await;
    scene
        .sql(
            "begin;
             insert into keyed values (1, repeat('x', 5000), 'a');
             update keyed set note = 'b';
             update keyed set big = big;
             update keyed set big = repeat('x', 4999) || 'x';
             update keyed set big = 'y';
             update keyed set big = 'y';
             update keyed set id = 2;
             update keyed set big = 'z';
             delete from keyed;
             commit",
        )
        .await;
    scene.drain(replicator).await;
    let all = [("c", 1), ("u", 5), ("d", 7), ("c", 7), ("u", 8), ("d", 9)];
    assert_eq!(told(&scene, "keyed"), expected(&all));
    let before: Vec<Value> = events(&scene.records("keyed"))
        .into_iter()
        .map(|(_, event)| event["before"]["big"].clone())
        .collect();
    let x = json!("x".repeat(5000));
    assert_eq!(
        before,
        [
            Value::Null,
            x,
            json!("y"),
            Value::Null,
            json!("y"),
            json!("z")
        ]
    );
}
