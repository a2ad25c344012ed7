//! What the configuration makes of columns, values, keys and topics, on real servers.

mod columns;
mod keys;
mod messages;
mod topics;
mod transactions;
mod unchanged;

use serde_json::Value;

use crate::model::Record;

/// Keys and values of a topic's events, without tombstones and marks, in the order of the source; the
/// delete of a changed key stands before its create, whatever partitions they are in.
fn events(records: &[Record]) -> Vec<(Value, Value)> {
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let mut events: Vec<(Value, Value)> = records
        .iter()
        .filter_map(|record| {
            let value = json(record.value.as_deref()?);
            Some((record.key.as_deref().map_or(Value::Null, json), value))
        })
        .collect();
    events.sort_by_key(|(_, event)| {
        let text = event["source"]["position"].as_str().unwrap().to_owned();
        (crate::model::position(&text), event["op"] != "d")
    });
    events
}
