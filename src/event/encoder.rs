//! `Encoder`: rows into Debezium envelopes, straight onto the end of a batch.
//!
//! ```text
//!            Table ─compile─▶ Plan ───────┐ fragments per table
//! Begin ─▶ Transaction ─begin─▶ Context ──┤ fragments per transaction
//! Insert, Update, Delete, DataRow ────────┴─▶ key and value bytes, one Record each
//! ```
//!
//! A row costs copies of ready fragments and of its own text: no allocation, no tree of values. An
//! error leaves the batch as it was before the call.
//!
//! What the server sends of an old row decides what an event shows of it:
//!
//! | replica identity | update | delete |
//! |---|---|---|
//! | full | `before` is the whole row | the same |
//! | primary key or index | `before` is null | `before` has the identity's columns alone |
//!
//! An update that changes the record key becomes delete, tombstone and create, with Debezium's
//! headers. A TOAST value that an update left as it was is taken from the old row if that was sent;
//! otherwise it is left out of `after` and named in `source.unchanged`, never invented.

use std::ops::Range;

use super::change::{Change, SnapshotFlag, SnapshotRead, Transaction};
use super::context::Context;
use super::error::EncodeError;
use super::image::{Filled, IdentityOnly, KeySource, NOTHING, write_image, write_key, write_names};
use super::plan::{Plan, quoted_content};
use super::row::{OldRow, Row};
use super::table::Table;
use super::{Batch, Header, Record};

/// Name and prefix of the source, which every event carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceName {
    /// `source.name`: the prefix of the topics.
    pub prefix: String,
    /// `source.db`.
    pub database: String,
}

/// How events look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// How column values and `source` look.
    pub values: ValueFormat,
    /// What a truncate becomes.
    pub truncate: TruncateFormat,
    /// Largest record, key and value together, bytes; a larger one is refused by its table's name
    /// instead of by the broker.
    pub record_bytes_max: usize,
}

/// How column values and `source` look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFormat {
    /// No precision lost; `source.position` places the change.
    Lossless,
    /// As Debezium's PostgreSQL connector gives them, to the byte.
    Debezium,
}

/// What a truncate becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruncateFormat {
    /// One record in every partition, each for that partition's own keys.
    EachPartition,
    /// One record, as Debezium writes it.
    Once,
    /// Nothing.
    Skip,
}

/// Debezium's header on the delete of a changed key: the new key.
pub const NEW_KEY_HEADER: &str = "__debezium.newkey";
/// Debezium's header on the create after a changed key: the old key.
pub const OLD_KEY_HEADER: &str = "__debezium.oldkey";

/// Encodes changes; one per thread, a clone for each further one.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The prefix as it stands in a JSON string.
    pub(super) prefix: Vec<u8>,
    pub(super) format: Format,
    pub(super) context: Context,
    snapshot: SnapshotRead,
    /// For unescaping array elements.
    scratch: Vec<u8>,
}

/// What happened.
#[derive(Clone, Copy)]
pub(super) enum Op {
    Create,
    Update,
    Delete,
    Read,
    Truncate,
    Message,
}

impl Op {
    /// What comes between `source` and the clock.
    fn closing(self) -> &'static [u8; 29] {
        match self {
            Op::Create => br#"},"transaction":null,"op":"c""#,
            Op::Update => br#"},"transaction":null,"op":"u""#,
            Op::Delete => br#"},"transaction":null,"op":"d""#,
            Op::Read => br#"},"transaction":null,"op":"r""#,
            Op::Truncate => br#"},"transaction":null,"op":"t""#,
            Op::Message => br#"},"transaction":null,"op":"m""#,
        }
    }
}

/// Where a key lies in the batch; `None` for a null key.
type Key = Option<Range<usize>>;

impl Encoder {
    /// An encoder of a source's changes. [`Encoder::begin`] or [`Encoder::begin_snapshot`] comes
    /// before the first row.
    pub fn new(source: &SourceName, format: Format) -> Self {
        Encoder {
            prefix: quoted_content(&source.prefix),
            format,
            context: Context::new(&source.prefix, &source.database, format.values),
            snapshot: SnapshotRead::default(),
            scratch: Vec::new(),
        }
    }

    /// Compiles a table, once per version of it. `topic` indexes the pipeline's topic table.
    pub fn compile(&self, table: &Table, topic: u32) -> Plan {
        Plan::new(table, topic, self.format.values)
    }

    /// Starts a transaction: what its changes have in common is rendered once.
    pub fn begin(&mut self, transaction: &Transaction) {
        self.context.begin(transaction, "false");
    }

    /// Starts reading a snapshot.
    pub fn begin_snapshot(&mut self, snapshot: &SnapshotRead) {
        self.snapshot = *snapshot;
        self.render_snapshot("true");
    }

