//! Stored rows: their columns' text behind lengths, and the number of the layout that they have. Pure.
//!
//! ```text
//! key    'r' table:u32 generation:u32 { length text }…     'p' instead: the row is known in part
//! row    layout { 0: null | 1: unknown | length + 2, text }…
//! ```
//!
//! Lengths and layouts are LEB128, as in Protocol Buffers. A table that is emptied gets another generation.

use super::Error;
use super::layout::Origin;
use crate::event::{Column, Row};

const NULL: u64 = 0;
const UNKNOWN: u64 = 1;
const TEXT: u64 = 2;

/// Begins the keys of rows.
pub(super) const ROWS: u8 = b'r';
/// Begins the keys of what tells that a row is known in part.
pub(super) const PARTIAL: u8 = b'p';

/// Appends the beginning of the keys of a table's entries of that kind.
pub(super) fn write_prefix(kind: u8, table: u32, generation: u32, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&table.to_be_bytes());
    out.extend_from_slice(&generation.to_be_bytes());
}

/// Appends a row's key after its prefix; `false` if the row lacks a column of it.
pub(super) fn write_key(row: impl Row, identity: &[usize], out: &mut Vec<u8>) -> bool {
    let mut columns = row.columns().enumerate();
    // Both are in the table's order.
    for index in identity {
        match columns.find(|(at, _)| at == index) {
            Some((_, Column::Text(text))) => {
                write_number(text.len() as u64, out);
                out.extend_from_slice(text);
            }
            _ => return false,
        }
    }
    true
}

/// Reads what stands behind a key's prefix: the text of its columns. `None` if it is no key.
pub(super) fn read_key(mut rest: &[u8]) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(read_number(&mut rest)?).ok()?;
        let (text, after) = rest.split_at_checked(length)?;
        columns.push(std::str::from_utf8(text).ok()?.to_owned());
        rest = after;
    }
    Some(columns)
}

/// Appends a row. A column that is not captured is not stored.
pub(super) fn write_row(layout: u32, row: impl Row, captured: &[bool], out: &mut Vec<u8>) {
    write_number(layout.into(), out);
    for (column, captured) in row.columns().zip(captured) {
        write_column(if *captured { column } else { Column::Unchanged }, out);
    }
}

fn write_column(column: Column<'_>, out: &mut Vec<u8>) {
    match column {
        Column::Null => write_number(NULL, out),
        Column::Unchanged => write_number(UNKNOWN, out),
        Column::Text(text) => {
            write_number(text.len() as u64 + TEXT, out);
            out.extend_from_slice(text);
        }
    }
}

/// Takes the layout's number off a stored row.
pub(super) fn split_layout(entry: &[u8]) -> Result<(u32, &[u8]), Error> {
    let mut rest = entry;
    let layout = read_number(&mut rest).and_then(|number| u32::try_from(number).ok());
    Ok((layout.ok_or(Error::RowUnreadable)?, rest))
}

/// Appends the columns of a row of an older layout as those of a newer one.
pub(super) fn translate(
    columns: &[u8],
    origins: &[Origin],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut rest = columns;
    let mut old = Vec::new();
    while !rest.is_empty() {
        old.push(next(&mut rest).ok_or(Error::RowUnreadable)?);
    }
    for origin in origins {
        let column = match origin {
            Origin::Column(index) => *old.get(*index).ok_or(Error::RowUnreadable)?,
            Origin::Null => Column::Null,
            Origin::Text(text) => Column::Text(text.as_bytes()),
            Origin::Unknown => Column::Unchanged,
        };
        write_column(column, out);
    }
    Ok(())
}

/// The columns of a stored row, [`Column::Unchanged`] where the value is not known. They have been checked:
/// iterating cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredRow<'a>(&'a [u8]);

impl<'a> StoredRow<'a> {
    /// A view over the columns after the layout's number, of which there have to be `count`.
    pub(super) fn new(bytes: &'a [u8], count: usize) -> Result<Self, Error> {
        let mut rest = bytes;
        for _ in 0..count {
            next(&mut rest).ok_or(Error::RowUnreadable)?;
        }
        if rest.is_empty() {
            Ok(StoredRow(bytes))
        } else {
            Err(Error::RowUnreadable)
        }
    }

