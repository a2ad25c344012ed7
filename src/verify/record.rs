//! One record of a topic as verification reads it: an event, a tombstone or a snapshot's end mark.

use super::history::{Action, At};
use crate::event::{Envelope, Operation, Position};

/// A record, borrowed from the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Key, or `None` for a null key.
    pub key: Option<&'a [u8]>,
    /// Value, or `None` for a tombstone or a mark.
    pub value: Option<&'a [u8]>,
    /// The headers of a snapshot's end mark, when it carries them.
    pub mark: Option<Mark<'a>>,
}

/// `tidewater.mark: snapshot-end` and the headers beside it.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// `tidewater.position`
    pub position: &'a str,
    /// `tidewater.ts_us`
    pub time_us: &'a str,
}

/// What a record says.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are rows, and none is kept"
)]
pub enum Content<'a> {
    /// Nothing new: the tombstone after a delete, or a logical message.
    Nothing,
    /// A change of a row, or a read of it.
    Row(At, Envelope<'a>),
    /// A truncate or a mark, which concern the whole partition or table.
    Table(At, Action<()>),
}

impl<'a> Content<'a> {
    /// Decodes a record; the error says what is wrong with it.
    pub fn decode(record: &Record<'a>) -> Result<Content<'a>, String> {
        match (record.value, record.mark) {
            (Some(value), _) => decode_event(record.partition, value),
            (None, Some(mark)) => decode_mark(record.partition, mark),
            (None, None) => Ok(Content::Nothing),
        }
    }
}

fn decode_event(partition: i32, value: &[u8]) -> Result<Content<'_>, String> {
    let event: Envelope<'_> =
        serde_json::from_slice(value).map_err(|error| format!("not a change event: {error}"))?;
    if event.op == Operation::Message {
        return Ok(Content::Nothing);
    }
    let text = event
        .source
        .position
        .as_deref()
        .ok_or("source.position is missing")?;
    let position: Position = text.parse().map_err(|error| format!("{error}"))?;
    let at = At {
        partition,
        position,
        time_us: event.source.ts_us,
    };
    if event.op != Operation::Truncate {
        return Ok(Content::Row(at, event));
    }
    // Streamed ordinals count from 1: a truncate at 0 was written by a snapshot that starts over.
    let action = match (position.ordinal, event.source.scope.as_deref()) {
        (0, _) => Action::Restart,
        (_, Some("partition")) => Action::Truncate,
        (_, _) => Action::TruncateAll,
    };
    Ok(Content::Table(at, action))
}

fn decode_mark(partition: i32, mark: Mark<'_>) -> Result<Content<'_>, String> {
    let position = mark.position.parse().map_err(|error| format!("{error}"))?;
    let invalid = |_| format!("invalid tidewater.ts_us \"{}\"", mark.time_us);
    let time_us = mark.time_us.parse().map_err(invalid)?;
    Ok(Content::Table(
        At {
            partition,
            position,
            time_us,
        },
        Action::Complete,
    ))
}
