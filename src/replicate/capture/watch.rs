//! What the window of a chunk is told of the changes: the keys of the table that is read again.

use super::Capture;
use crate::event::OldRow;
use crate::pgoutput::{OldTuple, RelationIds, Tuple};
use crate::replicate::ad_hoc::{Again, Watched, Window, write_key};
use crate::replicate::fence::Fences;
use crate::replicate::row_store::RowStore;

/// The window, and the key of its table.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) window: Window,
    /// Names of the key's columns.
    key: Vec<String>,
    columns: Vec<usize>,
    text: Vec<u8>,
}

impl Watch {
    pub(super) fn new(near: u64) -> Watch {
        Watch {
            window: Window::new(near),
            key: Vec::new(),
            columns: Vec::new(),
            text: Vec::new(),
        }
    }

    /// A row's key, in `text`; `false` if the row does not carry it.
    fn write(&mut self, new: Option<Tuple<'_>>, old: Option<Tuple<'_>>) -> bool {
        write_key(&self.columns, new, old, &mut self.text)
    }
}

impl Capture {
    /// Remembers transactions by ids near that one.
    pub(crate) fn remembering(self, near: u64) -> Self {
        Capture {
            watch: Watch::new(near),
            ..self
        }
    }

    /// The window of the chunk that is read beside the stream.
    pub(crate) fn window(&mut self) -> &mut Window {
        &mut self.watch.window
    }

    /// The window, and the row store.
    pub(crate) fn beside(&mut self) -> (&mut Window, Option<&RowStore>) {
        (&mut self.watch.window, self.rows.as_ref())
    }

    /// A chunk of that table is about to be read.
    pub(crate) fn watch(&mut self, watched: Watched) {
        self.watch.key = watched.key;
        self.watch.window.open(watched.relation);
    }

    /// What is read is stored by now, or is below what was published before.
    pub(crate) fn is_feeding(&self) -> bool {
        self.feeding
    }

    /// Stores rows that are held, behind all that has been read.
    pub(crate) fn store_beside<E>(
        &mut self,
        store: impl FnOnce(&Window, &mut RowStore) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(rows) = &mut self.rows else {
            return Ok(());
        };
        store(&self.watch.window, rows)?;
        if self.open.is_none() {
            self.boundary.rows = rows.end();
        }
        Ok(())
    }

    /// Whether changes of the row store below that one end with the batch, if it is closed now.
    pub(crate) fn has_stored(&self, end: u64) -> bool {
        self.boundary.rows >= end
    }

    /// Whether a resumed snapshot may yet hide changes.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fences
            .as_ref()
            .is_some_and(|fences: &Fences| !fences.are_passed(self.boundary.point.resume))
    }

    /// Whether whole transactions ask for snapshots.
    pub(crate) fn has_requests(&self) -> bool {
        self.boundary.requests > 0
    }

    /// Tells the keys of a change, whatever becomes of it.
    #[inline]
    pub(super) fn note_row(
        &mut self,
        relation: u32,
        new: Option<Tuple<'_>>,
        old: Option<OldTuple<'_>>,
        is_new: bool,
    ) {
        if self.watch.window.watches(relation) {
            self.note_keys(relation, new, old, is_new);
        }
    }

    fn note_keys(
        &mut self,
        relation: u32,
        new: Option<Tuple<'_>>,
        old: Option<OldTuple<'_>>,
        is_new: bool,
    ) {
        let Watch { key, columns, .. } = &mut self.watch;
        let plan = self.tables.get(&relation).map(|table| &table.plan);
        columns.clear();
        columns.extend(key.iter().filter_map(|name| plan?.column(name)));
        let known = columns.len() == key.len();
        let old = old.map(|(OldRow::Key(old) | OldRow::Full(old))| old);
        let mut told = known;
        if let Some(new) = new.filter(|_| known) {
            told &= self.watch.write(Some(new), old);
            // An old row is only sent with another key, or whole. Of what was too large to be held, what is not shown
            // may be another value.
            let other = is_new || old.is_some() || self.excess.is_some();
            self.watch.window.changed(&self.watch.text, other);
        }
        if let Some(old) = old.filter(|_| told) {
            told &= self.watch.write(Some(old), None);
            self.watch.window.changed(&self.watch.text, false);
        }
        if !told {
            self.watch.window.spoil(Again::KeyMissing);
        }
    }

    pub(super) fn note_truncate(&mut self, relations: RelationIds<'_>) {
        let window = &mut self.watch.window;
        if relations.iter().any(|relation| window.watches(relation)) {
            window.truncated();
        }
    }
}