    /// Its columns, which outlive the view.
    pub(super) fn into_columns(self) -> impl Iterator<Item = Column<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || next(&mut rest))
    }
}

impl Row for StoredRow<'_> {
    #[inline]
    fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        self.into_columns()
    }
}

#[inline]
fn next<'a>(rest: &mut &'a [u8]) -> Option<Column<'a>> {
    match read_number(rest)? {
        NULL => Some(Column::Null),
        UNKNOWN => Some(Column::Unchanged),
        length => {
            let length = usize::try_from(length - TEXT).ok()?;
            let (text, after) = rest.split_at_checked(length)?;
            *rest = after;
            Some(Column::Text(text))
        }
    }
}

#[inline]
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7F);
            return;
        }
        out.push(low | 0x80);
    }
}

#[inline]
fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..9 {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: &[u8] = &[b'w'; 300];
    const ROW: [Column<'static>; 4] = [
        Column::Text(b"7"),
        Column::Null,
        Column::Text(WIDE),
        Column::Unchanged,
    ];

    fn stored(row: &[Column<'_>], captured: &[bool]) -> Vec<u8> {
        let mut out = Vec::new();
        write_row(300, row, captured, &mut out);
        out
    }

    #[test]
    fn a_row_comes_back_as_it_was_stored() {
        let entry = stored(&ROW, &[true; 4]);
        let (layout, bytes) = split_layout(&entry).unwrap();
        assert_eq!(layout, 300);
        let columns: Vec<_> = StoredRow::new(bytes, 4).unwrap().into_columns().collect();
        assert_eq!(columns, ROW);
        let excluded = stored(&ROW, &[true, true, false, true]);
        assert!(excluded.len() < 10, "what is not captured is not stored");
    }

    #[test]
    fn a_row_that_is_cut_or_too_long_is_refused() {
        let entry = stored(&ROW, &[true; 4]);
        let (_, bytes) = split_layout(&entry).unwrap();
        for count in [3, 5] {
            assert!(StoredRow::new(bytes, count).is_err());
        }
        for length in 0..bytes.len() {
            assert!(StoredRow::new(&bytes[..length], 4).is_err(), "{length}");
        }
        assert!(split_layout(&[0xFF; 9]).is_err() && split_layout(b"").is_err());
    }

    #[test]
    fn keys_tell_rows_tables_and_generations_apart() {
        let key = |table, generation, row: &[Column<'_>], identity: &[usize]| {
            let mut out = Vec::new();
            write_prefix(ROWS, table, generation, &mut out);
            write_key(row, identity, &mut out).then_some(out)
        };
        let row = |a: &'static str, b: &'static str| {
            [Column::Text(a.as_bytes()), Column::Text(b.as_bytes())]
        };
        let keys = [
            key(1, 0, &row("ab", "c"), &[0, 1]),
            key(1, 0, &row("a", "bc"), &[0, 1]),
            key(1, 1, &row("a", "bc"), &[0, 1]),
            key(2, 0, &row("a", "bc"), &[0, 1]),
            key(2, 0, &row("a", "bc"), &[1]),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(one.is_some() && !keys[..index].contains(one));
        }
        let columns = keys.map(|key| read_key(&key.unwrap()[9..]).unwrap());
        assert_eq!(columns[..2], [["ab", "c"], ["a", "bc"]]);
        assert_eq!(columns[4], ["bc"]);
        assert_eq!((read_key(&[2, b'a']), read_key(&[1, 0xFF])), (None, None));
        assert_eq!(key(1, 0, &ROW, &[1]), None);
        assert_eq!(key(1, 0, &ROW, &[3]), None);
    }

    #[test]
    fn a_row_of_an_older_layout_is_read_as_one_of_the_new() {
        let entry = stored(&ROW, &[true; 4]);
        let (_, bytes) = split_layout(&entry).unwrap();
        let mut out = Vec::new();
        let seven = Origin::Text("7".to_owned());
        let origins = [Origin::Column(2), Origin::Null, seven, Origin::Unknown];
        translate(bytes, &origins, &mut out).unwrap();
        let expected = [ROW[2], Column::Null, Column::Text(b"7"), Column::Unchanged];
        let row = StoredRow::new(&out, 4).unwrap();
        assert_eq!(row.into_columns().collect::<Vec<_>>(), expected);
    }
}
