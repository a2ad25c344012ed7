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
use std::sync::Arc;

use super::change::{Change, SnapshotFlag, SnapshotRead, Transaction};
use super::context::Context;
use super::error::EncodeError;
use super::format::{Encoding, Format, SourceName, ValueFormat};
use super::image::{Filled, IdentityOnly, KeySource, NOTHING, write_image, write_names};
use super::plan::{Plan, quoted_content};
use super::row::{OldRow, Row};
use super::schema::{Described, schemas};
use super::selection::{Selection, Transform};
use super::shape::{FlatDeletes, Shape};
use super::table::{ColumnFacts, ColumnShape, Table};
use super::transaction::{Collection, Counts};
use super::{Batch, Record};

/// `text` in `pg_type`.
const TEXT_OID: u32 = 25;

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
    pub(super) source_prefix: String,
    selection: Arc<Selection>,
    snapshot: SnapshotRead,
    /// For unescaping array elements.
    pub(super) scratch: Vec<u8>,
    /// For turning JSON into Avro.
    pub(super) framing: Vec<u8>,
    /// What has been counted of the transaction, if events are counted.
    pub(super) counts: Option<Counts>,
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
    /// Its letter in the envelope.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Op::Create => "c",
            Op::Update => "u",
            Op::Delete => "d",
            Op::Read => "r",
            Op::Truncate => "t",
            Op::Message => "m",
        }
    }

    /// As a member of the envelope, with the comma before it.
    fn member(self) -> &'static [u8] {
        let closing = self.closing();
        closing.split_at(br#"},"transaction":null"#.len()).1
    }

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
            source_prefix: source.prefix.clone(),
            selection: Arc::default(),
            snapshot: SnapshotRead::default(),
            scratch: Vec::new(),
            framing: Vec::new(),
            counts: None,
        }
    }

    /// The same, with values and keys as the configuration asks for.
    #[must_use]
    pub fn selecting(self, selection: Arc<Selection>) -> Self {
        Encoder { selection, ..self }
    }

    /// Whether an update is looked at together with the row that it found: its event shows it, or is left out
    /// if it is the same.
    pub fn needs_old_rows(&self) -> bool {
        self.format.shape == Shape::Envelope || self.format.skip_unchanged
    }

    /// Whether the event of a delete, or of a key that a row left, shows the row that it found.
    pub fn shows_deleted_rows(&self) -> bool {
        match self.format.shape {
            Shape::Envelope => true,
            Shape::Flat(flat) => flat.deletes == FlatDeletes::Rewrite,
        }
    }

    /// Compiles a table, once per version of it. `topic` indexes the pipeline's topic table.
    pub fn compile(&self, table: &Table, topic: u32) -> Plan {
        let transforms = self.selection.transforms(table);
        let table = as_published(table, &transforms);
        let selection = &self.selection;
        let plan = Plan::new(&table, topic, &self.format, &transforms);
        let key_field = selection.key_field(&self.source_prefix, &table.schema, &table.name);
        let plan = match &key_field {
            Some((name, value)) => plan.with_key_field(name, value),
            None => plan,
        };
        if let Some(outbox) = selection.outbox(&table.schema, &table.name) {
            return self.routing(plan, outbox, &table);
        }
        if self.format.encoding == Encoding::Json {
            return plan;
        }
        let excluded =
            |column: usize| matches!(transforms.get(column), Some(Some(Transform::Excluded)));
        let described = Described {
            table: &table,
            prefix: &self.source_prefix,
            key_field: key_field.as_ref().map(|(name, _)| *name),
        };
        let schemas = schemas(&described, excluded, &self.format);
        plan.framed(&schemas, self.format.encoding)
    }

    /// A table as its events show it: transformed columns are text, excluded ones are not there.
    pub fn published(&self, table: &Table) -> Table {
        let transforms = self.selection.transforms(table);
        let published = as_published(table, &transforms);
        let is_kept = |index: &usize| transforms.get(*index) != Some(&Some(Transform::Excluded));
        let kept: Vec<usize> = (0..published.columns.len()).filter(is_kept).collect();
        let columns = kept
            .iter()
            .filter_map(|index| published.columns.get(*index));
        let place = |key: &usize| kept.iter().position(|index| index == key);
        Table {
            columns: columns.cloned().collect(),
            key: published.key.iter().filter_map(place).collect(),
            ..published
        }
    }

    /// Starts a transaction: what its changes have in common is rendered once.
    pub fn begin(&mut self, transaction: &Transaction) {
        self.context.begin(transaction, "false");
        if let Some(counts) = &mut self.counts {
            counts.begin(transaction);
        }
    }

    /// Starts reading a snapshot.
    pub fn begin_snapshot(&mut self, snapshot: &SnapshotRead) {
        self.snapshot = *snapshot;
        self.render_snapshot("true");
    }

    /// Starts reading a chunk beside the stream, for [`SnapshotFlag::True`] alone.
    pub fn begin_incremental(&mut self, snapshot: &SnapshotRead) {
        self.snapshot = *snapshot;
        self.render_snapshot("incremental");
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

    /// A row that changed: one record, or three when its key did, or none when nothing did that is shown.
    pub fn update<O: Row, N: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: Option<OldRow<O>>,
        new: N,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        if plan.is_routed() {
            return Ok(());
        }
        let Some(old) = old else {
            return all_or_nothing(out, |out| {
                let key = self.key(plan, new, KeySource::WholeRow, out)?;
                let value = self.value(plan, Op::Update, change, NOTHING, Some(new), out)?;
                let headers = self.headers(plan, Op::Update, change, None, out);
                self.record(plan, key, value, headers, out)
            });
        };
        let (OldRow::Key(old_columns) | OldRow::Full(old_columns)) = old;
        let new = Filled {
            new,
            old: old_columns,
        };
        if self.format.skip_unchanged
            && let OldRow::Full(old) = old
            && self.shows_no_change(plan, old, new, out)
        {
            return Ok(());
        }
        if key_differs(plan, old_columns, new) {
            return all_or_nothing(out, |out| self.rekey(plan, change, old, new, out));
        }
        all_or_nothing(out, |out| {
            let key = self.key(plan, new, KeySource::WholeRow, out)?;
            let value = self.update_value(plan, change, old, new, out)?;
            let headers = self.headers(plan, Op::Update, change, None, out);
            self.record(plan, key, value, headers, out)
        })
    }

    /// The old row is there if it was sent as a whole. Debezium also shows an identity that changed
    /// beside the record key.
    fn update_value<O: Row, N: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: OldRow<O>,
        new: Filled<N, O>,
        out: &mut Batch,
    ) -> Result<Range<usize>, EncodeError> {
        match old {
            OldRow::Full(old) => self.value(plan, Op::Update, change, Some(old), Some(new), out),
            OldRow::Key(old) if self.format.values == ValueFormat::Debezium => {
                let before = Some(IdentityOnly(old));
                self.value(plan, Op::Update, change, before, Some(new), out)
            }
            OldRow::Key(_) => self.value(plan, Op::Update, change, NOTHING, Some(new), out),
        }
    }

    /// The second half of a key change alone: a row that came to this key from another.
    pub fn arrive<O: Row, N: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: OldRow<O>,
        new: N,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let (OldRow::Key(old) | OldRow::Full(old)) = old;
        self.appear(plan, Op::Create, change, Filled { new, old }, out)
    }

    /// A row that disappeared: its delete and, if it has a key, a tombstone. One of an outbox is nothing.
    pub fn delete<R: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: OldRow<R>,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        if plan.is_routed() {
            return Ok(());
        }
        all_or_nothing(out, |out| {
            let key = self.old_key(plan, old, out)?;
            self.disappear(plan, change, old, (key, None), out)
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
            if let Some(routing) = &plan.routing {
                return self.route(plan, routing, (op, change), row, out);
            }
            let key = self.key(plan, row, KeySource::WholeRow, out)?;
            let value = self.value(plan, op, change, NOTHING, Some(row), out)?;
            let headers = self.headers(plan, op, change, None, out);
            self.record(plan, key, value, headers, out)
        })
    }

    /// A delete, and a tombstone behind it. `moved_to` is the key that the row has from now on.
    fn disappear<R: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: OldRow<R>,
        (key, moved_to): (Key, Key),
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let (delete, tombstone) = match self.format.shape {
            Shape::Envelope => (true, self.format.tombstones),
            Shape::Flat(flat) => match flat.deletes {
                FlatDeletes::Tombstone => (false, true),
                FlatDeletes::Rewrite => (true, self.format.tombstones),
                FlatDeletes::Skip => (false, false),
            },
        };
        let moved = moved_to.as_ref().map(|key| (NEW_KEY_HEADER, key));
        if delete {
            let value = self.delete_value(plan, change, old, out)?;
            let headers = self.headers(plan, Op::Delete, change, moved, out);
            self.record(plan, key.clone(), value, headers, out)?;
        }
        if tombstone && key.is_some() {
            if !delete {
                self.count(plan);
            }
            // In Debezium's format it has the headers of the delete.
            let moved = moved.filter(|_| self.format.values == ValueFormat::Debezium);
            let headers = self.headers(plan, Op::Delete, change, moved, out);
            let topic = plan.topic;
            out.records.push(Record {
                topic,
                partition: None,
                timestamp_ms: None,
                key,
                value: None,
                headers,
            });
        }
        Ok(())
    }

    fn delete_value<R: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: OldRow<R>,
        out: &mut Batch,
    ) -> Result<Range<usize>, EncodeError> {
        let (OldRow::Key(columns) | OldRow::Full(columns)) = old;
        if let Shape::Flat(flat) = self.format.shape {
            return self.flat_row(flat, plan, Op::Delete, change, columns, out);
        }
        match old {
            OldRow::Key(old) => {
                let before = Some(IdentityOnly(old));
                self.value(plan, Op::Delete, change, before, NOTHING, out)
            }
            OldRow::Full(old) => self.value(plan, Op::Delete, change, Some(old), NOTHING, out),
        }
    }

    /// An update that moves a row to another key.
    fn rekey<O: Row, N: Row>(
        &mut self,
        plan: &Plan,
        change: Change,
        old: OldRow<O>,
        new: Filled<N, O>,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let old_key = self.old_key(plan, old, out)?;
        let new_key = self.key(plan, new, KeySource::WholeRow, out)?;
        let envelope = self.format.shape == Shape::Envelope;
        let (moved_from, moved_to) = self.moved(plan, old, (&old_key, new, &new_key), out)?;
        let moved_to = moved_to.filter(|_| envelope);
        self.disappear(plan, change, old, (old_key, moved_to), out)?;
        let value = self.value(plan, Op::Create, change, NOTHING, Some(new), out)?;
        let moved = moved_from.filter(|_| envelope);
        let moved = moved.as_ref().map(|key| (OLD_KEY_HEADER, key));
        let headers = self.headers(plan, Op::Create, change, moved, out);
        self.record(plan, new_key, value, headers, out)
    }

    /// Appends an envelope, or the flat row of `after`.
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
        if let (Shape::Flat(flat), Some(row)) = (self.format.shape, after) {
            return self.flat_row(flat, plan, op, change, row, out);
        }
        let bytes = &mut out.bytes;
        let start = bytes.len();
        plan.frames.value.open(bytes);
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
        self.close(op, change, plan.collection, bytes);
        bytes.push(b'}');
        self.end_value(plan, start, out)
    }

    /// Ends the value that began at `start`.
    #[inline]
    pub(super) fn end_value(
        &mut self,
        plan: &Plan,
        start: usize,
        out: &mut Batch,
    ) -> Result<Range<usize>, EncodeError> {
        plan.frames
            .value
            .close(start, &mut self.framing, &mut out.bytes)
            .map_err(|failed| failed.of_table(plan.full_name()))?;
        Ok(start..out.bytes.len())
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

    /// As [`Encoder::close`], of what is no event of its transaction.
    pub(super) fn close_uncounted(&mut self, op: Op, change: Change, bytes: &mut Vec<u8>) {
        self.context.tick(change.now_us);
        bytes.extend_from_slice(op.closing());
        bytes.extend_from_slice(&self.context.clock);
    }

    /// Closes `source` and appends what follows it, up to the envelope's closing brace.
    #[inline]
    pub(super) fn close(
        &mut self,
        op: Op,
        change: Change,
        collection: Collection,
        bytes: &mut Vec<u8>,
    ) {
        self.context.tick(change.now_us);
        match &mut self.counts {
            None => bytes.extend_from_slice(op.closing()),
            Some(counts) => {
                bytes.push(b'}');
                counts.block(collection, change.lsn, bytes);
                bytes.extend_from_slice(op.member());
            }
        }
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
        let record = Record {
            topic: plan.topic,
            partition: None,
            timestamp_ms: None,
            key,
            value: Some(value),
            headers,
        };
        self.push(plan, record, out)
    }

    /// Appends a record, unless Kafka has no room for it.
    #[inline]
    pub(super) fn push(
        &self,
        plan: &Plan,
        record: Record,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let length = |part: &Option<Range<usize>>| part.as_ref().map_or(0, ExactSizeIterator::len);
        let bytes = length(&record.key) + length(&record.value);
        let bytes_max = self.format.record_bytes_max;
        if bytes > bytes_max {
            return Err(EncodeError::RecordTooLarge {
                of: plan.titled(),
                bytes,
                bytes_max,
            });
        }
        out.records.push(record);
        Ok(())
    }
}

/// Takes back what a failed attempt has appended.
#[inline]
fn all_or_nothing(
    out: &mut Batch,
    append: impl FnOnce(&mut Batch) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let end = out.end();
    append(out).inspect_err(|_| out.cut(end))
}

/// The table with the types that its columns have once their values are transformed.
fn as_published(table: &Table, transforms: &[Option<Transform>]) -> Table {
    let mut table = table.clone();
    for (column, transform) in table.columns.iter_mut().zip(transforms) {
        if transform.as_ref().is_some_and(Transform::is_text) {
            *column = ColumnShape {
                name: std::mem::take(&mut column.name),
                type_oid: TEXT_OID,
                type_modifier: -1,
                resolved: None,
                // A default would be a value that shows.
                facts: ColumnFacts {
                    default: None,
                    ..std::mem::take(&mut column.facts)
                },
            };
        }
    }
    table
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

/// A batch is bounded by bytes far below what would hold 2³² headers.
pub(super) fn header_index(out: &Batch) -> u32 {
    u32::try_from(out.headers.len()).unwrap_or(u32::MAX)
}

mod key;
mod passed_over;
mod unchanged;

pub use passed_over::PassedRows;

#[cfg(test)]
mod tests;
