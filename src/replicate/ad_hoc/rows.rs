//! The rows of one chunk, each to be found by its key. Pure.

use std::collections::HashMap;
use std::ops::Range;

use crate::event::{Column, ColumnShape, Row, TypeShape};
use crate::pgoutput::{ParseError, Tuple};
use crate::postgres::{Excess, RowBody};

/// Rows as the server sent them, in their order; those whose key has changed since are taken out.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    /// None: it is another row by now.
    rows: Vec<Option<Place>>,
    /// Several rows have one key where the key's columns are not unique without an unpublished one.
    keys: HashMap<Box<[u8]>, Vec<usize>>,
    /// Keys that were asked for, by the part of them that tells chunks' rows, and had no row.
    absent: HashMap<Box<[u8]>, Vec<Vec<String>>>,
}

/// Where a row lies, and by how much it was too large to be held as a whole.
#[derive(Clone, Debug)]
struct Place {
    bytes: Range<usize>,
    excess: Option<Excess>,
    taken_out: bool,
}

/// A row's columns; by how much it was too large to be held as a whole.
pub(crate) fn columns(row: RowBody<'_>) -> Result<(Tuple<'_>, Option<Excess>), ParseError> {
    match row {
        RowBody::Whole(body) => Ok((Tuple::from_data_row(body)?, None)),
        RowBody::Condensed(kept, excess) => Ok((Tuple::condensed(kept)?, Some(excess))),
    }
}

impl Rows {
    /// Takes a row.
    pub(crate) fn push(&mut self, key: &[u8], row: RowBody<'_>) {
        let start = self.bytes.len();
        let (RowBody::Whole(bytes) | RowBody::Condensed(bytes, _)) = row;
        let excess = match row {
            RowBody::Whole(_) => None,
            RowBody::Condensed(_, excess) => Some(excess),
        };
        self.bytes.extend_from_slice(bytes);
        let index = self.rows.len();
        self.rows.push(Some(Place {
            bytes: start..self.bytes.len(),
            excess,
            taken_out: false,
        }));
        self.keys.entry(key.into()).or_default().push(index);
    }

    /// Takes keys that were asked for, and had no row.
    pub(crate) fn lack(&mut self, absent: HashMap<Box<[u8]>, Vec<Vec<String>>>) {
        self.absent = absent;
    }

    /// Takes out the rows of a key, which are newer by now.
    pub(crate) fn take_out(&mut self, key: &[u8]) {
        self.absent.remove(key);
        for index in self.keys.get(key).into_iter().flatten() {
            if let Some(Some(row)) = self.rows.get_mut(*index) {
                row.taken_out = true;
            }
        }
    }

    /// Takes out the rows of a key, which another row has by now.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.absent.remove(key);
        for index in self.keys.remove(key).unwrap_or_default() {
            if let Some(row) = self.rows.get_mut(index) {
                *row = None;
            }
        }
    }

    /// Takes out all of them.
    pub(crate) fn clear(&mut self) {
        self.rows.fill(None);
        self.keys.clear();
        self.absent.clear();
    }

    /// Keys that were asked for, and still have no row.
    pub(crate) fn absent(&self) -> impl Iterator<Item = &Vec<String>> {
        self.absent.values().flatten()
    }

    /// Those that are left.
    pub(crate) fn left(&self) -> impl Iterator<Item = RowBody<'_>> {
        self.bodies(false)
    }

    /// Those that were taken out and are still the rows of their keys.
    pub(crate) fn taken_out(&self) -> impl Iterator<Item = RowBody<'_>> {
        self.bodies(true)
    }

    fn bodies(&self, taken_out: bool) -> impl Iterator<Item = RowBody<'_>> {
        let body = |place: &Place| {
            let bytes = self.bytes.get(place.bytes.clone()).unwrap_or_default();
            let excess = place.excess;
            excess.map_or(RowBody::Whole(bytes), |excess| {
                RowBody::Condensed(bytes, excess)
            })
        };
        let rows = self.rows.iter().flatten();
        rows.filter(move |row| row.taken_out == taken_out).map(body)
    }

    /// How many there were.
    pub(crate) fn read(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of all that there were.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes the key of a row: the text of each of its columns behind its length. `false` if one is missing.
///
/// Stream and chunk show a value by the same text: the same output function, under the same settings. And a
/// change names its row by the text that was stored: of numeric, citext and the like too, since the server
/// compares old and new keys bit by bit before it leaves the old one out.
pub(crate) fn write_key<R: Row>(
    columns: &[usize],
    new: Option<R>,
    old: Option<R>,
    key: &mut Vec<u8>,
) -> bool {
    key.clear();
    for index in columns {
        let column = |row: R| {
            let found = row.columns().nth(*index);
            match found {
                Some(Column::Text(text)) => {
                    write_column(text, key);
                    Some(())
                }
                None | Some(Column::Null | Column::Unchanged) => None,
            }
        };
        let mut column = column;
        let written = new
            .and_then(&mut column)
            .or_else(|| old.and_then(&mut column));
        if written.is_none() {
            return false;
        }
    }
    true
}

/// Writes a column of a key.
pub(super) fn write_column(text: &[u8], key: &mut Vec<u8>) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(text);
}

