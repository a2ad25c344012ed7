//! Tables that change while they are replicated, and the schema versions that tell of it.

mod crashes;
mod policy;
mod tables;
mod versions;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::read_topic;
use crate::starts::Scene;
use crate::support::kafka_brokers;

/// Every version in the topic, in its order. Panics if one repeats the one before it of its table, or their
/// numbers have gaps.
fn versions(scene: &Scene) -> Vec<Value> {
    let topic = format!("{}.schema-changes", scene.name);
    let mut last: BTreeMap<String, Value> = BTreeMap::new();
    let mut versions = Vec::new();
    for record in read_topic(&kafka_brokers(), &topic) {
        let version: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let key: Value = serde_json::from_slice(record.key.as_deref().unwrap()).unwrap();
        assert_eq!(key["table"], version["table"]);
        let table = version["table"].as_str().unwrap().to_owned();
        let before = last.insert(table, version.clone());
        let number = before
            .as_ref()
            .map_or(0, |before| before["version"].as_u64().unwrap());
        assert_eq!(version["version"], number + 1, "{version}");
        let told = |version: &Value| {
            ["topic", "replica_identity", "key", "columns"].map(|part| version[part].clone())
        };
        assert_ne!(
            before.as_ref().map(told),
            Some(told(&version)),
            "{version} is there twice"
        );
        versions.push(version);
    }
    versions
}

/// Of each version of a table, its columns as `name type`.
fn columns(versions: &[Value], table: &str) -> Vec<String> {
    let of = |version: &Value| {
        let columns = version["columns"].as_array().unwrap().iter();
        let columns = columns.map(|column| {
            format!(
                "{} {}",
                column["name"].as_str().unwrap(),
                column["type"].as_str().unwrap()
            )
        });
        columns.collect::<Vec<_>>().join(", ")
    };
    versions
        .iter()
        .filter(|version| version["table"] == table)
        .map(of)
        .collect()
}

/// The rows that a table's inserts show, in the order of the source.
fn inserted(scene: &Scene, table: &str) -> Vec<String> {
    let mut events: Vec<Value> = scene
        .records(table)
        .iter()
        .filter_map(|record| serde_json::from_slice(record.value.as_deref()?).ok())
        .filter(|event: &Value| event["op"] == "c" || event["op"] == "r")
        .collect();
    events
        .sort_by_key(|event| crate::model::position(event["source"]["position"].as_str().unwrap()));
    events
        .iter()
        .map(|event| event["after"].to_string())
        .collect()
}
