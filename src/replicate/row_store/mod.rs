//! The row store: what the source's rows are at the place that the stream has come to, kept on disk, so that
//! events show whole old rows and values that an update left as they were, without REPLICA IDENTITY FULL.
//!
//! ```text
//!  snapshot ──────────────────────────────▶ file ──▶ rows as of a position, one durable write
//!  stream ──▶ overlay ── committed in Kafka ──▶ ▲
//!                └── the rows as of the change that is being read = overlay over file
//! ```
//!
//! The file is behind what Kafka has committed, and never ahead: changes stay in the overlay until the
//! position record that covers them is committed, and are then written together with that position. A start
//! streams from the file's position; what is below the recorded one is read for the store alone, and published
//! no second time. Only what the file covers is confirmed to the source.
//!
//! A snapshot's rows are written before the Kafka transaction that records their range as finished. What is
//! there too early does no harm: it is looked up for a change of that row alone, and such a row was written
//! again by whatever made it exist.

mod bounded;
mod changes;
mod entry;
mod error;
#[cfg(test)]
pub(super) mod example;
mod feed;
mod file;
mod layout;
mod overlay;
mod partial;
mod publishing;
mod writer;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

pub(crate) use entry::StoredRow;
pub use error::Error;
pub(crate) use feed::{FedTable, Feed};
pub(crate) use file::{Owner, Recorded, StoreFile};
pub(crate) use layout::{Layout, Seen};
pub(crate) use publishing::Relisted;

use super::capture::Point;
use crate::config::settings::{MissingRows, RowStore as Settings};
use crate::event::{Filled, Lsn, ReplicaIdentity, Row};
use crate::pgoutput::{Relation, RelationColumn};
use crate::postgres::{Patterns, TableLayout, TableName};
use crate::step::Steps;
use file::{Reader, TableRecord};
use layout::Origin;
use overlay::{Found, Overlay};
use partial::unknown;
use writer::Writer;

/// What is committed is written at least this often.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// And at once when it is this much, bytes.
const WRITE_BYTES: usize = 8 << 20;
/// With this much unwritten nothing is read until it is less, bytes.
const OVERLAY_BYTES_MAX: usize = 32 << 20;

const _: () = assert!(WRITE_BYTES < OVERLAY_BYTES_MAX);

/// A table that is stored, as its changes are now.
struct StoredTable {
    generation: u32,
    layout: u32,
    columns: usize,
    identity: Vec<usize>,
    captured: Vec<bool>,
    /// For each older layout, where its rows have the present columns.
    origins: Vec<Vec<Origin>>,
    /// The layout is sure once the stream has come there.
    sure_from: Option<Lsn>,
    /// So is what publishes it.
    settled_at: Option<Lsn>,
    /// Its rows from before are read beside the stream.
    awaited: bool,
}

/// What a relation needs to be stored.
pub(crate) struct Described {
    /// Its columns as the catalog has them now.
    pub(crate) catalog: TableLayout,
    /// Which of its columns are captured.
    pub(crate) captured: Vec<bool>,
    /// What puts it into the publication now.
    pub(crate) through: Vec<String>,
}

/// Which tables' rows are read beside the stream by themselves.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// Those of tables that join.
    pub(crate) reads: bool,
    /// Tables that have joined before, and are read.
    pub(crate) known: HashSet<u32>,
    /// Tables of which a part has been read, and the rest is to be, whoever asked for it.
    pub(crate) begun: HashSet<u32>,
}

/// A row as it was found: its columns as those of the present layout.
#[derive(Debug, Default)]
pub(crate) struct OldRow {
    bytes: Vec<u8>,
    columns: usize,
    /// A captured column whose value is not known.
    pub(crate) unknown: Option<usize>,
}

impl OldRow {
    /// Its columns.
    pub(crate) fn row(&self) -> Result<StoredRow<'_>, Error> {
        StoredRow::new(&self.bytes, self.columns)
    }
}

/// The store while changes are streamed.
pub(crate) struct RowStore {
    reader: Reader,
    writer: Writer,
    overlay: Overlay,
    recorded: Recorded,
    records: HashMap<u32, TableRecord>,
    tables: HashMap<u32, StoredTable>,
    /// Tables that are read beside the stream: how many of their rows are listed as known in part.
    partial: HashMap<u32, u64>,
    /// Entries below it are in the batch that is being published.
    sealed: Option<u64>,
    /// Entries below it may be written, and where the file stands then.
    released: (u64, Point),
    /// The same of the write that is under way.
    writing: Option<(u64, Recorded)>,
    wrote_at: Instant,
    missing: MissingRows,
    joining: Joining,
    key: Vec<u8>,
    spare: Vec<u8>,
}

