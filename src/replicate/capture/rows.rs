//! What becomes of the change of a row: records of the batch, and the row as it is now in the row store.

use super::passed_over::exceeds;
use super::{Capture, CapturedTable};
use crate::config::settings::MissingRows;
use crate::event::{Change, Column, EncodeError, Filled, Lsn, OldRow, PassedRows, Plan, Row};
use crate::pgoutput::{OldTuple, RelationIds, Tuple};
use crate::postgres::Excess;
use crate::replicate::Error;
use crate::replicate::fence::{Fence, KeyMissing};
use crate::replicate::row_store::{self, RowStore};

/// A change that somebody wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) change: Change,
    /// It becomes records.
    pub(super) publish: bool,
    /// Its row is stored.
    pub(super) store: bool,
}

impl Capture {
    #[inline]
    pub(super) fn insert(
        &mut self,
        relation: u32,
        wanted: Wanted,
        new: Tuple<'_>,
    ) -> Result<(), Error> {
        let Wanted { change, .. } = wanted;
        let plan = plan(&self.tables, relation, change.lsn)?;
        if let Some(fence) = self.fence(relation)
            && hides(fence, plan, new, change.lsn, self.excess)?
        {
            return Ok(());
        }
        if wanted.publish {
            let result = match self.excess {
                None => self.encoder.insert(plan, change, new, &mut self.batch),
                Some(excess) => Err(exceeds(excess, plan)),
            };
            self.finish(result, relation, change, || PassedRows::Insert(new))?;
        }
        self.put(relation, wanted, new)
    }

    #[inline]
    pub(super) fn update(
        &mut self,
        relation: u32,
        wanted: Wanted,
        old: Option<OldTuple<'_>>,
        new: Tuple<'_>,
    ) -> Result<(), Error> {
        let Wanted { change, .. } = wanted;
        let plan = plan(&self.tables, relation, change.lsn)?;
        if let Some(on_update) = plan.on_update() {
            return self.update_outbox(relation, wanted, on_update);
        }
        let (mut hidden, excess) = ((false, false), self.excess);
        if let Some(fence) = self.fence(relation) {
            let hides = |row| hides(fence, plan, row, change.lsn, excess);
            let hides_new = hides(new)?;
            let hides_old = match old {
                None => hides_new,
                Some(OldRow::Key(old) | OldRow::Full(old)) => hides(old)?,
            };
            hidden = (hides_old, hides_new);
        }
        // The halves differ only where the key does.
        match (hidden, old) {
            ((true, true), _) => Ok(()),
            (_, old) if excess.is_some() => self.exceed(relation, wanted, hidden, old, new),
            ((false, false), old) if wanted.store => self.update_stored(relation, wanted, old, new),
            ((false, false), old) => {
                let result = self.encoder.update(plan, change, old, new, &mut self.batch);
                self.finish(result, relation, change, || PassedRows::Update(old, new))
            }
            ((true, false), Some(old)) => self.arrive(relation, wanted, old, new),
            ((false, true), Some(old)) => self.disappear(relation, wanted, old),
            _ => Ok(()),
        }
    }

    /// An update that was not held. What its row does not show may have changed, so it is not known from here on.
    #[cold]
    fn exceed(
        &mut self,
        relation: u32,
        wanted: Wanted,
        (hides_old, hides_new): (bool, bool),
        old: Option<OldTuple<'_>>,
        new: Tuple<'_>,
    ) -> Result<(), Error> {
        let Wanted { change, .. } = wanted;
        if let (true, Some(excess)) = (wanted.publish, self.excess) {
            let plan = plan(&self.tables, relation, change.lsn)?;
            let result = Err(exceeds(excess, plan));
            self.finish(result, relation, change, || PassedRows::Update(old, new))?;
        }
        if let (false, Some(OldRow::Key(old) | OldRow::Full(old))) = (hides_old, old) {
            self.remove(relation, wanted, old)?;
        }
        if hides_new {
            return Ok(());
        }
        self.put(relation, wanted, new)
    }

