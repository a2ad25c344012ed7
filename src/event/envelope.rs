//! Reading a change event back: what `retail`, `verify` and `tail` need of the envelope.

use std::borrow::Cow;

use serde::Deserialize;
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
}

/// The envelope's `source` block.
#[derive(Debug, Deserialize)]
pub struct Source<'a> {
    /// Commit time (of a read: when the snapshot was exported), microseconds since 1970.
    pub ts_us: i64,
    /// `epoch:commit_lsn:ordinal`; absent only when switched off in debezium mode.
    #[serde(borrow, default)]
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
    #[serde(borrow, default)]
    pub scope: Option<Cow<'a, str>>,
    /// Origin of the truncate, read or mark: `"true"`, `"last"`, `"false"`, … as Debezium.
    #[serde(borrow, default)]
    pub snapshot: Option<Cow<'a, str>>,
}