impl RowStore {
    /// Goes on from where the file stands.
    pub(crate) fn new(
        file: StoreFile,
        recorded: Recorded,
        settings: &Settings,
        joining: Joining,
        steps: Steps,
    ) -> Result<RowStore, Error> {
        let reader = file.read()?;
        let begun = joining.begun.clone();
        let mut rows = RowStore {
            records: reader.tables()?,
            reader,
            writer: Writer::start(file, steps)?,
            overlay: Overlay::default(),
            released: (0, recorded.point()),
            recorded,
            tables: HashMap::new(),
            partial: HashMap::new(),
            sealed: None,
            writing: None,
            wrote_at: Instant::now(),
            missing: settings.missing,
            joining,
            key: Vec::new(),
            spare: Vec::new(),
        };
        for table in begun {
            rows.keep_list(table)?;
        }
        Ok(rows)
    }

    /// Where the file stands.
    pub(crate) fn point(&self) -> Point {
        self.recorded.point()
    }

    /// What becomes of a change of that relation whose old row is not known. One that is still to be read has not been
    /// told of.
    pub(crate) fn missing(&self, relation: u32) -> MissingRows {
        let table = self.tables.get(&relation);
        if self.joining.reads && table.is_some_and(|table| table.awaited) {
            return MissingRows::AsSent;
        }
        self.missing
    }

    /// Whether a relation's rows are to be stored: the server sends a key of old rows, and not all of them.
    pub(crate) fn wants(patterns: &Patterns, relation: &Relation) -> bool {
        let identity = match relation.replica_identity {
            ReplicaIdentity::Default | ReplicaIdentity::Index => !relation.identity().is_empty(),
            ReplicaIdentity::Full | ReplicaIdentity::Nothing => false,
        };
        let name = TableName {
            schema: relation.schema.clone(),
            name: relation.name.clone(),
        };
        identity && patterns.matches(&name)
    }

    /// Makes a relation's rows known; `described` is none if they are not stored. `xid` is the transaction that
    /// changes one of them first.
    pub(crate) fn describe(&mut self, relation: &Relation, described: Option<Described>, xid: u32) {
        let id = relation.id;
        self.tables.remove(&id);
        let (mut record, before) = self.take_record(id);
        let Some(Described {
            mut catalog,
            captured,
            through,
        }) = described
        else {
            // Rows that are changed and not stored would be wrong if it were stored again.
            if !record.layouts.is_empty() {
                self.forget_rows(id, &mut record);
            }
            self.give_record(id, record, &before);
            return;
        };
        let stayed = record.publishing.meet(&through, Some(catalog.seen_at));
        let came_back = record.meet_partitions(&mut catalog);
        let last = record.layouts.last();
        let layout = Layout::new(&relation.columns, &catalog, Seen::During(xid), last);
        let identity = relation.identity();
        let other_key =
            last.is_some_and(|last| !keeps_key(last, &record.identity, &layout, &identity));
        let forgotten = last.is_some() && (!stayed || came_back || other_key);
        if forgotten {
            tracing::warn!(
                schema = %relation.schema, table = %relation.name,
                "stored rows are forgotten: the table, or a partition of it, was out of the publication, or the \
                 key that old rows carry is another one now"
            );
            self.forget_rows(id, &mut record);
            record.awaited = !stayed;
        }
        if !record
            .layouts
            .last()
            .is_some_and(|last| last.is_same(&layout))
        {
            record.layouts.push(layout);
        }
        record.identity = identity;
        self.tables.insert(id, StoredTable::new(&record, captured));
        self.give_record(id, record, &before);
    }

    /// Whether a relation may have been out of the publication, if these are its ways into it now.
    pub(crate) fn may_have_left(&self, relation: u32, through: &[String]) -> bool {
        let record = self.records.get(&relation);
        record.is_some_and(|record| !record.publishing.knows(through))
    }

    /// Tables got other column lists, and have not been out of the publication.
    pub(crate) fn relist(&mut self, relisted: &Relisted) {
        let mut altered = Vec::new();
        for (id, record) in &mut self.records {
            if record.publishing.follow(relisted) {
                altered.push((*id, record.clone()));
            }
        }
        for (id, record) in altered {
            self.put_record(id, record);
        }
    }