    /// An update with its whole old row, if that is known.
    fn update_stored(
        &mut self,
        relation: u32,
        wanted: Wanted,
        old: Option<OldTuple<'_>>,
        new: Tuple<'_>,
    ) -> Result<(), Error> {
        let needed = match old {
            None => self.encoder.needs_old_rows(),
            Some(_) => self.encoder.shows_deleted_rows() || self.encoder.needs_old_rows(),
        };
        let is_needed = (wanted.publish && needed) || has_unchanged(new);
        let sent = old.map(|(OldRow::Key(old) | OldRow::Full(old))| old);
        let stored = if is_needed {
            self.find(relation, wanted, sent.unwrap_or(new))?
        } else {
            None
        };
        let plan = plan(&self.tables, relation, wanted.change.lsn)?;
        let whole = stored.as_ref().map(row_store::OldRow::row).transpose()?;
        if wanted.publish {
            let (encoder, batch, change) = (&mut self.encoder, &mut self.batch, wanted.change);
            let result = match whole {
                Some(old) => {
                    let old = Some(OldRow::Full(old));
                    encoder.update(plan, change, old, new, batch)
                }
                None => encoder.update(plan, change, old, new, batch),
            };
            self.finish(result, relation, change, || PassedRows::Update(old, new))?;
        }
        let plan = self::plan(&self.tables, relation, wanted.change.lsn)?;
        let Some(rows) = &mut self.rows else {
            return Ok(());
        };
        match (whole, sent) {
            (Some(old), _) => replace(rows, relation, plan, old, new)?,
            (None, Some(old)) => replace(rows, relation, plan, old, new)?,
            (None, None) if rows.put(relation, new)? => {}
            (None, None) => return Err(key_missing(plan)),
        }
        rows.recycle(stored);
        Ok(())
    }

    /// The second half of a key change. What the store has under the old key is another row by now.
    fn arrive(
        &mut self,
        relation: u32,
        wanted: Wanted,
        old: OldTuple<'_>,
        new: Tuple<'_>,
    ) -> Result<(), Error> {
        let plan = plan(&self.tables, relation, wanted.change.lsn)?;
        if wanted.publish {
            let (batch, change) = (&mut self.batch, wanted.change);
            let result = self.encoder.arrive(plan, change, old, new, batch);
            self.finish(result, relation, change, || {
                PassedRows::Update(Some(old), new)
            })?;
        }
        self.put(relation, wanted, new)
    }

    #[inline]
    pub(super) fn delete(
        &mut self,
        relation: u32,
        wanted: Wanted,
        old: OldTuple<'_>,
    ) -> Result<(), Error> {
        let lsn = wanted.change.lsn;
        if let Some(fence) = self.fence(relation) {
            let (OldRow::Key(row) | OldRow::Full(row)) = old;
            if hides(
                fence,
                plan(&self.tables, relation, lsn)?,
                row,
                lsn,
                self.excess,
            )? {
                return Ok(());
            }
        }
        self.disappear(relation, wanted, old)
    }

    fn disappear(&mut self, relation: u32, wanted: Wanted, old: OldTuple<'_>) -> Result<(), Error> {
        let lsn = wanted.change.lsn;
        let (OldRow::Key(sent) | OldRow::Full(sent)) = old;
        let shown = self.encoder.shows_deleted_rows() && self.excess.is_none();
        let stored = if wanted.store && wanted.publish && shown {
            self.find(relation, wanted, sent)?
        } else {
            None
        };
        let plan = plan(&self.tables, relation, lsn)?;
        if wanted.publish {
            let (encoder, batch, change) = (&mut self.encoder, &mut self.batch, wanted.change);
            let result = match (self.excess, &stored) {
                (Some(excess), _) => Err(exceeds(excess, plan)),
                (None, Some(row)) => encoder.delete(plan, change, OldRow::Full(row.row()?), batch),
                (None, None) => encoder.delete(plan, change, old, batch),
            };
            self.finish(result, relation, change, || PassedRows::Delete(old))?;
        }
        if let Some(rows) = &mut self.rows {
            rows.recycle(stored);
        }
        self.remove(relation, wanted, sent)
    }

    /// Stores a row that has no older one.
    fn put(&mut self, relation: u32, wanted: Wanted, row: Tuple<'_>) -> Result<(), Error> {
        self.store(relation, wanted, |rows| rows.put(relation, row))
    }

    /// Removes the row with the key of `row` from the store.
    fn remove(&mut self, relation: u32, wanted: Wanted, row: Tuple<'_>) -> Result<(), Error> {
        self.store(relation, wanted, |rows| rows.remove(relation, row))
    }

