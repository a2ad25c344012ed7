//! The row store around a start: whether the stream can go on with it, and what a snapshot puts into it.

use super::capture::Point;
use super::resume::{PositionFound, SlotFound};
use super::row_store::{self, FedTable, Feed, Joining, Owner, Recorded, RowStore, StoreFile};
use super::start::Opening;
use super::{Context, Error, members};
use crate::config::settings::{self, MissingRows, SnapshotMode};
use crate::connection::Database;
use crate::event::selection::Selection;
use crate::event::{Lsn, ReplicaIdentity};
use crate::postgres::{self, Patterns, PublishedTable, TableShape};

/// An open store, and where it stands.
pub(super) struct Stored {
    pub(super) file: StoreFile,
    pub(super) recorded: Recorded,
}

impl Context {
    /// `[row_store]`, unless nothing is streamed.
    pub(super) fn row_store(&self) -> Result<Option<&settings::RowStore>, Error> {
        let streams = self.source()?.snapshot != SnapshotMode::Only;
        Ok(self.settings.row_store.as_ref().filter(|_| streams))
    }
}

impl Opening<'_> {
    /// Opens the row store that the stream, or an unfinished snapshot, goes on with. One that it cannot go on
    /// with is as good as a lost slot: both take a new snapshot.
    pub(super) fn open_rows(&mut self, slot: SlotFound) -> Result<SlotFound, Error> {
        let Some(settings) = self.context.row_store()? else {
            return Ok(slot);
        };
        let SlotFound::At(confirmed) = slot else {
            return Ok(slot);
        };
        match self.found {
            PositionFound::Missing | PositionFound::Snapshot(_) => Ok(slot),
            PositionFound::Reading(begun) => {
                match self.usable_rows(settings, confirmed) {
                    Ok(stored) if stored.recorded.point().resume == begun => {
                        self.stored = Some(stored);
                    }
                    Err(error) if error.is_transient() => return Err(error.into()),
                    _ => {
                        tracing::warn!(
                            "the snapshot starts over: the row store is not that of its beginning"
                        );
                        self.found = PositionFound::Snapshot(begun);
                    }
                }
                Ok(slot)
            }
            PositionFound::Streaming(_) => {
                let error = match self.usable_rows(settings, confirmed) {
                    Ok(stored) => {
                        self.stored = Some(stored);
                        return Ok(slot);
                    }
                    Err(error) => error,
                };
                let again = self.context.source()?.snapshot == SnapshotMode::WhenNeeded;
                let anew = matches!(error, row_store::Error::Missing { .. });
                if again && error.needs_snapshot() {
                    tracing::warn!(%error, "the tables are read anew for the row store");
                    return Ok(SlotFound::Lost);
                }
                if anew && settings.missing == MissingRows::AsSent {
                    tracing::warn!(
                        "an empty row store begins: events of rows from before are as the server sends them"
                    );
                    self.create_rows(self.point())?;
                    return Ok(slot);
                }
                Err(error.into())
            }
        }
    }

    fn usable_rows(
        &self,
        settings: &settings::RowStore,
        confirmed: Lsn,
    ) -> Result<Stored, row_store::Error> {
        let (path, resume) = (StoreFile::path(settings), self.record.resume_lsn);
        let missing = || row_store::Error::Missing {
            path: path.clone(),
            resume,
        };
        let file = StoreFile::open(settings)?.ok_or_else(missing)?;
        let recorded = file.recorded()?.ok_or_else(missing)?;
        let found = self.owner();
        if recorded.owner != found {
            return Err(row_store::Error::Foreign {
                path,
                stored: recorded.owner.to_string(),
                found: found.to_string(),
            });
        }
        let stored = recorded.point();
        if stored.is_past(&self.point()) {
            return Err(row_store::Error::Ahead {
                path,
                stored: stored.resume,
                resume,
            });
        }
        if confirmed > stored.resume {
            return Err(row_store::Error::Behind {
                path,
                stored: stored.resume,
                confirmed,
            });
        }
        Ok(Stored { file, recorded })
    }

    /// Begins an empty store, if there is to be one, in the place of any other.
    pub(super) fn create_rows(&mut self, point: Point) -> Result<(), Error> {
        // The one that is open, too.
        self.stored = None;
        let Some(settings) = self.context.row_store()? else {
            return Ok(());
        };
        let file = StoreFile::create(settings)?;
        let recorded = Recorded::new(self.owner(), point);
        Feed::begin(file.clone(), &recorded, Vec::new())?;
        self.stored = Some(Stored { file, recorded });
        Ok(())
    }

    /// What takes the rows of a snapshot; none if they are not stored.
    pub(super) fn feed(&self, tables: Vec<FedTable>) -> Result<Option<Feed>, Error> {
        let stored = self.stored.as_ref();
        let feed = stored.map(|stored| Feed::begin(stored.file.clone(), &stored.recorded, tables));
        Ok(feed.transpose()?)
    }

    /// A table whose rows a snapshot stores; `None` if it stores none.
    pub(super) async fn fed_table(
        &self,
        shape: &TableShape,
        published: &PublishedTable,
    ) -> Result<Option<FedTable>, Error> {
        match self.context.row_store()? {
            None => Ok(None),
            Some(settings) => {
                let selection = &self.context.settings.selection;
                let patterns = &settings.tables;
                fed_table(self.tables.catalog(), patterns, selection, shape, published).await
            }
        }
    }

    /// The store for the stream that begins; none if rows are not stored.
    pub(super) async fn take_rows(&mut self) -> Result<Option<RowStore>, Error> {
        let Some((settings, stored)) = self.context.row_store()?.zip(self.stored.take()) else {
            return Ok(None);
        };
        let source = self.context.source()?;
        let standby = postgres::is_in_recovery(self.tables.catalog()).await?;
        let joining = Joining {
            reads: members::reads(source) && !standby,
            known: std::mem::take(&mut self.known),
            begun: self.ad_hoc.begun().collect(),
        };
        let steps = self.context.steps.clone();
        let rows = RowStore::new(stored.file, stored.recorded, settings, joining, steps)?;
        Ok(Some(rows))
    }

    fn owner(&self) -> Owner {
        let (kafka, source) = (&self.context.settings.kafka, &self.context.settings.source);
        Owner {
            system_id: self.identity.system_id.clone(),
            database: self.identity.database.clone(),
            prefix: kafka
                .as_ref()
                .map_or_else(String::new, |kafka| kafka.prefix.clone()),
            slot: source
                .as_ref()
                .map_or_else(String::new, |source| source.slot.clone()),
            epoch: self.record.epoch,
        }
    }
}

