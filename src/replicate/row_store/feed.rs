//! `Feed`: a snapshot's rows on their way into the file.

use std::collections::HashMap;
use std::sync::Arc;

use super::changes::Changes;
use super::file::{Recorded, StoreFile, TableRecord};
use super::layout::{Layout, Seen};
use super::{Error, StoredTable, entry, keeps_key, relation_columns};
use crate::event::Row;
use crate::postgres::TableLayout;

/// A table whose rows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FedTable {
    /// `pg_class.oid`.
    pub(crate) id: u32,
    /// Its columns as the catalog has them, under a lock.
    pub(crate) catalog: TableLayout,
    /// Names of the columns that are read, in their order.
    pub(crate) columns: Vec<String>,
    /// Indexes of those that old rows carry.
    pub(crate) identity: Vec<usize>,
    /// Which of them are captured.
    pub(crate) captured: Vec<bool>,
    /// What puts it into the publication.
    pub(crate) through: Vec<String>,
    /// What is stored of it counts no more.
    pub(crate) anew: bool,
}

impl FedTable {
    /// The same, with the columns of another look.
    pub(crate) fn with(self, catalog: TableLayout) -> FedTable {
        FedTable { catalog, ..self }
    }

    /// Takes the table in as it is at its rows' place. What is to be removed, if what was stored of it is forgotten;
    /// `stayed`: it has been in the publication all the time.
    pub(super) fn meet(&mut self, record: &mut TableRecord, stayed: bool) -> Option<Vec<u8>> {
        let came_back = record.meet_partitions(&mut self.catalog);
        let columns = relation_columns(&self.catalog, &self.columns);
        let new = |record: &TableRecord| {
            let last = record.layouts.last();
            Layout::new(&columns, &self.catalog, Seen::Locked, last)
        };
        let mut layout = new(record);
        let last = record.layouts.last();
        let keeps = |last| keeps_key(last, &record.identity, &layout, &self.identity);
        let keeps = last.is_none_or(keeps);
        let mut garbage = None;
        if last.is_some() && (self.anew || !stayed || came_back || !keeps) {
            garbage = Some(record.forget_rows(self.id));
            layout = new(record);
        }
        if !record
            .layouts
            .last()
            .is_some_and(|last| last.is_same(&layout))
        {
            record.layouts.push(layout);
        }
        record.identity.clone_from(&self.identity);
        garbage
    }
}

/// Takes rows of a snapshot; each worker has a clone with rows of its own.
#[derive(Clone)]
pub(crate) struct Feed {
    file: StoreFile,
    tables: Arc<HashMap<u32, StoredTable>>,
    rows: Changes,
}

impl Feed {
    /// Records the tables, and where the file stands while they are read.
    pub(crate) fn begin(
        file: StoreFile,
        recorded: &Recorded,
        tables: Vec<FedTable>,
    ) -> Result<Feed, Error> {
        let reader = file.read()?;
        let mut records = reader.tables()?;
        let mut stored = HashMap::new();
        let mut changes = Changes::default();
        changes.push(Recorded::key(), Some(&recorded.to_bytes()));
        for mut table in tables {
            let mut record = records.remove(&table.id).unwrap_or_default();
            let stayed = record.publishing.meet(&table.through, None);
            if let Some(garbage) = table.meet(&mut record, stayed) {
                changes.push(&garbage, Some(&[]));
            }
            changes.push(&TableRecord::key(table.id), Some(&record.to_bytes()));
            stored.insert(table.id, StoredTable::new(&record, table.captured));
        }
        file.write(changes.sorted().into_iter())?;
        Ok(Feed {
            file,
            tables: Arc::new(stored),
            rows: Changes::default(),
        })
    }

    /// Takes a row; those of tables that are not stored are left out.
    pub(crate) fn add(&mut self, table: u32, row: impl Row) {
        let Some(stored) = self.tables.get(&table) else {
            return;
        };
        // A key's columns are not null.
        self.rows.insert(
            |key| stored.write_key(table, row, key),
            |value| entry::write_row(stored.layout, row, &stored.captured, value),
        );
    }

    /// Writes what was taken.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.file.write(self.rows.sorted().into_iter())?;
        self.rows.clear();
        Ok(())
    }
}
