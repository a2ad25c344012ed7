//! Events as both systems have to write them, without what no two systems have in common.

use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::Record;

/// Masked in `source` wherever it stands: each system has its own version, name, and memory of the
/// commit before.
const SOURCE: [&str; 3] = ["version", "name", "sequence"];
/// Masked in `source` of a row read by a snapshot: each system took its own.
const SOURCE_OF_READS: [&str; 6] = ["ts_ms", "ts_us", "ts_ns", "snapshot", "txId", "lsn"];
/// Masked in `source` of a message between two transactions, which has no commit.
const SOURCE_OF_LONE: [&str; 3] = ["ts_ms", "ts_us", "ts_ns"];
/// Debezium's and tidewater's name for where messages come from.
const MESSAGES: [&str; 2] = ["LogicalDecodingMessageId@", "LOGICAL_DECODING_MESSAGE"];
/// Masked beside `source`: when the event was made.
const CLOCK: [&str; 3] = ["ts_ms", "ts_us", "ts_ns"];
/// Headers that Debezium puts on every record.
const CONTEXT: &str = "__debezium.context.";

/// Key, value and headers of one record, as text.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    /// The value before anything is masked.
    pub(super) raw: serde_json::Value,
}

impl Event {
    /// `None` for the mark at the end of tidewater's snapshots, which is neither event nor tombstone.
    pub(super) fn of(record: Record) -> Option<Event> {
        if record.header("tidewater.mark").is_some() {
            return None;
        }
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
        let mut headers = record.headers;
        headers.retain(|(name, _)| !name.starts_with(CONTEXT));
        let value = text(record.value);
        let parsed = value.as_deref().map(|value| {
            let value: serde_json::Value =
                serde_json::from_str(value).unwrap_or_else(|error| panic!("{error}: {value}"));
            value.get("payload").cloned().unwrap_or(value)
        });
        Some(Event {
            key: text(record.key).map(|key| labels_before(&key)),
            value: value.map(|value| ordered(&value).unwrap_or_else(|| masked(&value))),
            headers,
            raw: parsed.unwrap_or_default(),
        })
    }

    /// A member of the value, by its path, as it is written; empty when it is not there.
    pub(super) fn member(&self, path: &[&str]) -> String {
        let mut json = self.value.clone().unwrap_or_default();
        for name in path {
            let found = members(&json).and_then(|members| {
                let named = members.0.into_iter().find(|(member, _)| member == name);
                named.map(|(_, value)| value.get().to_owned())
            });
            json = found.unwrap_or_default();
        }
        json
    }
}

/// An object's members in their order, each value as it is written.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// `None` for what is no object.
fn members(json: &str) -> Option<Members> {
    serde_json::from_str(json).ok()
}

/// Without the label that was added meanwhile, which Debezium has after the next change of a table.
fn labels_before(schema: &str) -> String {
    schema.replace("sad,happy,new", "sad,happy")
}

/// A record of a transaction has nothing that is masked, but its collections are in the order of a hash
/// table, and messages among them under the addresses of objects.
fn ordered(value: &str) -> Option<String> {
    let record = members(value)?;
    if let [schema, (payload, record)] = record.0.as_slice()
        && payload == "payload"
    {
        let record = ordered(record.get())?;
        return Some(format!(
            "{{\"schema\":{},\"payload\":{record}}}",
            schema.1.get()
        ));
    }
    if record.0.first().is_none_or(|(name, _)| name != "status") {
        return None;
    }
    let member = |(name, value): &(String, Box<RawValue>)| {
        let mut value = value.get().to_owned();
        if name == "data_collections" && value != "null" {
            let mut counts: Vec<Box<RawValue>> = serde_json::from_str(&value).unwrap();
            counts.retain(|count| !MESSAGES.iter().any(|name| count.get().contains(name)));
            counts.sort_by(|one, other| one.get().cmp(other.get()));
            let counts: Vec<&str> = counts.iter().map(|count| count.get()).collect();
            value = format!("[{}]", counts.join(","));
        }
        format!("\"{name}\":{value}")
    };
    let parts: Vec<String> = record.0.iter().map(member).collect();
    Some(format!("{{{}}}", parts.join(",")))
}