/// Whether a value always has one text: a name, as a regclass shows it, depends on what there is besides, and
/// money on a setting.
pub(crate) fn is_canonical(column: &ColumnShape) -> bool {
    const MONEY: u32 = 790;
    const NAMES: [u32; 11] = [
        24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191,
    ];
    let oid = match &column.resolved {
        None => column.type_oid,
        Some(TypeShape::Builtin(base)) => *base,
        Some(_) => return true,
    };
    oid != MONEY && !NAMES.contains(&oid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(rows: &Rows) -> Vec<RowBody<'_>> {
        rows.left().collect()
    }

    fn row(text: &str) -> RowBody<'_> {
        RowBody::Whole(text.as_bytes())
    }

    #[test]
    fn rows_are_taken_out_by_their_key() {
        let mut rows = Rows::default();
        for (key, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
            rows.push(key.as_bytes(), row(text));
        }
        assert_eq!((rows.read(), rows.bytes()), (4, 4));
        rows.take_out(b"a");
        rows.take_out(b"x");
        assert_eq!(left(&rows), [row("2"), row("4")]);
        rows.take_out(b"b");
        rows.take_out(b"b");
        assert_eq!(left(&rows), [row("4")]);
        let taken_out = |rows: &Rows| rows.taken_out().count();
        assert_eq!(taken_out(&rows), 3);
        rows.forget(b"a");
        rows.forget(b"c");
        assert_eq!((left(&rows).len(), taken_out(&rows)), (0, 1));
        rows.push(b"c", row("4"));
        rows.clear();
        assert_eq!(
            (left(&rows).len(), taken_out(&rows), rows.read()),
            (0, 0, 5)
        );
    }

    #[test]
    fn keys_that_had_no_row_are_so_until_they_change() {
        let lacking = |keys: &[&str]| {
            let key = |key: &&str| (key.as_bytes().into(), vec![vec![(*key).to_owned()]]);
            let mut rows = Rows::default();
            rows.lack(keys.iter().map(key).collect());
            rows
        };
        let absent = |rows: &Rows| {
            let mut absent: Vec<String> = rows.absent().map(|key| key.concat()).collect();
            absent.sort_unstable();
            absent
        };
        let mut rows = lacking(&["a", "b", "c", "d"]);
        rows.take_out(b"b");
        rows.forget(b"c");
        assert_eq!(absent(&rows), ["a", "d"]);
        rows.clear();
        assert!(absent(&rows).is_empty());
    }

    #[test]
    fn a_row_that_was_too_large_stays_known_as_one() {
        let excess = Excess {
            bytes: 9,
            bytes_max: 8,
        };
        let mut rows = Rows::default();
        rows.push(b"a", RowBody::Condensed(b"kept", excess));
        assert_eq!(left(&rows), [RowBody::Condensed(b"kept", excess)]);
    }

    #[test]
    fn a_key_has_the_text_of_its_columns() {
        let text = |text: &'static str| Column::Text(text.as_bytes());
        let key = |columns: &[usize], new: &[Column<'_>], old: Option<&[Column<'_>]>| {
            let mut key = Vec::new();
            write_key(columns, Some(new), old, &mut key).then_some(key)
        };
        let row = [text("1"), Column::Null, text("11")];
        assert_eq!(
            key(&[2, 0], &row, None).unwrap(),
            b"\0\0\0\x0211\0\0\0\x011"
        );
        assert_ne!(
            key(&[0, 2], &[text("1"), text("11"), text("")], None),
            key(&[0, 2], &[text("11"), text("1"), text("")], None)
        );
        assert_eq!(key(&[1], &row, None), None);
        let unchanged = [Column::Unchanged, text("b")];
        assert_eq!(key(&[0], &unchanged, None), None);
        let old = [text("a"), Column::Null];
        assert_eq!(key(&[0], &unchanged, Some(&old)).unwrap(), b"\0\0\0\x01a");
    }
}