    fn render_snapshot(&mut self, flag: &str) {
        let SnapshotRead {
            position,
            exported_at_us,
        } = self.snapshot;
        let transaction = Transaction {
            epoch: position.epoch,
            commit_lsn: position.commit_lsn,
            commit_time_us: exported_at_us,
            xid: None,
            last_commit_lsn: None,
        };
        self.context.begin(&transaction, flag);
    }

    /// A row read by the snapshot.
    #[inline]
    pub fn read<R: Row>(
        &mut self,
        plan: &Plan,
        now_us: i64,
        flag: SnapshotFlag,
        row: R,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let change = Change {
            lsn: self.snapshot.position.commit_lsn,
            ordinal: self.snapshot.position.ordinal,
            now_us,
        };
        if flag == SnapshotFlag::True {
            return self.appear(plan, Op::Read, change, row, out);
        }
        self.render_snapshot("last");
        let result = self.appear(plan, Op::Read, change, row, out);
        self.render_snapshot("true");
        result
    }

    /// A row that appeared.
    #[inline]
    pub fn insert<R: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        new: R,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        self.appear(plan, Op::Create, change, new, out)
    }

    /// A row that changed: one record, or three when its key did.
    pub fn update<R: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: Option<OldRow<R>>,
        new: R,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let Some(old) = old else {
            return all_or_nothing(out, |out| {
                let key = self.key(plan, new, KeySource::WholeRow, out)?;
                let value = self.value(plan, Op::Update, change, NOTHING, Some(new), out)?;
                self.record(plan, key, value, no_headers(out), out)
            });
        };
        let (OldRow::Key(old_columns) | OldRow::Full(old_columns)) = old;
        let new = Filled {
            new,
            old: old_columns,
        };
        if key_differs(plan, old_columns, new) {
            return all_or_nothing(out, |out| self.rekey(plan, change, old, new, out));
        }
        all_or_nothing(out, |out| {
            let key = self.key(plan, new, KeySource::WholeRow, out)?;
            let before = match old {
                OldRow::Full(old) => Some(old),
                OldRow::Key(_) => None,
            };
            let value = self.value(plan, Op::Update, change, before, Some(new), out)?;
            self.record(plan, key, value, no_headers(out), out)
        })
    }

    /// A row that disappeared: its delete and, if it has a key, a tombstone.
    pub fn delete<R: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: OldRow<R>,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        all_or_nothing(out, |out| {
            let key = self.old_key(plan, old, out)?;
            self.disappear(plan, change, old, key, no_headers(out), out)
        })
    }

    #[inline]
    fn appear<R: Row>(
        &mut self,
        plan: &Plan,
        op: Op,
        change: Change,
        row: R,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        all_or_nothing(out, |out| {
            let key = self.key(plan, row, KeySource::WholeRow, out)?;
            let value = self.value(plan, op, change, NOTHING, Some(row), out)?;
            self.record(plan, key, value, no_headers(out), out)
        })
    }

    fn disappear<R: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: OldRow<R>,
        key: Key,
        headers: Range<u32>,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let value = match old {
            OldRow::Key(old) if self.format.values == ValueFormat::Debezium => {
                self.value(plan, Op::Delete, change, Some(old), NOTHING, out)?
            }
            OldRow::Full(old) => self.value(plan, Op::Delete, change, Some(old), NOTHING, out)?,
            OldRow::Key(old) => self.value(
                plan,
                Op::Delete,
                change,
                Some(IdentityOnly(old)),
                NOTHING,
                out,
            )?,
        };
        self.record(plan, key.clone(), value, headers.clone(), out)?;
        if key.is_some() {
            let headers = match self.format.values {
                ValueFormat::Lossless => no_headers(out),
                ValueFormat::Debezium => headers,
            };
            let topic = plan.topic;
            out.records.push(Record {
                topic,
                partition: None,
                key,
                value: None,
                headers,
            });
        }
        Ok(())
    }

    /// An update that moves a row to another key.
    fn rekey<R: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: OldRow<R>,
        new: Filled<R>,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let old_key = self.old_key(plan, old, out)?;
        let new_key = self.key(plan, new, KeySource::WholeRow, out)?;
        let headers = header(NEW_KEY_HEADER, new_key.as_ref(), out);
        self.disappear(plan, change, old, old_key.clone(), headers, out)?;
        let value = self.value(plan, Op::Create, change, NOTHING, Some(new), out)?;
        let headers = header(OLD_KEY_HEADER, old_key.as_ref(), out);
        self.record(plan, new_key, value, headers, out)
    }

    fn old_key<R: Row>(
        &mut self,
        plan: &Plan,
        old: OldRow<R>,
        out: &mut Batch,
    ) -> Result<Key, EncodeError> {
        match old {
            OldRow::Key(old) => self.key(plan, old, KeySource::IdentityOfOldRow, out),
            OldRow::Full(old) => self.key(plan, old, KeySource::WholeRow, out),
        }
    }

    #[inline]
    fn key<R: Row>(
        &mut self,
        plan: &Plan,
        row: R,
        source: KeySource,
        out: &mut Batch,
    ) -> Result<Key, EncodeError> {
        if plan.key.is_empty() {
            return Ok(None);
        }
        let start = out.bytes.len();
        write_key(plan, row, source, &mut self.scratch, &mut out.bytes)?;
        Ok(Some(start..out.bytes.len()))
    }

    /// Appends an envelope.
    #[inline]
    fn value<B: Row, A: Row>(
        &mut self,
        plan: &Plan,
        op: Op,
        change: Change,
        before: Option<B>,
        after: Option<A>,
        out: &mut Batch,
    ) -> Result<Range<usize>, EncodeError> {
        let bytes = &mut out.bytes;
        let start = bytes.len();
        bytes.extend_from_slice(br#"{"before":"#);
        match before {
            Some(row) => write_image(plan, row, &mut self.scratch, bytes).map(|_| ())?,
            None => bytes.extend_from_slice(b"null"),
        }
        bytes.extend_from_slice(br#","after":"#);
        let mut unchanged = false;
        match after {
            Some(row) => unchanged = write_image(plan, row, &mut self.scratch, bytes)?,
            None => bytes.extend_from_slice(b"null"),
        }
        bytes.push(b',');
        self.source(change, &plan.source, bytes);
        if let (true, Some(row)) = (unchanged, after) {
            bytes.extend_from_slice(br#","unchanged":["#);
            write_names(plan, row, bytes);
            bytes.push(b']');
        }
        self.close(op, change, bytes);
        bytes.push(b'}');
        Ok(start..bytes.len())
    }

    /// Appends `"source":{…`, without its closing brace. `table` fills the quotes of its schema.
    #[inline]
    pub(super) fn source(&self, change: Change, table: &[u8], bytes: &mut Vec<u8>) {
        let context = &self.context;
        let mut lsn = itoa::Buffer::new();
        let lsn = lsn.format(change.lsn.0).as_bytes();
        bytes.extend_from_slice(&context.head);
        bytes.extend_from_slice(lsn);
        bytes.extend_from_slice(&context.times);
        bytes.extend_from_slice(table);
        bytes.extend_from_slice(&context.transaction);
        bytes.extend_from_slice(lsn);
        bytes.extend_from_slice(&context.position);
        if context.has_position {
            bytes.extend_from_slice(itoa::Buffer::new().format(change.ordinal).as_bytes());
            bytes.push(b'"');
        }
    }

    /// Closes `source` and appends what follows it, up to the envelope's closing brace.
    #[inline]
    pub(super) fn close(&mut self, op: Op, change: Change, bytes: &mut Vec<u8>) {
        self.context.tick(change.now_us);
        bytes.extend_from_slice(op.closing());
        bytes.extend_from_slice(&self.context.clock);
    }

    #[inline]
    fn record(
        &self,
        plan: &Plan,
        key: Key,
        value: Range<usize>,
        headers: Range<u32>,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let bytes = key.as_ref().map_or(0, ExactSizeIterator::len) + value.len();
        let bytes_max = self.format.record_bytes_max;
        if bytes > bytes_max {
            return Err(EncodeError::RecordTooLarge {
                table: plan.full_name(),
                bytes,
                bytes_max,
            });
        }
        let topic = plan.topic;
        out.records.push(Record {
            topic,
            partition: None,
            key,
            value: Some(value),
            headers,
        });
        Ok(())
    }
}

/// Takes back what a failed attempt has appended.
#[inline]
fn all_or_nothing(
    out: &mut Batch,
    append: impl FnOnce(&mut Batch) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let (bytes, records, headers) = (out.bytes.len(), out.records.len(), out.headers.len());
    append(out).inspect_err(|_| {
        out.bytes.truncate(bytes);
        out.records.truncate(records);
        out.headers.truncate(headers);
    })
}

fn key_differs(plan: &Plan, old: impl Row, new: impl Row) -> bool {
    plan.key
        .iter()
        .any(|key| old.columns().nth(key.index) != new.columns().nth(key.index))
}

#[inline]
pub(super) fn no_headers(out: &Batch) -> Range<u32> {
    let end = header_index(out);
    end..end
}

/// Adds one header whose value lies in the batch already.
fn header(name: &'static str, value: Option<&Range<usize>>, out: &mut Batch) -> Range<u32> {
    let start = header_index(out);
    out.headers.extend(value.map(|value| Header {
        name,
        value: value.clone(),
    }));
    start..header_index(out)
}

/// A batch is bounded by bytes far below what would hold 2³² headers.
pub(super) fn header_index(out: &Batch) -> u32 {
    u32::try_from(out.headers.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
