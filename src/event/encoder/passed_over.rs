//! The record that stands for a change whose own would be too large: what it was and where, without its
//! values. It is JSON without a schema whatever the events are written in.
//!
//! ```text
//! key    {"schema":"public","table":"orders"}
//! value  {"position":"1:0/16E9058:3","reason":"change","bytes":268435499,"bytes_max":8388608,
//!         "key":{"order_id":7},"source":{…},"transaction":null,"op":"c","ts_ms":…,"ts_us":…,"ts_ns":…}
//! ```

use super::{Encoder, Filled, KeySource, Op, all_or_nothing, no_headers};
use crate::event::change::{Change, LogicalMessage};
use crate::event::error::{EncodeError, TooLarge};
use crate::event::image::write_key;
use crate::event::json;
use crate::event::plan::{Plan, quoted_content};
use crate::event::row::{OldRow, Row};
use crate::event::{Batch, Record};

/// Keys may take this part of a record's bound each; a longer one is left out.
const KEY_PART: usize = 4;

/// The rows of a change that is passed over, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub enum PassedRows<R> {
    /// Read by a snapshot.
    Read(R),
    /// A row that appeared.
    Insert(R),
    /// A row that changed, with what was sent of it before.
    Update(Option<OldRow<R>>, R),
    /// A row that disappeared.
    Delete(OldRow<R>),
}

impl<R> PassedRows<R> {
    fn op(&self) -> Op {
        match self {
            PassedRows::Read(_) => Op::Read,
            PassedRows::Insert(_) => Op::Create,
            PassedRows::Update(..) => Op::Update,
            PassedRows::Delete(_) => Op::Delete,
        }
    }
}

impl Encoder {
    /// A change of a row, in the topic of those that are passed over. Its key is null where it is not
    /// known, since the value was too large to be kept, or where there is none; `old_key` is there when
    /// it differs.
    pub fn pass_over<R: Row>(
        &mut self,
        topic: u32,
        plan: &Plan,
        rows: PassedRows<R>,
        change: Change,
        size: TooLarge,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        all_or_nothing(out, |out| {
            let start = out.bytes.len();
            out.bytes.extend_from_slice(br#"{"schema":""#);
            out.bytes.extend(&plan.source);
            out.bytes.extend_from_slice(br#""}"#);
            let value = self.open_passed_over(change, size, out);
            self.passed_keys(plan, rows, size, out);
            out.bytes.push(b',');
            self.source(change, &plan.source, &mut out.bytes);
            self.close_uncounted(rows.op(), change, &mut out.bytes);
            out.bytes.push(b'}');
            self.close_passed_over(topic, (start, value), || plan.titled(), out)
        })
    }

    /// As [`Encoder::pass_over`], of a logical message: its content is left out.
    pub fn pass_over_message(
        &mut self,
        topic: u32,
        message: &LogicalMessage<'_>,
        change: Change,
        size: TooLarge,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        all_or_nothing(out, |out| {
            let prefix = quoted_content(message.prefix);
            let start = out.bytes.len();
            out.bytes.extend_from_slice(br#"{"prefix":""#);
            out.bytes.extend_from_slice(&prefix);
            out.bytes.extend_from_slice(br#""}"#);
            let value = self.open_passed_over(change, size, out);
            out.bytes.extend_from_slice(br#""key":{"prefix":""#);
            out.bytes.extend_from_slice(&prefix);
            out.bytes.extend_from_slice(br#""},"#);
            self.source(change, br#"","table":""#, &mut out.bytes);
            self.close_uncounted(Op::Message, change, &mut out.bytes);
            out.bytes.push(b'}');
            let title = || message.titled();
            self.close_passed_over(topic, (start, value), title, out)
        })
    }

    /// Appends the beginning of the value; returns where that is.
    fn open_passed_over(&self, change: Change, size: TooLarge, out: &mut Batch) -> usize {
        let bytes = &mut out.bytes;
        let start = bytes.len();
        bytes.extend_from_slice(br#"{"position":""#);
        bytes.extend_from_slice(self.context.facts.position.as_bytes());
        json::number(change.ordinal, bytes);
        bytes.extend_from_slice(br#"","reason":""#);
        bytes.extend_from_slice(size.reason.as_bytes());
        bytes.extend_from_slice(br#"","bytes":"#);
        json::number(size.bytes, bytes);
        bytes.extend_from_slice(br#","bytes_max":"#);
        json::number(size.bytes_max, bytes);
        bytes.push(b',');
        start
    }

    fn passed_keys<R: Row>(
        &mut self,
        plan: &Plan,
        rows: PassedRows<R>,
        size: TooLarge,
        out: &mut Batch,
    ) {
        out.bytes.extend_from_slice(br#""key":"#);
        let start = out.bytes.len();
        let old = match rows {
            PassedRows::Read(row) | PassedRows::Insert(row) | PassedRows::Update(None, row) => {
                return self.passed_key(plan, row, KeySource::WholeRow, out);
            }
            PassedRows::Delete(old) => return self.passed_old_key(plan, old, out),
            // In what was kept of a change a value that was left out looks like an unchanged one.
            PassedRows::Update(Some(old), new) if size.is_condensed() => {
                self.passed_key(plan, new, KeySource::WholeRow, out);
                old
            }
            PassedRows::Update(Some(old), new) => {
                let (OldRow::Key(columns) | OldRow::Full(columns)) = old;
                let new = Filled { new, old: columns };
                self.passed_key(plan, new, KeySource::WholeRow, out);
                old
            }
        };
        let end = out.bytes.len();
        out.bytes.extend_from_slice(br#","old_key":"#);
        let old_start = out.bytes.len();
        self.passed_old_key(plan, old, out);
        if out.bytes.get(start..end) == out.bytes.get(old_start..) {
            out.bytes.truncate(end);
        }
    }

    fn passed_old_key<R: Row>(&mut self, plan: &Plan, old: OldRow<R>, out: &mut Batch) {
        match old {
            OldRow::Key(row) => self.passed_key(plan, row, KeySource::IdentityOfOldRow, out),
            OldRow::Full(row) => self.passed_key(plan, row, KeySource::WholeRow, out),
        }
    }

    fn passed_key<R: Row>(&mut self, plan: &Plan, row: R, source: KeySource, out: &mut Batch) {
        let start = out.bytes.len();
        let (scratch, bytes) = (&mut self.scratch, &mut out.bytes);
        let known = !plan.key.is_empty()
            && write_key(plan, &plan.key, row, source, scratch, bytes).is_ok()
            && bytes.len() - start <= self.format.record_bytes_max / KEY_PART;
        if !known {
            bytes.truncate(start);
            bytes.extend_from_slice(b"null");
        }
    }

    fn close_passed_over(
        &self,
        topic: u32,
        (key, value): (usize, usize),
        title: impl FnOnce() -> String,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let (bytes, bytes_max) = (out.bytes.len() - key, self.format.record_bytes_max);
        if bytes > bytes_max {
            return Err(EncodeError::RecordTooLarge {
                of: title(),
                bytes,
                bytes_max,
            });
        }
        let headers = no_headers(out);
        out.records.push(Record {
            topic,
            partition: None,
            timestamp_ms: None,
            key: Some(key..value),
            value: Some(value..out.bytes.len()),
            headers,
        });
        Ok(())
    }
}
