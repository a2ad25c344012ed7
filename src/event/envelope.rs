//! Reading a change event back: what `retail`, `verify` and `tail` need of the envelope.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What happened to the row, or to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Operation {
    /// Insert.
    #[serde(rename = "c")]
    Create,
    /// Update.
    #[serde(rename = "u")]
    Update,
    /// Delete.
    #[serde(rename = "d")]
    Delete,
    /// Read by a snapshot.
    #[serde(rename = "r")]
    Read,
    /// Truncate of the table, or of one partition's keys (`source.scope`).
    #[serde(rename = "t")]
    Truncate,
    /// Logical message.
    #[serde(rename = "m")]
    Message,
}

/// A change event's value, borrowed from the record's bytes.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// The row before the change, as far as the source sent it.
    #[serde(borrow, default)]
    pub before: Option<&'a RawValue>,
    /// The row after the change.
    #[serde(borrow, default)]
    pub after: Option<&'a RawValue>,
    /// Where the change comes from.
    #[serde(borrow)]
    pub source: Source<'a>,
    /// What happened.
    pub op: Operation,
    /// The logical message of op `m`.
    #[serde(borrow, default)]
    pub message: Option<MessageBlock<'a>>,
}

/// The envelope's `message` block.
#[derive(Debug, Deserialize)]
pub struct MessageBlock<'a> {
    /// Whether it belongs to a transaction.
    pub transactional: bool,
    /// Its kind; [`super::HEARTBEAT_PREFIX`] for tidewater's own.
    #[serde(borrow)]
    pub prefix: Cow<'a, str>,
    /// Its bytes, in base64.
    #[serde(borrow)]
    pub content: Cow<'a, str>,
}

/// The envelope's `source` block.
#[derive(Debug, Deserialize)]
pub struct Source<'a> {
    /// Commit time (of a read: when the snapshot was exported), microseconds since 1970.
    pub ts_us: i64,
    /// `epoch:commit_lsn:ordinal`; absent only when switched off in debezium mode.
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub position: Option<Cow<'a, str>>,
    /// Schema name.
    #[serde(borrow, default)]
    pub schema: Cow<'a, str>,
    /// Table name.
    #[serde(borrow, default)]
    pub table: Cow<'a, str>,
    /// Transaction id.
    #[serde(rename = "txId", default)]
    pub transaction_id: Option<u64>,
    /// The change's own LSN.
    #[serde(default)]
    pub lsn: Option<u64>,
    /// `"partition"` on a truncate that removes only the keys of its own partition.
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub scope: Option<Cow<'a, str>>,
    /// Whether a snapshot read it: `"true"`, `"last"`, `"false"`, as Debezium.
    #[serde(borrow, default, deserialize_with = "optional_text")]
    pub snapshot: Option<Cow<'a, str>>,
}

/// Serde borrows a `Cow<str>` only where it stands alone: within an `Option` it would always copy.
fn optional_text<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'a, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Ok(Option::<Text<'a>>::deserialize(deserializer)?.map(|Text(text)| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `text` lies within `json`, rather than being a copy.
    fn borrowed(text: &str, json: &str) -> bool {
        json.as_bytes().as_ptr_range().contains(&text.as_ptr())
    }

    #[test]
    fn a_change_is_read_without_copies() {
        let json = concat!(
            r#"{"before":null,"after":{"id":1},"source":{"version":"0.1.0","ts_us":5,"#,
            r#""snapshot":"false","schema":"public","table":"orders","txId":7,"lsn":9,"xmin":null,"#,
            r#""position":"1:0/9:1"},"transaction":null,"op":"c","ts_ms":1}"#
        );
        let envelope: Envelope<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(envelope.op, Operation::Create);
        assert!(envelope.before.is_none());
        assert_eq!(envelope.after.unwrap().get(), r#"{"id":1}"#);
        let source = envelope.source;
        assert_eq!(
            (source.ts_us, source.transaction_id, source.lsn),
            (5, Some(7), Some(9))
        );
        assert_eq!((&*source.schema, &*source.table), ("public", "orders"));
        assert_eq!(source.position.as_deref(), Some("1:0/9:1"));
        assert_eq!(
            (source.scope.as_deref(), source.snapshot.as_deref()),
            (None, Some("false"))
        );
        assert!(borrowed(&source.schema, json) && borrowed(&source.table, json));
        assert!(
            source
                .position
                .is_some_and(|position| borrowed(&position, json))
        );
        assert!(
            source
                .snapshot
                .is_some_and(|snapshot| borrowed(&snapshot, json))
        );
    }

    #[test]
    fn escaped_names_are_unescaped() {
        let json = r#"{"source":{"ts_us":1,"schema":"a\"b","table":"\u00fc","position":null,
            "scope":"part\u0069tion"},"op":"t"}"#;
        let envelope: Envelope<'_> = serde_json::from_str(json).unwrap();
        let source = envelope.source;
        assert_eq!((&*source.schema, &*source.table), ("a\"b", "ü"));
        assert_eq!(
            (source.position, source.scope.as_deref()),
            (None, Some("partition"))
        );
    }

    #[test]
    fn a_heartbeat_has_a_message() {
        let json = concat!(
            r#"{"source":{"ts_us":1,"schema":"","table":"","txId":null},"op":"m","message":"#,
            r#"{"transactional":true,"prefix":"tidewater.heartbeat","content":"AQI="}}"#
        );
        let envelope: Envelope<'_> = serde_json::from_str(json).unwrap();
        let message = envelope.message.unwrap();
        assert!(message.transactional && borrowed(&message.content, json));
        assert_eq!(
            (&*message.prefix, &*message.content),
            ("tidewater.heartbeat", "AQI=")
        );
    }

    #[test]
    fn what_is_not_an_envelope_is_refused() {
        for json in [
            "null",
            "{}",
            r#"{"op":"c"}"#,
            r#"{"source":{"ts_us":1},"op":"x"}"#,
        ] {
            assert!(
                serde_json::from_str::<Envelope<'_>>(json).is_err(),
                "{json}"
            );
        }
    }
}
