//! Columns that are left out, masked, hashed and truncated.

use serde_json::{Value, json};
use tidewater::exit::ExitCode;

use super::events;
use crate::starts::Scene;
use crate::support::Tidewater;

const TABLE: &str = "
    create table customers (email text primary key, name text, phone text, age integer, note text);
    alter table customers replica identity full;
    insert into customers values ('a@example.com', 'Größe', '0151', 40, 'secret');";

/// Everything that can become of a column. The key is hashed.
const SHAPES: &str = r#"
    [format]
    hash_salt = "pepper"
    [[transform]]
    columns = ["public.customers.email"]
    action = "hash"
    [[transform]]
    columns = ["*.*./phone|fax/"]
    action = "mask"
    length = 3
    [[transform]]
    columns = ["*.*.name"]
    action = "truncate"
    length = 3
    [[transform]]
    columns = ["*.*.age"]
    action = "mask"
    value = "adult"
"#;

fn with_columns(config: &str) -> String {
    config.replace("[kafka]", "columns = [\"!*.*.note\"]\n[kafka]")
}

/// `sha256` of salt and value, as the server computes it.
async fn hash(scene: &Scene, value: &str) -> String {
    let sql = "select encode(sha256(convert_to('pepper' || $1, 'utf8')), 'hex')";
    scene
        .database
        .query_one(sql, &[&value])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn nothing_that_is_hidden_leaves_the_process() {
    let scene = Scene::new("hidden", TABLE).await;
    let config = with_columns(&scene.config("initial", SHAPES));
    let replicator = scene.stream(&config).await;
    let changes = "
        insert into customers values ('b@example.com', 'Bo', '0160', 41, repeat('secret', 1000));
        update customers set age = 42 where email = 'b@example.com';
        update customers set email = 'c@example.com' where email = 'b@example.com';
        delete from customers where email = 'a@example.com'";
    for change in changes.split(';') {
        scene.sql(change).await;
    }
    scene.drain(replicator).await;

    let (a, b, c) = (
        hash(&scene, "a@example.com").await,
        hash(&scene, "b@example.com").await,
        hash(&scene, "c@example.com").await,
    );
    let row = |email: &str, name: &str| json!({"email": email, "name": name, "phone": "***", "age": "adult"});
    let records = scene.records("customers");
    let found: Vec<(Value, Value, Value, Value)> = events(&records)
        .into_iter()
        .map(|(key, event)| {
            let part = |name: &str| event[name].clone();
            (key, part("op"), part("before"), part("after"))
        })
        .collect();
    let key = |email: &str| json!({"email": email});
    let null = Value::Null;
    assert_eq!(
        found,
        [
            (key(&a), json!("r"), null.clone(), row(&a, "Grö")),
            (key(&b), json!("c"), null.clone(), row(&b, "Bo")),
            (key(&b), json!("u"), row(&b, "Bo"), row(&b, "Bo")),
            (key(&b), json!("d"), row(&b, "Bo"), null.clone()),
            (key(&c), json!("c"), null.clone(), row(&c, "Bo")),
            (key(&a), json!("d"), row(&a, "Grö"), null),
        ]
    );
    for record in &records {
        let whole = format!("{record:?}");
        let text =
            |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).unwrap();
        let all = [whole, text(&record.key), text(&record.value)].concat();
        for hidden in ["example.com", "secret", "0151", "0160", "Größe", "note"] {
            assert!(!all.contains(hidden), "{hidden} in {all}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_not_one_any_more_is_refused() {
    let scene = Scene::new("nokey", TABLE).await;
    let refused = |config: &str, words: &str| {
        let ended = Tidewater::run(&["replicate"], config).expect(ExitCode::SourceTables);
        assert!(ended.log.contains(words), "{}", ended.log);
    };
    let excluded = scene
        .config("initial", "")
        .replace("[kafka]", "columns = [\"!*.*.email\"]\n[kafka]");
    refused(
        &excluded,
        "column email is excluded, but is part of the record key",
    );
    let truncated = SHAPES.replace("\"hash\"", "\"truncate\"\nlength = 1");
    refused(
        &scene.config("initial", &truncated),
        "column email is truncated, but is part of the record key",
    );
    let number = SHAPES.replace(
        "\"mask\"\n    value = \"adult\"",
        "\"truncate\"\n    length = 1",
    );
    refused(
        &scene.config("initial", &number),
        "column age cannot be truncated, since it is not text",
    );
}

#[tokio::test]
async fn the_rest_is_still_verified() {
    let scene = Scene::new("verified", TABLE).await;
    scene
        .sql("create table plain (id bigint primary key, name text)")
        .await;
    scene
        .sql("insert into plain select id, 'n' || id from generate_series(1, 50) id")
        .await;
    let shapes = SHAPES.replace("public.customers.email", "public.nothing.email");
    let config = with_columns(&scene.config("initial", &shapes));
    let replicator = scene.stream(&config).await;
    scene
        .sql("update customers set age = 1; update plain set name = 'other'")
        .await;
    let verify = |config: &str| Tidewater::run(&["verify", "--source-only"], config);
    verify(&config).expect(ExitCode::Success);
    let hashed = verify(&with_columns(&scene.config("initial", SHAPES)));
    let hashed = hashed.expect(ExitCode::Configuration);
    assert!(
        hashed.log.contains("its record key is hashed"),
        "{}",
        hashed.log
    );
    scene.drain(replicator).await;
}
