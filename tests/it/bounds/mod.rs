//! Sources that go to the limits: large values, many columns, many tables.

mod large;
mod many;
mod wide;

use serde_json::Value;

use crate::model::{Record, read_topic};
use crate::starts::Scene;
use crate::support::kafka_brokers;

/// Values of records in the order of their partition, without tombstones and marks.
fn values(records: &[Record]) -> Vec<Value> {
    let values = records.iter().filter_map(|record| record.value.as_deref());
    values
        .map(|value| serde_json::from_slice(value).unwrap())
        .collect()
}

/// What was passed over, in its order.
fn passed_over(scene: &Scene) -> Vec<Value> {
    let topic = format!("{}.passed-over", scene.name);
    values(&read_topic(&kafka_brokers(), &topic))
}
