//! What is read goes into the row store before it is published.
//!
//! A chunk's rows are in no log, so a store that lacks them can never make up for it: they are in its file before Kafka
//! has them. And not before the file has come to where they are read: what is streamed below that point would find rows
//! of later. So they are changes of the store like any other, with their place between what is streamed, and the chunk
//! waits until the file has got there.

use super::rows::{Rows, columns};
use super::{AdHoc, Doing, Fed, Window};
use crate::replicate::row_store::{Error, FedTable, RowStore};

impl AdHoc {
    /// The table whose chunk is ordered, if its rows are stored.
    pub(crate) fn stored_table(&self) -> Option<&FedTable> {
        self.table.as_ref()?.description.fed.as_ref()
    }

    /// Whether the row store waits for rows that are held.
    pub(crate) fn has_rows_to_store(&self) -> bool {
        matches!(&self.doing, Doing::Holding(held) if matches!(held.fed, Fed::Waiting(_)))
    }

    /// Stores what is left of the chunk that is held, at the place that the stream has come to. What was streamed
    /// meanwhile of the other rows has not sent values that it left as they were; they are as they were read.
    pub(crate) fn store(&mut self, window: &Window, rows: &mut RowStore) -> Result<(), Error> {
        let Doing::Holding(held) = &mut self.doing else {
            return Ok(());
        };
        let Fed::Waiting(table) = std::mem::replace(&mut held.fed, Fed::Unstored) else {
            return Ok(());
        };
        let relation = table.id;
        rows.begin_feed(*table, held.next.is_none());
        let left = window.held().into_iter().flat_map(Rows::left);
        for row in left {
            // It was read as a row, and with its key, before.
            if let Ok((row, _)) = columns(row) {
                rows.put(relation, row);
            }
        }
        let newer = window.held().into_iter().flat_map(Rows::taken_out);
        for row in newer {
            if let Ok((row, None)) = columns(row) {
                rows.fill(relation, row)?;
            }
        }
        held.fed = Fed::Until(rows.end());
        Ok(())
    }

    /// Up to which change the row store has to be written before what is held is published.
    pub(crate) fn stored_until(&self) -> Option<u64> {
        match &self.doing {
            Doing::Holding(held) => match held.fed {
                Fed::Until(end) => Some(end),
                Fed::Unstored | Fed::Waiting(_) => None,
            },
            Doing::Nothing
            | Doing::Asking(..)
            | Doing::Reading
            | Doing::Voiding
            | Doing::Stopping
            | Doing::Anchoring
            | Doing::RunningUp(_)
            | Doing::ReadingPart(..)
            | Doing::HoldingPart(..) => None,
        }
    }
}
