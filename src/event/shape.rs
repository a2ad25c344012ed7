//! The shape of values: Debezium's envelope, or flat rows for those who keep the last row of each key.
//!
//! | change | flat |
//! |---|---|
//! | read, insert, update | the new row, and the extra fields that were asked for |
//! | delete | as [`FlatDeletes`] says |
//! | update of the record key | delete of the old key, row of the new one |
//! | truncate | nothing: a row cannot say it |
//!
//! A flat row is whole or it is an error: whoever replaces the row of a key would take a column that is
//! left out for null.

use std::ops::Range;

use super::Batch;
use super::change::Change;
use super::encoder::{Encoder, Op};
use super::error::EncodeError;
use super::extra::Extras;
use super::image::write_image;
use super::json;
use super::plan::Plan;
use super::row::{Column, Row};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `before`, `after`, `source`, `op` and the clock.
    Envelope,
    /// The row alone.
    Flat(Flat),
}

/// How flat rows look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flat {
    /// What a delete becomes.
    pub deletes: FlatDeletes,
    /// What stands for a value that the server did not send.
    pub unchanged: UnchangedFormat,
    /// Fields behind the columns.
    pub fields: Extras,
}

/// What a delete becomes in a topic of flat rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlatDeletes {
    /// A tombstone; nothing for a table without a key.
    Tombstone,
    /// The old row, as far as it was sent, with `"__deleted":"true"`, which is `"false"` in all others.
    Rewrite,
    /// Nothing.
    Skip,
}

/// What stands in a flat row for a TOAST value that an update left as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnchangedFormat {
    /// Nothing can: the change is refused.
    Refuse,
    /// [`UNAVAILABLE`], in columns whose form is a string; the change is refused for others.
    Placeholder,
}

/// Debezium's word for a value that the server did not send, unless another is chosen.
pub const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// The field that marks deleted rows, as Debezium's `ExtractNewRecordState` names it.
pub const DELETED_FIELD: &str = "__deleted";

impl Encoder {
    /// Appends a flat row.
    pub(super) fn flat_row<R: Row>(
        &mut self,
        flat: Flat,
        plan: &Plan,
        op: Op,
        change: Change,
        row: R,
        out: &mut Batch,
    ) -> Result<Range<usize>, EncodeError> {
        let start = out.bytes.len();
        plan.frames.value.open(&mut out.bytes);
        let unchanged = write_image(plan, row, &mut self.scratch, &mut out.bytes)?;
        if unchanged {
            return Err(not_sent(plan, row));
        }
        out.bytes.pop(); // the closing brace
        if flat.deletes == FlatDeletes::Rewrite {
            let deleted = if matches!(op, Op::Delete) {
                "true"
            } else {
                "false"
            };
            field(DELETED_FIELD, &mut out.bytes);
            out.bytes.push(b'"');
            out.bytes.extend_from_slice(deleted.as_bytes());
            out.bytes.push(b'"');
        }
        for extra in flat.fields.iter() {
            field(extra.field(), &mut out.bytes);
            let value = self.extra(extra, op, change, plan);
            value.write_json(&mut out.bytes);
        }
        out.bytes.push(b'}');
        self.count(plan);
        self.end_value(plan, start, out)
    }
}

/// Appends `,"name":`, without the comma where it is the first.
fn field(name: &str, bytes: &mut Vec<u8>) {
    if bytes.last() != Some(&b'{') {
        bytes.push(b',');
    }
    bytes.push(b'"');
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b"\":");
}

/// Appends [`UNAVAILABLE`] as a JSON string.
pub(super) fn write_unavailable(out: &mut Vec<u8>) {
    // A `str` is UTF-8, which is all that could be wrong with it.
    let _ = json::string(UNAVAILABLE.as_bytes(), out);
}

#[cold]
fn not_sent(plan: &Plan, row: impl Row) -> EncodeError {
    let mut columns = plan.columns.iter().zip(row.columns());
    let column = columns
        .find(|(column, value)| *value == Column::Unchanged && column.unchanged.is_none())
        .map_or_else(String::new, |(column, _)| column.name.clone());
    EncodeError::UnchangedNotSent {
        table: plan.full_name(),
        column,
    }
}
