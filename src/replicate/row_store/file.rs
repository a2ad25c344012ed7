//! The store's file: one ordered map, written atomically and durably together with the position that it is
//! true for.
//!
//! ```text
//! m                       whose store it is, and where it stands
//! t table                 the table's layouts and generation
//! r table generation key  a row
//! p table generation key  that row is known in part, of a table that is read beside the stream
//! g table generation      rows of a generation that is gone, removed little by little
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    AccessGuard, Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable,
    StorageError, Table, TableDefinition, TableError,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Error;
use super::bounded::BoundedFile;
use super::entry::{PARTIAL, ROWS};
use super::layout::Layout;
use super::publishing::Publishing;
use crate::config::settings::RowStore as Settings;
use crate::event::{Epoch, Lsn};
use crate::postgres::TableLayout;
use crate::replicate::capture::Point;

/// The one map.
const ENTRIES: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("entries");
/// Name of the file in its directory.
const NAME: &str = "rows.redb";
/// Version of the file's content.
const FORMAT_VERSION: u32 = 1;
/// Key of [`Recorded`].
const RECORDED: &[u8] = b"m";
/// Begins the keys of tables.
const TABLES: u8 = b't';
/// Begins the keys of generations that are gone.
const GARBAGE: u8 = b'g';
/// Rows of those that one write removes.
const REMOVED_MAX: usize = 20_000;

/// Whose store it is, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    format_version: u32,
    #[serde(flatten)]
    pub(crate) owner: Owner,
    resume_lsn: Lsn,
    commit_lsn: Lsn,
    ordinal: u64,
    last_change_lsn: Lsn,
}

/// Whose store it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) system_id: String,
    pub(crate) database: String,
    pub(crate) prefix: String,
    pub(crate) slot: String,
    pub(crate) epoch: Epoch,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Owner {
            system_id,
            database,
            prefix,
            slot,
            epoch,
        } = self;
        write!(
            f,
            "source {system_id} database {database}, prefix {prefix}, slot {slot}, epoch {epoch}"
        )
    }
}

impl Recorded {
    pub(crate) fn new(owner: Owner, point: Point) -> Self {
        Recorded {
            format_version: FORMAT_VERSION,
            owner,
            resume_lsn: point.resume,
            commit_lsn: point.commit_lsn,
            ordinal: point.ordinal,
            last_change_lsn: point.last_change_lsn,
        }
    }

    /// Where it stands: everything below is in it.
    pub(crate) fn point(&self) -> Point {
        Point {
            resume: self.resume_lsn,
            commit_lsn: self.commit_lsn,
            ordinal: self.ordinal,
            last_change_lsn: self.last_change_lsn,
        }
    }

