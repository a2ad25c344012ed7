//! Which rows of a table that is read beside the stream are known in part, so that they can be read by their keys.
//!
//! ```text
//!  keys read         │ keys to come          a row moves down: its TOAST value is not sent,
//!  ······ x ◀────────┼──────── x ······      nothing is stored under its old key, and no range
//!         listed     ▲ reached               that is to come has its new one
//! ```
//!
//! A table is read in the order of its keys, but a row need not stay where it was. So each row that is stored with an
//! unknown value is listed, by an entry beside its own, and taken from the list with the value that was missing. What a
//! range reads is known; what is listed behind the last range is read by its keys, until nothing is. Only then is the
//! table read. Of a table that nobody reads there is no list.

use super::entry::{PARTIAL, read_key, write_prefix};
use super::overlay::Found;
use super::{Error, RowStore};
use crate::event::{Column, Row};

/// Keys of listed rows that are read together, bytes.
const KEYS_BYTES_MAX: usize = 256 << 10;

impl RowStore {
    /// Keeps the list of a table of which something is read, or is about to be.
    pub(crate) fn keep_list(&mut self, relation: u32) -> Result<(), Error> {
        if !self.partial.contains_key(&relation) {
            // An earlier read may have left some: they may be whole or gone by now, and are seen to like the others.
            let mut count = 0;
            self.each_listed(relation, |_| {
                count += 1;
                true
            })?;
            self.partial.insert(relation, count);
        }
        Ok(())
    }

    /// Keeps the list no more: nobody reads the table. What is listed stays so for who reads it next.
    pub(crate) fn drop_list(&mut self, relation: u32) {
        self.partial.remove(&relation);
    }

    /// Whether rows of the relation are listed.
    pub(crate) fn has_listed(&self, relation: u32) -> bool {
        self.partial.get(&relation).is_some_and(|count| *count > 0)
    }

    /// Keys of listed rows, at most `rows` of them: the text of the columns that old rows carry, in the table's order.
    pub(crate) fn listed(&self, relation: u32, rows: usize) -> Result<Vec<Vec<String>>, Error> {
        let (mut keys, mut bytes, mut readable) = (Vec::new(), 0, true);
        if self.has_listed(relation) {
            self.each_listed(relation, |key| {
                bytes += key.len();
                match read_key(key) {
                    Some(key) => keys.push(key),
                    None => readable = false,
                }
                readable && keys.len() < rows && bytes < KEYS_BYTES_MAX
            })?;
        }
        if readable {
            Ok(keys)
        } else {
            Err(Error::RowUnreadable)
        }
    }

    /// The row with the key of `row` is known as far as it can be.
    pub(crate) fn unlist(&mut self, relation: u32, row: impl Row) -> Result<(), Error> {
        let Some(table) = self.tables.get(&relation) else {
            return Ok(());
        };
        self.key.clear();
        if table.write_key(relation, row, &mut self.key) {
            self.list(relation, false)?;
        }
        Ok(())
    }

    /// Lists the row whose key was written, or takes it from the list, if one is kept of its table.
    pub(super) fn list(&mut self, relation: u32, partial: bool) -> Result<(), Error> {
        let Some(count) = self.partial.get_mut(&relation) else {
            return Ok(());
        };
        if !partial && *count == 0 {
            return Ok(());
        }
        if let Some(kind) = self.key.first_mut() {
            *kind = PARTIAL;
        }
        let listed = match self.overlay.get(&self.key) {
            Found::Removed => false,
            Found::Value(_) => true,
            Found::Nothing => self.reader.get(&self.key)?.is_some(),
        };
        if partial && !listed {
            self.overlay.put(&self.key, Some(|_: &mut Vec<u8>| {}));
            *count += 1;
        } else if listed && !partial {
            self.overlay.put(&self.key, None::<fn(&mut Vec<u8>)>);
            *count -= 1;
        }
        Ok(())
    }

    /// Forgets the list of rows that are forgotten.
    pub(super) fn forget_list(&mut self, relation: u32) {
        if let Some(count) = self.partial.get_mut(&relation) {
            *count = 0;
        }
    }

    /// Tells the listed keys behind their prefix, until `each` has enough.
    fn each_listed(&self, relation: u32, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), Error> {
        let Some(record) = self.records.get(&relation) else {
            return Ok(());
        };
        let mut prefix = Vec::new();
        write_prefix(PARTIAL, relation, record.generation, &mut prefix);
        let mut goes_on = true;
        let mut tell = |key: &[u8]| {
            goes_on = goes_on && each(key.get(prefix.len()..).unwrap_or_default());
            goes_on
        };
        let is_removed = |key: &[u8]| self.overlay.get(key) == Found::Removed;
        self.reader
            .each_key(&prefix, |key| is_removed(key) || tell(key))?;
        for key in self.overlay.keys(&prefix) {
            if self.reader.get(key)?.is_none() && !tell(key) {
                break;
            }
        }
        Ok(())
    }
}

/// Which captured column of a row has no value.
pub(super) fn unknown(row: impl Row, captured: &[bool]) -> Option<usize> {
    let mut values = row.columns().zip(captured);
    values.position(|(value, captured)| *captured && value == Column::Unchanged)
}

#[cfg(test)]
#[path = "partial_tests.rs"]
mod tests;