/// A table whose rows are stored when they are read; `None` if they are not.
pub(super) async fn fed_table(
    catalog: &Database,
    patterns: &Patterns,
    selection: &Selection,
    shape: &TableShape,
    published: &PublishedTable,
) -> Result<Option<FedTable>, Error> {
    let is_outbox = selection.outbox(&shape.schema, &shape.name).is_some();
    let mut identity = match shape.replica_identity {
        ReplicaIdentity::Default | ReplicaIdentity::Index => shape.identity(),
        ReplicaIdentity::Full | ReplicaIdentity::Nothing => Vec::new(),
    };
    identity.sort_unstable();
    if is_outbox || identity.is_empty() || !patterns.matches(&shape.table()) {
        return Ok(None);
    }
    let layout = postgres::table_layout(catalog, shape.id).await?;
    let columns = shape.columns.iter().map(|column| column.shape.name.clone());
    let columns: Vec<String> = columns.collect();
    let captures = |name: &String| {
        let columns = &selection.columns;
        columns.captures(&shape.schema, &shape.name, name)
    };
    Ok(layout.map(|catalog| FedTable {
        id: shape.id,
        catalog,
        captured: columns.iter().map(captures).collect(),
        columns,
        identity,
        through: published.through.clone(),
        anew: false,
    }))
}