    pub(super) fn key() -> &'static [u8] {
        RECORDED
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Serialising plain numbers and strings into memory does not fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What is stored of a table beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableRecord {
    /// In the keys of its rows; another one when all of them are gone.
    pub(super) generation: u32,
    /// Columns of the key, as indexes into the last layout.
    pub(super) identity: Vec<usize>,
    /// Numbered from 0.
    pub(super) layouts: Vec<Layout>,
    /// Partitions that it has had: the transactions that attached them, and their files.
    #[serde(default)]
    pub(super) partitions: BTreeMap<u32, (u32, Option<u32>)>,
    /// How often one of them was rewritten, which is what stands for the file of all.
    #[serde(default)]
    pub(super) rewrites: u32,
    /// What puts it into the publication.
    #[serde(default)]
    pub(super) publishing: Publishing,
    /// Its rows from before are read beside the stream, if those of tables that join are.
    #[serde(default)]
    pub(super) awaited: bool,
}

impl TableRecord {
    pub(super) fn key(table: u32) -> [u8; 5] {
        let [a, b, c, d] = table.to_be_bytes();
        [TABLES, a, b, c, d]
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // As above.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Takes in the partitions that the catalog has, and lets it have one file for all of them. `true` if one
    /// came back, with rows that may have changed where nobody saw it.
    pub(super) fn meet_partitions(&mut self, catalog: &mut TableLayout) -> bool {
        if catalog.storage.is_some() {
            return false;
        }
        let (mut came_back, mut rewritten) = (false, false);
        for partition in &catalog.partitions {
            let now = (partition.attached_by, partition.storage);
            if let Some(before) = self.partitions.insert(partition.id, now) {
                came_back |= before.0 != now.0;
                rewritten |= before.1 != now.1;
            }
        }
        self.rewrites += u32::from(rewritten);
        catalog.storage = Some(self.rewrites);
        came_back
    }

    /// Forgets its rows; the key under which they are removed.
    pub(super) fn forget_rows(&mut self, table: u32) -> Vec<u8> {
        let garbage = self.garbage_key(table);
        self.generation += 1;
        self.layouts.clear();
        garbage
    }

    /// The key under which rows of the present generation are removed.
    pub(super) fn garbage_key(&self, table: u32) -> Vec<u8> {
        let (table, generation) = (table.to_be_bytes(), self.generation.to_be_bytes());
        [&[GARBAGE][..], &table, &generation].concat()
    }
}

/// The open file; clones are the same.
#[derive(Clone)]
pub(crate) struct StoreFile {
    database: Arc<Database>,
    path: PathBuf,
    bytes_max: u64,
    /// The bound has been reached.
    reached: Arc<AtomicBool>,
}

/// The map as of one write.
pub(super) struct Reader {
    entries: Option<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    file: StoreFile,
}

impl StoreFile {
    /// Where it lies.
    pub(crate) fn path(settings: &Settings) -> PathBuf {
        settings.path.join(NAME)
    }

