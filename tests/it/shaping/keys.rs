//! Record keys other than the primary key.

use serde_json::{Value, json};
use tidewater::exit::ExitCode;

use super::events;
use crate::starts::Scene;
use crate::support::Tidewater;

const ROUTE: &str = r#"
    [[route]]
    tables = ["public.payments"]
    key = ["customer", "kind"]
"#;

const TABLE: &str = "
    create table payments (id bigint primary key, customer bigint, kind text not null, amount integer);
    insert into payments values (1, 7, 'card', 10)";

/// `op`, key, and what the headers say of the other key.
fn told(records: &[crate::model::Record]) -> Vec<(String, Value)> {
    events(records)
        .into_iter()
        .map(|(key, event)| (event["op"].as_str().unwrap().to_owned(), key))
        .collect()
}

#[tokio::test]
async fn an_update_of_the_chosen_columns_moves_the_row() {
    let scene = Scene::new("chosen", TABLE).await;
    scene
        .sql("alter table payments replica identity full")
        .await;
    let replicator = scene.stream(&scene.config("initial", ROUTE)).await;
    let changes = "
        insert into payments values (2, null, 'cash', 20);
        update payments set amount = 11 where id = 1;
        update payments set id = 3 where id = 1;
        update payments set customer = 8 where id = 3;
        update payments set customer = 9 where id = 2;
        delete from payments where id = 3";
    for change in changes.split(';') {
        scene.sql(change).await;
    }
    scene.drain(replicator).await;
    let key = |customer: Value, kind: &str| json!({"customer": customer, "kind": kind});
    let told_of = |op: &str, key: Value| (op.to_owned(), key);
    let records = scene.records("payments");
    assert_eq!(
        told(&records),
        [
            told_of("r", key(json!(7), "card")),
            told_of("c", key(Value::Null, "cash")),
            told_of("u", key(json!(7), "card")),
            // The primary key is a column like any other.
            told_of("u", key(json!(7), "card")),
            told_of("d", key(json!(7), "card")),
            told_of("c", key(json!(8), "card")),
            told_of("d", key(Value::Null, "cash")),
            told_of("c", key(json!(9), "cash")),
            told_of("d", key(json!(8), "card")),
        ]
    );
    let header = |name: &str| {
        records
            .iter()
            .filter_map(|record| record.header(name))
            .count()
    };
    assert_eq!(
        ["__debezium.newkey", "__debezium.oldkey"].map(header),
        [2, 2]
    );
    let deleted = events(&records)
        .into_iter()
        .find(|(_, event)| event["op"] == "d");
    assert_eq!(deleted.unwrap().1["before"]["customer"], 7);
}

#[tokio::test]
async fn a_key_whose_old_values_are_not_sent_is_refused() {
    let scene = Scene::new("unsent", TABLE).await;
    let refused = || {
        let ended = Tidewater::run(&["replicate"], &scene.config("initial", ROUTE));
        let ended = ended.expect(ExitCode::SourceTables);
        let words =
            "names column customer, whose old value the server does not send: run alter table";
        assert!(ended.log.contains(words), "{}", ended.log);
    };
    refused();
    // The same once it streams: an identity that was enough is taken away.
    scene
        .sql("alter table payments replica identity full")
        .await;
    let replicator = scene.stream(&scene.config("initial", ROUTE)).await;
    scene
        .sql("alter table payments replica identity default")
        .await;
    scene
        .sql("insert into payments values (5, 5, 'card', 5)")
        .await;
    let ended = replicator.wait(std::time::Duration::from_mins(1));
    assert_eq!(
        ended.code(),
        Some(ExitCode::SourceTables as i32),
        "{}",
        ended.log
    );
    // An index that holds the key's columns will do.
    let indexed = "
        alter table payments alter customer set not null;
        create unique index told on payments (kind, customer, id);
        alter table payments replica identity using index told";
    for statement in indexed.split(';') {
        scene.sql(statement).await;
    }
    scene
        .sql("update payments set customer = 6 where id = 5")
        .await;
    // The stream goes on before the identity was changed.
    Tidewater::run(&["replicate"], &scene.config("initial", ROUTE)).expect(ExitCode::SourceTables);
}
