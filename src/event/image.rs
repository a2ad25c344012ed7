//! Images of rows: `{"order_id":7,"status":"placed"}`, for `before`, `after` and keys.

use super::error::EncodeError;
use super::json::Unexpected;
use super::plan::{KeyColumn, Plan, PlanColumn, quoted_content};
use super::row::{Column, Row};
use super::value;

/// A row whose unchanged TOAST values are taken from the old row, where that has them.
#[derive(Clone, Copy, Debug)]
pub struct Filled<N, O> {
    /// The new row.
    pub new: N,
    /// The old row.
    pub old: O,
}

impl<N: Row, O: Row> Row for Filled<N, O> {
    #[inline]
    fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        self.new
            .columns()
            .zip(self.old.columns())
            .map(|(new, old)| match (new, old) {
                (Column::Unchanged, Column::Text(_)) => old,
                _ => new,
            })
    }
}

/// An old row of which only the identity's columns were sent. Those are never null (PostgreSQL asks
/// it of the index), so the nulls are the columns that were not sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdentityOnly<R>(pub(super) R);

impl<R: Row> Row for IdentityOnly<R> {
    #[inline]
    fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        self.0.columns().map(|column| match column {
            Column::Null => Column::Unchanged,
            Column::Unchanged | Column::Text(_) => column,
        })
    }

    fn is_identity(&self) -> bool {
        true
    }
}

/// No row, where a row of some type might be.
pub(super) const NOTHING: Option<&[Column<'static>]> = None;

/// Which row a key is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    /// A whole row, where a null is a null.
    WholeRow,
    /// An old row's identity, where a null is a column that was not sent.
    IdentityOfOldRow,
}

/// Appends the row's columns as an object, without the unchanged ones; tells whether there were any.
#[inline]
pub(super) fn write_image(
    plan: &Plan,
    row: impl Row,
    scratch: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Result<bool, EncodeError> {
    let start = bytes.len();
    let is_identity = row.is_identity();
    let mut unchanged = false;
    let mut planned = plan.columns.iter();
    for value in row.columns() {
        let Some(column) = planned.next() else {
            return Err(column_count(plan, row));
        };
        match value {
            Column::Unchanged => match column.placeholder(is_identity) {
                Some(placeholder) => bytes.extend_from_slice(placeholder),
                None => unchanged = true,
            },
            Column::Null => write_null(column, bytes),
            Column::Text(text) => write_text(column, text, scratch, bytes)
                .map_err(|Unexpected| unexpected(plan, column, text))?,
        }
    }
    if planned.next().is_some() {
        return Err(column_count(plan, row));
    }
    match bytes.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => bytes.push(b'{'),
    }
    bytes.push(b'}');
    Ok(unchanged)
}

/// Appends the record key as an object.
#[inline]
pub(super) fn write_key(
    plan: &Plan,
    columns: &[KeyColumn],
    row: impl Row,
    source: KeySource,
    scratch: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    for key in columns {
        let value = row.columns().nth(key.index);
        match value.ok_or_else(|| column_count(plan, row))? {
            Column::Text(text) => write_text(&key.column, text, scratch, bytes)
                .map_err(|Unexpected| unexpected(plan, &key.column, text))?,
            Column::Null if source == KeySource::WholeRow => write_null(&key.column, bytes),
            Column::Null | Column::Unchanged => {
                let column = key.column.name.clone();
                return Err(EncodeError::KeyNotSent {
                    table: plan.full_name(),
                    column,
                });
            }
        }
    }
    match &plan.key_end {
        None => bytes.push(b'}'),
        Some(end) => bytes.extend_from_slice(end),
    }
    Ok(())
}

/// Appends the names of the row's unchanged columns, as strings with commas between.
pub(super) fn write_names(plan: &Plan, row: impl Row, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for (column, value) in plan.columns.iter().zip(row.columns()) {
        if value == Column::Unchanged && column.unchanged.is_none() {
            if bytes.len() > start {
                bytes.push(b',');
            }
            bytes.push(b'"');
            bytes.extend(quoted_content(&column.name));
            bytes.push(b'"');
        }
    }
}

#[inline]
fn write_text(
    column: &PlanColumn,
    text: &[u8],
    scratch: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    column.label.append(bytes);
    value::write(&column.kind, text, scratch, bytes)
}

fn write_null(column: &PlanColumn, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&column.null);
}

#[cold]
pub(super) fn unexpected(plan: &Plan, column: &PlanColumn, text: &[u8]) -> EncodeError {
    let (table, name) = (plan.full_name(), column.name.clone());
    if std::str::from_utf8(text).is_err() {
        return EncodeError::NotUtf8 {
            table,
            column: name,
        };
    }
    EncodeError::Value {
        table,
        column: name,
        expected: column.kind.expectation(),
    }
}

#[cold]
pub(super) fn column_count(plan: &Plan, row: impl Row) -> EncodeError {
    EncodeError::ColumnCount {
        table: plan.full_name(),
        expected: plan.columns.len(),
        found: row.columns().count(),
    }
}
