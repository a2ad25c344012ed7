//! `Tuple`: a view over the columns of one row, in pgoutput's layout or a DataRow's.
//!
//! ```text
//! pgoutput   count:i16  { 'n' | 'u' | 't' length:i32 bytes }…
//! DataRow    count:i16  { −1:i32 | length:i32 bytes }…
//! ```
//!
//! The bytes are checked once, when the tuple is made; iterating can't fail then. Both hold the same
//! text, so one encoder serves streaming and snapshots.

use super::cursor::{Cursor, ParseError};
use crate::event::{Column, OldRow, Row};

/// What the server sent of a row before its update or delete.
pub type OldTuple<'a> = OldRow<Tuple<'a>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Pgoutput,
    DataRow,
}

/// The columns of one row; cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<'a> {
    layout: Layout,
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// The same view over a DataRow's body (after tag and length), as a simple-protocol `SELECT`
    /// returns it in text format.
    pub fn from_data_row(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(body);
        let tuple = Self::read(&mut cursor, Layout::DataRow)?;
        cursor.finish()?;
        Ok(tuple)
    }

    /// The row that a [`super::Condenser`] has left of a DataRow.
    pub fn condensed(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(bytes);
        let tuple = Self::read(&mut cursor, Layout::Pgoutput)?;
        cursor.finish()?;
        Ok(tuple)
    }

    pub(super) fn from_pgoutput(cursor: &mut Cursor<'a>) -> Result<Self, ParseError> {
        Self::read(cursor, Layout::Pgoutput)
    }

    fn read(cursor: &mut Cursor<'a>, layout: Layout) -> Result<Self, ParseError> {
        let count = cursor.count16("column count")?;
        let start = cursor.rest();
        let mut rest = start;
        for _ in 0..count {
            if layout.next(&mut rest).is_none() {
                cursor.bytes(start.len() - rest.len(), "columns")?;
                layout.refuse(cursor)?;
            }
        }
        let bytes = cursor.bytes(start.len() - rest.len(), "columns")?;
        Ok(Tuple {
            layout,
            count,
            bytes,
        })
    }

    /// Its columns, which outlive the view.
    #[inline]
    pub fn columns(self) -> Columns<'a> {
        Columns {
            layout: self.layout,
            rest: self.bytes,
        }
    }

    /// How many columns it has.
    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that its columns take in the message.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl Layout {
    /// Takes the next column off `rest`, or leaves it as it was.
    #[inline]
    fn next<'a>(self, rest: &mut &'a [u8]) -> Option<Column<'a>> {
        let mut after = *rest;
        let column = match self {
            Layout::Pgoutput => match after.split_off_first()? {
                b't' => text(&mut after)?,
                b'n' => Column::Null,
                b'u' => Column::Unchanged,
                _ => return None,
            },
            Layout::DataRow => match after.strip_prefix(&NULL_LENGTH) {
                Some(null) => {
                    after = null;
                    Column::Null
                }
                None => text(&mut after)?,
            },
        };
        *rest = after;
        Some(column)
    }

    /// Reads once more the column that [`Layout::next`] could not, to say why.
    #[cold]
    fn refuse(self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        let field = "column kind";
        let offset = cursor.offset();
        if self == Layout::Pgoutput {
            let kind = cursor.u8(field)?;
            if kind != b't' {
                return Err(ParseError::Unknown {
                    field,
                    value: kind.into(),
                    offset,
                });
            }
        }
        let length = cursor.count32("column length")?;
        cursor.bytes(length, "column value")?;
        Ok(())
    }
}

const NULL_LENGTH: [u8; 4] = (-1_i32).to_be_bytes();

#[inline]
fn text<'a>(rest: &mut &'a [u8]) -> Option<Column<'a>> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = i32::from_be_bytes(*length);
    let (text, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(Column::Text(text))
}

/// The columns of a [`Tuple`] in order.
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    layout: Layout,
    rest: &'a [u8],
}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    #[inline]
    fn next(&mut self) -> Option<Column<'a>> {
        self.layout.next(&mut self.rest)
    }
}

impl Row for Tuple<'_> {
    #[inline]
    fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        Tuple::columns(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (1, null, "") as DataRow.
    const DATA_ROW: &[u8] = &[
        0, 3, // three columns
        0, 0, 0, 1, b'1', // "1"
        0xFF, 0xFF, 0xFF, 0xFF, // null
        0, 0, 0, 0, // ""
    ];

    #[test]
    fn a_data_row_is_a_tuple() {
        let tuple = Tuple::from_data_row(DATA_ROW).unwrap();
        assert_eq!(tuple.len(), 3);
        let columns: Vec<Column<'_>> = tuple.columns().collect();
        assert_eq!(
            columns,
            [Column::Text(b"1"), Column::Null, Column::Text(b"")]
        );
    }

    #[test]
    fn a_row_without_columns() {
        let tuple = Tuple::from_data_row(&[0, 0]).unwrap();
        assert!(tuple.is_empty());
        assert_eq!(tuple.columns().count(), 0);
    }

    #[test]
    fn every_cut_of_a_data_row_is_malformed() {
        for length in 0..DATA_ROW.len() {
            assert!(
                matches!(
                    Tuple::from_data_row(&DATA_ROW[..length]),
                    Err(ParseError::Short { offset, .. }) if offset <= length
                ),
                "{length}"
            );
        }
    }

    #[test]
    fn lengths_are_not_trusted() {
        let leftover = [DATA_ROW, b"x"].concat();
        assert_eq!(
            Tuple::from_data_row(&leftover),
            Err(ParseError::Leftover {
                count: 1,
                offset: DATA_ROW.len()
            })
        );
        let negative = [0, 1, 0xFF, 0xFF, 0xFF, 0xFE];
        assert_eq!(
            Tuple::from_data_row(&negative),
            Err(ParseError::Unknown {
                field: "column length",
                value: 0xFFFF_FFFE,
                offset: 2
            })
        );
        let huge = [0, 1, 0x7F, 0xFF, 0xFF, 0xFF];
        assert_eq!(
            Tuple::from_data_row(&huge),
            Err(ParseError::Short {
                field: "column value",
                offset: 6
            })
        );
    }
}
