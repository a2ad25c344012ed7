//! Updates that change nothing of what events show.
//!
//! What counts is what a reader would see: columns that are left out do not, masked and truncated values count
//! as they are shown, and so does text that differs where its form does not. A value that an update left as it
//! was is the same. One whose old value is not known may not be, and the update is told of.

use super::Encoder;
use crate::event::Batch;
use crate::event::plan::{Plan, PlanColumn};
use crate::event::row::{Column, Row};
use crate::event::value;

impl Encoder {
    /// Whether an event would show the same row before and after an update. `out` stays as it is.
    pub(super) fn shows_no_change(
        &mut self,
        plan: &Plan,
        old: impl Row,
        new: impl Row,
        out: &mut Batch,
    ) -> bool {
        let mut columns = old.columns().zip(new.columns());
        let same = plan.columns.iter().all(|column| {
            // A row that lacks a column is refused by whoever writes it.
            let values = columns.next();
            values.is_some_and(|(old, new)| self.shows_same(column, old, new, out))
        });
        same && columns.next().is_none()
    }

    #[inline]
    fn shows_same(
        &mut self,
        column: &PlanColumn,
        old: Column<'_>,
        new: Column<'_>,
        out: &mut Batch,
    ) -> bool {
        match (old, new) {
            (_, Column::Unchanged) | (Column::Null, Column::Null) => true,
            (Column::Text(old), Column::Text(new)) if old == new => true,
            _ if column.is_dropped() => true,
            (Column::Text(old), Column::Text(new)) => self.looks_same(column, old, new, out),
            (Column::Unchanged | Column::Text(_), Column::Null)
            | (Column::Unchanged | Column::Null, Column::Text(_)) => false,
        }
    }

    /// A text that has no form is not the same: whoever writes it says what is wrong.
    #[cold]
    fn looks_same(&mut self, column: &PlanColumn, old: &[u8], new: &[u8], out: &mut Batch) -> bool {
        let bytes = &mut out.bytes;
        let start = bytes.len();
        let old = value::write(&column.kind, old, &mut self.scratch, bytes);
        let middle = bytes.len();
        let new = value::write(&column.kind, new, &mut self.scratch, bytes);
        let same = bytes.get(start..middle) == bytes.get(middle..);
        bytes.truncate(start);
        old.is_ok() && new.is_ok() && same
    }
}