    /// Rows of a table are about to be read that see all that has been streamed. Those that are stored are forgotten
    /// here if it was out of the publication, and not when they are read: what changes meanwhile is not among them.
    pub(crate) fn expect(&mut self, table: &FedTable) -> Result<(), Error> {
        let (mut record, before) = self.take_record(table.id);
        let looked_at = Some(table.catalog.seen_at);
        if !record.publishing.meet(&table.through, looked_at) {
            self.empty(table.id, &mut record);
            record.awaited = true;
        }
        if let Some(stored) = self.tables.get_mut(&table.id) {
            stored.settled_at = record.publishing.settled_at();
            stored.awaited = record.awaited;
        }
        self.give_record(table.id, record, &before);
        self.keep_list(table.id)
    }

    /// Begins to store rows of a table that were read, and have their place where the stream is.
    pub(crate) fn begin_feed(&mut self, mut table: FedTable) {
        let (mut record, before) = self.take_record(table.id);
        record.publishing.settle();
        if let Some(garbage) = table.meet(&mut record, true) {
            let nothing = |_: &mut Vec<u8>| {};
            self.overlay.put(&garbage, Some(nothing));
            self.forget_list(table.id);
        }
        let stored = StoredTable::new(&record, table.captured);
        self.tables.insert(table.id, stored);
        self.give_record(table.id, record, &before);
    }

    /// All rows of a table are stored.
    pub(crate) fn end_feed(&mut self, table: u32) {
        let (mut record, before) = self.take_record(table);
        record.awaited = false;
        if let Some(stored) = self.tables.get_mut(&table) {
            stored.awaited = false;
        }
        self.give_record(table, record, &before);
    }

    /// A table's record, and what it was.
    fn take_record(&mut self, table: u32) -> (TableRecord, TableRecord) {
        let awaited = !self.joining.known.contains(&table);
        let known = self.records.remove(&table);
        let record = known.unwrap_or_else(|| TableRecord {
            awaited,
            ..TableRecord::default()
        });
        (record.clone(), record)
    }

    fn give_record(&mut self, table: u32, record: TableRecord, before: &TableRecord) {
        if record == *before {
            self.records.insert(table, record);
        } else {
            self.put_record(table, record);
        }
    }

    fn put_record(&mut self, table: u32, record: TableRecord) {
        let value = record.to_bytes();
        let write = |out: &mut Vec<u8>| out.extend_from_slice(&value);
        self.overlay.put(&TableRecord::key(table), Some(write));
        self.records.insert(table, record);
    }

    fn forget_rows(&mut self, table: u32, record: &mut TableRecord) {
        let nothing = |_: &mut Vec<u8>| {};
        let garbage = record.forget_rows(table);
        self.overlay.put(&garbage, Some(nothing));
        self.forget_list(table);
    }

    /// Whether a relation's rows are stored.
    #[inline]
    pub(crate) fn stores(&self, relation: u32) -> bool {
        self.tables.contains_key(&relation)
    }

    /// A change of the relation is read, of a transaction that committed there: a layout that no message has
    /// replaced until then is sure, and so is what publishes it.
    pub(crate) fn reach(&mut self, relation: u32, commit_lsn: Lsn) {
        let Some(table) = self.tables.get_mut(&relation) else {
            return;
        };
        let sure = table.sure_from.take_if(|from| commit_lsn >= *from);
        let settled = table.settled_at.take_if(|from| commit_lsn >= *from);
        if sure.or(settled).is_none() {
            return;
        }
        if let Some(mut record) = self.records.remove(&relation) {
            if let Some(layout) = record.layouts.last_mut().filter(|_| sure.is_some()) {
                layout.make_sure();
            }
            if settled.is_some() {
                record.publishing.settle();
            }
            self.put_record(relation, record);
        }
    }