/// An envelope with a star for each member that is masked, everything else as it was written.
fn masked(value: &str) -> String {
    let envelope = members(value).unwrap_or_else(|| panic!("no envelope: {value}"));
    if let [(schema, described), (payload, envelope)] = envelope.0.as_slice() {
        assert_eq!((schema.as_str(), payload.as_str()), ("schema", "payload"));
        let masked = masked(envelope.get());
        let described = labels_before(described.get());
        return format!("{{\"schema\":{described},\"payload\":{masked}}}");
    }
    let is_read = envelope
        .0
        .iter()
        .any(|(name, value)| name == "op" && value.get() == r#""r""#);
    let is_message = envelope.0.iter().any(|(name, _)| name == "message");
    let written = |name: &str, value: &RawValue| {
        if name == "source" {
            let source = members(value.get()).unwrap();
            let is_null =
                |(name, value): &(String, Box<RawValue>)| name == "txId" && value.get() == "null";
            let is_lone = is_message && source.0.iter().any(is_null);
            with_stars(&source, |name| {
                SOURCE.contains(&name)
                    || is_read && SOURCE_OF_READS.contains(&name)
                    || is_lone && SOURCE_OF_LONE.contains(&name)
            })
        } else if name == "transaction" && is_message && value.get() != "null" {
            with_stars(&members(value.get()).unwrap(), |name| {
                name == "data_collection_order"
            })
        } else {
            value.get().to_owned()
        }
    };
    let parts: Vec<String> = envelope
        .0
        .iter()
        .map(|(name, value)| {
            let value = if CLOCK.contains(&name.as_str()) {
                "\"*\"".to_owned()
            } else {
                written(name, value)
            };
            format!("\"{name}\":{value}")
        })
        .collect();
    format!("{{{}}}", parts.join(","))
}

fn with_stars(members: &Members, is_masked: impl Fn(&str) -> bool) -> String {
    let parts = members.0.iter().map(|(name, value)| {
        let value = if is_masked(name) {
            "\"*\""
        } else {
            value.get()
        };
        format!("\"{name}\":{value}")
    });
    format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
}

/// What differs between two lists of events, one line for each difference; empty when they are equal.
pub(super) fn differences(theirs: &[Event], ours: &[Event]) -> String {
    let mut found = String::new();
    for (place, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        let at = format!("  event {place}");
        compare(
            &format!("{at}, key"),
            theirs.key.as_deref(),
            ours.key.as_deref(),
            &mut found,
        );
        compare(
            &at,
            theirs.value.as_deref(),
            ours.value.as_deref(),
            &mut found,
        );
        if theirs.headers != ours.headers {
            let (theirs, ours) = (&theirs.headers, &ours.headers);
            let _ = writeln!(found, "{at}, headers: {theirs:?} but ours {ours:?}");
        }
    }
    if theirs.len() != ours.len() {
        let (theirs, ours) = (theirs.len(), ours.len());
        let _ = writeln!(found, "  {theirs} events but ours {ours}");
    }
    found
}

fn compare(path: &str, theirs: Option<&str>, ours: Option<&str>, found: &mut String) {
    if theirs == ours {
        return;
    }
    let (of_theirs, of_ours) = (theirs.and_then(members), ours.and_then(members));
    if let (Some(of_theirs), Some(of_ours)) = (of_theirs, of_ours) {
        let names = |members: &Members| -> Vec<String> {
            members.0.iter().map(|(name, _)| name.clone()).collect()
        };
        if names(&of_theirs) == names(&of_ours) {
            for ((name, theirs), (_, ours)) in of_theirs.0.iter().zip(&of_ours.0) {
                let path = format!("{path}.{name}");
                compare(&path, Some(theirs.get()), Some(ours.get()), found);
            }
            return;
        }
    }
    let (theirs, ours) = (theirs.unwrap_or("nothing"), ours.unwrap_or("nothing"));
    let _ = writeln!(found, "{path}: {theirs} but ours {ours}");
}

#[test]
fn only_what_is_listed_is_masked() {
    let value = concat!(
        r#"{"before":null,"after":{"name":"x","ts_ms":1, "a":[ 1.0]},"source":{"version":"1","name":"p","#,
        r#""sequence":"[\"1\",\"2\"]","txId":7,"ts_ms":4,"origin":null},"op":"c","ts_ms":5}"#
    );
    let expected = concat!(
        r#"{"before":null,"after":{"name":"x","ts_ms":1, "a":[ 1.0]},"source":{"version":"*","name":"*","#,
        r#""sequence":"*","txId":7,"ts_ms":4,"origin":null},"op":"c","ts_ms":"*"}"#
    );
    assert_eq!(masked(value), expected);
    let read = masked(&value.replace(r#""op":"c""#, r#""op":"r""#));
    assert!(
        read.contains(r#""txId":"*","ts_ms":"*","origin":null}"#),
        "{read}"
    );
}