    /// Opens the file; `None`: there is none.
    pub(crate) fn open(settings: &Settings) -> Result<Option<StoreFile>, Error> {
        let path = StoreFile::path(settings);
        if path.exists() {
            StoreFile::build(settings, path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Makes an empty file in the place of whatever is there.
    pub(crate) fn create(settings: &Settings) -> Result<StoreFile, Error> {
        let path = StoreFile::path(settings);
        let failed = |source| Error::File {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(&settings.path).map_err(failed)?;
        // To say that another process has it, instead of taking it away.
        if let Err(error) = StoreFile::open(settings)
            && !matches!(error, Error::Damaged { .. })
        {
            return Err(error);
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        StoreFile::build(settings, path)
    }

    fn build(settings: &Settings, path: PathBuf) -> Result<StoreFile, Error> {
        let reached = Arc::new(AtomicBool::new(false));
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let database = open.map_err(DatabaseError::from).and_then(|file| {
            let file = BoundedFile::new(file, settings.bytes_max, Arc::clone(&reached))?;
            Builder::new()
                .set_cache_size(settings.cache_bytes)
                .create_with_backend(file)
        });
        let database = match database {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(Error::InUse { path }),
            Err(error) => return Err(failure(&path, settings.bytes_max, &reached, error.into())),
        };
        Ok(StoreFile {
            database: Arc::new(database),
            path,
            bytes_max: settings.bytes_max,
            reached,
        })
    }

    /// Whose it is and where it stands; `None` until the first write.
    pub(crate) fn recorded(&self) -> Result<Option<Recorded>, Error> {
        self.read()?.recorded()
    }

    /// The map as it is now.
    pub(super) fn read(&self) -> Result<Reader, Error> {
        let open = || -> Result<_, redb::Error> {
            match self.database.begin_read()?.open_table(ENTRIES) {
                Ok(entries) => Ok(Some(entries)),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        Ok(Reader {
            entries: open().map_err(|error| self.failed(error))?,
            file: self.clone(),
        })
    }

    /// Writes all of them durably, or none; and removes a little of what is gone.
    pub(super) fn write<'c>(
        &self,
        changes: impl Iterator<Item = (&'c [u8], Option<&'c [u8]>)>,
    ) -> Result<(), Error> {
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            // Opening it after a crash does not take longer the more it holds.
            transaction.set_quick_repair(true);
            let mut entries = transaction.open_table(ENTRIES)?;
            for (key, value) in changes {
                match value {
                    Some(value) => entries.insert(key, value)?,
                    None => entries.remove(key)?,
                };
            }
            remove_garbage(&mut entries)?;
            drop(entries);
            Ok(transaction.commit()?)
        };
        write().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: redb::Error) -> Error {
        failure(&self.path, self.bytes_max, &self.reached, error)
    }
}

impl Reader {
    /// A key's value.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<AccessGuard<'_, &'static [u8]>>, Error> {
        let Some(entries) = &self.entries else {
            return Ok(None);
        };
        entries
            .get(key)
            .map_err(|error| self.file.failed(error.into()))
    }

    /// Tells the keys that begin so, in their order, until `each` has enough.
    pub(super) fn each_key(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Error> {
        let Some(entries) = &self.entries else {
            return Ok(());
        };
        let range = entries.range::<&[u8]>(prefix..);
        for entry in range.map_err(|error| self.file.failed(error.into()))? {
            let (key, _) = entry.map_err(|error| self.file.failed(error.into()))?;
            if !key.value().starts_with(prefix) || !each(key.value()) {
                break;
            }
        }
        Ok(())
    }

    /// Whose it is and where it stands; `None` until the first write.
    pub(super) fn recorded(&self) -> Result<Option<Recorded>, Error> {
        let value = self.get(RECORDED)?;
        value.map(|value| parse(value.value())).transpose()
    }

    /// The tables.
    pub(super) fn tables(&self) -> Result<HashMap<u32, TableRecord>, Error> {
        let mut tables = HashMap::new();
        let Some(entries) = &self.entries else {
            return Ok(tables);
        };
        let range = entries.range::<&[u8]>(&[TABLES][..]..&[TABLES + 1][..]);
        for entry in range.map_err(|error| self.file.failed(error.into()))? {
            let (key, value) = entry.map_err(|error| self.file.failed(error.into()))?;
            let oid = key.value().get(1..).and_then(|oid| oid.try_into().ok());
            let oid = u32::from_be_bytes(oid.ok_or(Error::RowUnreadable)?);
            tables.insert(oid, parse(value.value())?);
        }
        Ok(tables)
    }
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|_| Error::RowUnreadable)
}

/// Removes rows of the first generation that is gone.
fn remove_garbage(
    entries: &mut Table<'_, &'static [u8], &'static [u8]>,
) -> Result<(), StorageError> {
    let first = {
        let mut garbage = entries.range::<&[u8]>(&[GARBAGE][..]..&[GARBAGE + 1][..])?;
        garbage
            .next()
            .transpose()?
            .map(|(key, _)| key.value().to_vec())
    };
    let Some(garbage) = first else { return Ok(()) };
    let mut removed = 0;
    for kind in [PARTIAL, ROWS] {
        let (from, until) = keys_of(kind, &garbage);
        let gone = entries.extract_from_if(from.as_slice()..until.as_slice(), |_, _| true)?;
        for entry in gone.take(REMOVED_MAX - removed) {
            entry?;
            removed += 1;
        }
    }
    if removed < REMOVED_MAX {
        entries.remove(garbage.as_slice())?;
    }
    Ok(())
}

/// The keys of that kind of a generation that is gone, the end excluded.
fn keys_of(kind: u8, garbage: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let id = garbage.get(1..).unwrap_or_default();
    let from = [&[kind], id].concat();
    let next = id
        .try_into()
        .ok()
        .and_then(|id| u64::from_be_bytes(id).checked_add(1));
    let until = next.map_or_else(
        || vec![kind + 1],
        |next| [&[kind], &next.to_be_bytes()[..]].concat(),
    );
    (from, until)
}

fn failure(path: &Path, bytes_max: u64, reached: &AtomicBool, error: redb::Error) -> Error {
    let path = path.to_owned();
    if reached.load(Ordering::Relaxed) {
        return Error::Full { path, bytes_max };
    }
    if matches!(error, redb::Error::PreviousIo) {
        let source = io::Error::other("an earlier write failed");
        return Error::File { path, source };
    }
    let damaged = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
    let is_io = |error: &redb::Error| matches!(error, redb::Error::Io(source) if !damaged.contains(&source.kind()));
    if is_io(&error)
        && let redb::Error::Io(source) = error
    {
        return Error::File { path, source };
    }
    Error::Damaged {
        path,
        source: Box::new(error),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