    /// Looks up the row with the key that `row` has; `None`: it is not known.
    pub(crate) fn find(&mut self, relation: u32, row: impl Row) -> Result<Option<OldRow>, Error> {
        let Some(table) = self.tables.get(&relation) else {
            return Ok(None);
        };
        self.key.clear();
        if !table.write_key(relation, row, &mut self.key) {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.clear();
        let found = match self.overlay.get(&self.key) {
            Found::Removed => false,
            Found::Value(entry) => table.read(entry, &mut bytes).map(|()| true)?,
            Found::Nothing => match self.reader.get(&self.key)? {
                None => false,
                Some(entry) => table.read(entry.value(), &mut bytes).map(|()| true)?,
            },
        };
        if !found {
            self.spare = bytes;
            return Ok(None);
        }
        let columns = table.columns;
        let unknown = {
            let row = StoredRow::new(&bytes, columns)?;
            unknown(row, &table.captured)
        };
        Ok(Some(OldRow {
            bytes,
            columns,
            unknown,
        }))
    }

    /// Gives a row's memory back.
    pub(crate) fn recycle(&mut self, old: Option<OldRow>) {
        if let Some(old) = old {
            self.spare = old.bytes;
        }
    }

    /// The name of a relation's column.
    pub(crate) fn column_name(&self, relation: u32, index: usize) -> String {
        let layout = self
            .records
            .get(&relation)
            .and_then(|record| record.layouts.last());
        layout.map_or_else(String::new, |layout| layout.name(index).to_owned())
    }

    /// Stores a row; `false` if it lacks its key.
    pub(crate) fn put(&mut self, relation: u32, row: impl Row) -> Result<bool, Error> {
        let Some(table) = self.tables.get(&relation) else {
            return Ok(true);
        };
        self.key.clear();
        if !table.write_key(relation, row, &mut self.key) {
            return Ok(false);
        }
        let write = |out: &mut Vec<u8>| entry::write_row(table.layout, row, &table.captured, out);
        self.overlay.put(&self.key, Some(write));
        if self.partial.contains_key(&relation) {
            let partial = unknown(row, &table.captured).is_some();
            self.list(relation, partial)?;
        }
        Ok(true)
    }

    /// Fills what is not known of the stored row with the key of `read` from it, if there is one.
    pub(crate) fn fill(&mut self, relation: u32, read: impl Row) -> Result<(), Error> {
        let Some(stored) = self.find(relation, read)? else {
            return Ok(());
        };
        if stored.unknown.is_some() {
            let (new, old) = (stored.row()?, read);
            self.put(relation, Filled { new, old })?;
        } else {
            self.unlist(relation, read)?;
        }
        self.recycle(Some(stored));
        Ok(())
    }

    /// Removes the row with that key; `false` if it lacks it.
    pub(crate) fn remove(&mut self, relation: u32, row: impl Row) -> Result<bool, Error> {
        let Some(table) = self.tables.get(&relation) else {
            return Ok(true);
        };
        self.key.clear();
        if !table.write_key(relation, row, &mut self.key) {
            return Ok(false);
        }
        self.overlay.put(&self.key, None::<fn(&mut Vec<u8>)>);
        self.list(relation, false)?;
        Ok(true)
    }

    /// Whether two rows have the same key.
    pub(crate) fn same_key(&self, relation: u32, one: impl Row, other: impl Row) -> bool {
        let Some(table) = self.tables.get(&relation) else {
            return true;
        };
        let same = |index: &usize| one.columns().nth(*index) == other.columns().nth(*index);
        table.identity.iter().all(same)
    }

    /// Removes all rows of a relation.
    pub(crate) fn truncate(&mut self, relation: u32) {
        if !self.tables.contains_key(&relation) {
            return;
        }
        if let Some(mut record) = self.records.remove(&relation) {
            self.empty(relation, &mut record);
            self.put_record(relation, record);
        }
    }

    /// Forgets the rows of a table that is as it was.
    fn empty(&mut self, table: u32, record: &mut TableRecord) {
        let layouts = std::mem::take(&mut record.layouts);
        self.forget_rows(table, record);
        record.layouts = layouts;
        if let Some(table) = self.tables.get_mut(&table) {
            table.generation = record.generation;
        }
    }

    /// Number of the change that comes next.
    pub(crate) fn end(&self) -> u64 {
        self.overlay.end()
    }

    /// Memory of the changes that are in no closed batch, bytes.
    pub(crate) fn open_bytes(&self) -> usize {
        self.overlay
            .bytes_from(self.sealed.unwrap_or(self.released.0))
    }

    /// A batch is closed whose changes end there.
    pub(crate) fn seal(&mut self, end: u64) {
        self.sealed = Some(end);
    }

    /// The sealed batch is committed, and the position there.
    pub(crate) fn committed(&mut self, point: Point) {
        if let Some(end) = self.sealed.take() {
            self.released = (end, point);
        }
    }

    /// Changes that had been published before end there.
    pub(crate) fn release(&mut self, end: u64, point: Point) {
        self.released = (end, point);
    }

    /// Whether nothing more may be read before some of it is written.
    pub(crate) fn is_full(&self) -> bool {
        self.overlay.bytes() >= OVERLAY_BYTES_MAX
    }

    /// Whether something is committed and not written.
    pub(crate) fn is_behind(&self) -> bool {
        self.writing.is_some() || self.has_released()
    }

    /// Whether a position or changes that may be written are not.
    fn has_released(&self) -> bool {
        let (end, point) = self.released;
        point != self.recorded.point() || !self.has_written(end)
    }

    /// Whether changes below that one may be written.
    pub(crate) fn may_write(&self, end: u64) -> bool {
        self.released.0 >= end
    }

    /// Whether the file has the changes below that one.
    pub(crate) fn has_written(&self, end: u64) -> bool {
        self.overlay.base() >= end
    }

    /// Starts a write if it is time to. `at_once`: if there is anything to write.
    pub(crate) fn write(&mut self, at_once: bool, now: Instant) {
        let (end, point) = self.released;
        if self.writing.is_some() || !self.has_released() {
            return;
        }
        let waiting = self.overlay.bytes() - self.overlay.bytes_from(end);
        let due = now.saturating_duration_since(self.wrote_at) >= WRITE_INTERVAL;
        if at_once || due || waiting >= WRITE_BYTES || self.is_full() {
            let recorded = Recorded::new(self.recorded.owner.clone(), point);
            self.writer.write(&self.overlay, end, &recorded);
            self.writing = Some((end, recorded));
            self.wrote_at = now;
        }
    }

    /// The write under way has ended; never if there is none. Cancel-safe.
    pub(crate) async fn written(&mut self) -> Result<(), Error> {
        if self.writing.is_none() {
            return std::future::pending().await;
        }
        self.reader = self.writer.outcome().await?;
        if let Some((end, recorded)) = self.writing.take() {
            self.overlay.forget_until(end);
            self.recorded = recorded;
        }
        Ok(())
    }
}

impl StoredTable {
    fn new(record: &TableRecord, captured: Vec<bool>) -> Self {
        let layout = record.layouts.last();
        let older = record
            .layouts
            .split_last()
            .map_or(&[][..], |(_, older)| older);
        let origins = |older: &Layout| layout.map_or_else(Vec::new, |layout| older.origins(layout));
        StoredTable {
            generation: record.generation,
            layout: u32::try_from(older.len()).unwrap_or(u32::MAX),
            columns: layout.map_or(0, Layout::len),
            identity: record.identity.clone(),
            captured,
            origins: older.iter().map(origins).collect(),
            sure_from: layout.and_then(Layout::sure_from),
            settled_at: record.publishing.settled_at(),
            awaited: record.awaited,
        }
    }