    /// Changes the store, if the change is for it. `change` fails where the row does not carry its key; one that
    /// was too large to be held is that of a row that is not known.
    fn store(
        &mut self,
        relation: u32,
        wanted: Wanted,
        change: impl FnOnce(&mut RowStore) -> Result<bool, row_store::Error>,
    ) -> Result<(), Error> {
        let Some(rows) = self.rows.as_mut().filter(|_| wanted.store) else {
            return Ok(());
        };
        if change(rows)? || self.excess.is_some() {
            return Ok(());
        }
        let plan = plan(&self.tables, relation, wanted.change.lsn)?;
        Err(key_missing(plan))
    }

    pub(super) fn truncate(
        &mut self,
        relations: RelationIds<'_>,
        wanted: Wanted,
    ) -> Result<(), Error> {
        let change = wanted.change;
        for relation in relations.iter() {
            if self.ignored.contains(&relation) || self.fence(relation).is_some() {
                continue;
            }
            if wanted.publish {
                let table = self.tables.get(&relation).ok_or(Error::UnknownRelation {
                    relation,
                    lsn: change.lsn,
                })?;
                let batch = &mut self.batch;
                let truncated = self
                    .encoder
                    .truncate(&table.plan, change, table.partitions, batch);
                encoded(truncated, change.lsn)?;
            }
            if let Some(rows) = self.rows.as_mut().filter(|_| wanted.store) {
                rows.truncate(relation);
            }
        }
        Ok(())
    }

    /// The stored row with the key of `row`.
    fn find(
        &mut self,
        relation: u32,
        wanted: Wanted,
        row: Tuple<'_>,
    ) -> Result<Option<row_store::OldRow>, Error> {
        let Some(rows) = &mut self.rows else {
            return Ok(None);
        };
        let found = rows.find(relation, row)?;
        if !wanted.publish || rows.missing(relation) == MissingRows::AsSent {
            return Ok(found);
        }
        let lsn = wanted.change.lsn;
        let table = || plan(&self.tables, relation, lsn).map(Plan::full_name);
        let unknown = match &found {
            None => row_store::Error::RowUnknown {
                table: table()?,
                lsn,
            },
            Some(old) => match old.unknown {
                None => return Ok(found),
                Some(column) => row_store::Error::ColumnUnknown {
                    table: table()?,
                    column: rows.column_name(relation, column),
                    lsn,
                },
            },
        };
        Err(unknown.into())
    }

    /// The fence that a change of the open transaction may lie behind. An outbox has none: a row that was gone
    /// again when its range was read is an event all the same.
    #[inline]
    fn fence(&self, relation: u32) -> Option<Fence<'_>> {
        let fence = self.fences.as_ref()?.of(relation, self.open?.commit_lsn)?;
        let routed = self.routes && self.plan(relation).is_some_and(Plan::is_routed);
        (!routed).then_some(fence)
    }
}

pub(super) fn has_unchanged(row: Tuple<'_>) -> bool {
    row.columns().any(|column| column == Column::Unchanged)
}

/// Stores a row in the place of an older one, which may have had another key.
fn replace(
    rows: &mut RowStore,
    relation: u32,
    plan: &Plan,
    old: impl Row,
    new: impl Row,
) -> Result<(), Error> {
    let new = Filled { new, old };
    let moved = !rows.same_key(relation, old, new);
    let stored = (!moved || rows.remove(relation, old)?) && rows.put(relation, new)?;
    if stored {
        Ok(())
    } else {
        Err(key_missing(plan))
    }
}

#[cold]
fn key_missing(plan: &Plan) -> Error {
    row_store::Error::KeyMissing {
        table: plan.full_name(),
    }
    .into()
}

/// A key that was too large to be kept hides nothing: the change is told of, at worst once more.
fn hides(
    fence: Fence<'_>,
    plan: &Plan,
    row: Tuple<'_>,
    lsn: Lsn,
    excess: Option<Excess>,
) -> Result<bool, Error> {
    match fence.hides(plan, row) {
        Ok(hides) => Ok(hides),
        Err(KeyMissing { .. }) if excess.is_some() => Ok(false),
        Err(KeyMissing { column }) => Err(Error::KeyMissing {
            table: plan.full_name(),
            column,
            lsn,
        }),
    }
}

pub(super) fn plan(
    tables: &std::collections::HashMap<u32, CapturedTable>,
    relation: u32,
    lsn: Lsn,
) -> Result<&Plan, Error> {
    let table = tables
        .get(&relation)
        .ok_or(Error::UnknownRelation { relation, lsn })?;
    Ok(&table.plan)
}

pub(super) fn encoded(result: Result<(), EncodeError>, lsn: Lsn) -> Result<(), Error> {
    result.map_err(|source| Error::Encode { lsn, source })
}