    /// Appends a row's key; `false` if it lacks a column of it.
    fn write_key(&self, relation: u32, row: impl Row, key: &mut Vec<u8>) -> bool {
        entry::write_prefix(entry::ROWS, relation, self.generation, key);
        entry::write_key(row, &self.identity, key)
    }

    /// Appends an entry's columns as those of the present layout.
    fn read(&self, entry: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let (layout, columns) = entry::split_layout(entry)?;
        if layout == self.layout {
            out.extend_from_slice(columns);
            return Ok(());
        }
        let index = usize::try_from(layout).unwrap_or(usize::MAX);
        let origins = self.origins.get(index).ok_or(Error::RowUnreadable)?;
        entry::translate(columns, origins, out)
    }
}

/// Whether rows of the one layout are found by the key of the other.
fn keeps_key(last: &Layout, old: &[usize], layout: &Layout, new: &[usize]) -> bool {
    let origins = last.origins(layout);
    let from = |index: &usize| match origins.get(*index) {
        Some(Origin::Column(own)) => Some(*own),
        _ => None,
    };
    new.iter()
        .map(from)
        .eq(old.iter().map(|index| Some(*index)))
}

/// The columns of a table as a relation message would name them.
pub(crate) fn relation_columns(catalog: &TableLayout, names: &[String]) -> Vec<RelationColumn> {
    let column = |name: &String| {
        let mut all = catalog.attributes.iter();
        let found = all.find(|found| !found.dropped && found.name == *name)?;
        Some(RelationColumn {
            name: found.name.clone(),
            identity: false,
            type_oid: found.type_oid,
            type_modifier: found.type_modifier,
        })
    };
    names.iter().filter_map(column).collect()
}
