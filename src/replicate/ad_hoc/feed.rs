//! What is read goes into the row store before it is published.
//!
//! A chunk's rows are in no log, so a store that lacks them can never make up for it: they are in its file before Kafka
//! has them. And not before the file has come to where they are read: what is streamed below that point would find rows
//! of later. So they are changes of the store like any other, with their place between what is streamed, and the chunk
//! waits until the file has got there.

use super::rows::{Rows, columns};
use super::{AdHoc, Doing, Fed, Window};
use crate::event::Column;
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
        let (relation, identity) = (table.id, table.identity.clone());
        rows.begin_feed(*table);
        if let Some(read) = window.held() {
            store_rows(read, relation, &identity, rows)?;
        }
        held.listed = rows.has_listed(relation);
        if held.next.is_none() && !held.listed {
            rows.end_feed(relation);
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
            | Doing::HoldingPart(..)
            | Doing::Pacing(_) => None,
        }
    }
}

fn store_rows(
    read: &Rows,
    relation: u32,
    identity: &[usize],
    rows: &mut RowStore,
) -> Result<(), Error> {
    // It was read as a row, and with its key, before.
    let row = |body| columns(body).ok();
    for (row, excess) in read.left().filter_map(row) {
        rows.put(relation, row)?;
        if excess.is_some() {
            // To read it again would not tell what it was too large for.
            rows.unlist(relation, row)?;
        }
    }
    for (row, excess) in read.taken_out().filter_map(row) {
        match excess {
            None => rows.fill(relation, row)?,
            Some(_) => rows.unlist(relation, row)?,
        }
    }
    for key in read.absent() {
        // A change that has it is behind the snapshot that has not, and would have been noted.
        let mut row = vec![Column::Unchanged; identity.last().map_or(0, |last| last + 1)];
        for (index, text) in identity.iter().zip(key) {
            if let Some(column) = row.get_mut(*index) {
                *column = Column::Text(text.as_bytes());
            }
        }
        rows.remove(relation, row.as_slice())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;
    use crate::postgres::{Excess, RowBody};
    use crate::replicate::ad_hoc::write_key;
    use crate::replicate::row_store::example::{TABLE, open, row};

    /// `(id, 1, big)` as a query shows it, or what was kept of it without `big`.
    fn body(id: &str, big: Option<&str>) -> Vec<u8> {
        let kind = if big.is_some() { &b""[..] } else { b"t" };
        let mut body = vec![0, 3];
        for text in [id, "1"].into_iter().chain(big) {
            body.extend_from_slice(kind);
            body.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        if big.is_none() {
            body.push(b'u');
        }
        body
    }

    /// Rows that are listed and read by their keys: those that changed since, and those that were too large.
    #[test]
    fn what_was_read_by_its_key_is_known_as_far_as_it_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let mut rows = open(directory.path(), true);
        let excess = Excess {
            bytes: 9,
            bytes_max: 8,
        };
        let key = |id: &str| {
            let (mut key, id) = (Vec::new(), [Column::Text(id.as_bytes())]);
            assert!(write_key(&[0], Some(id.as_slice()), None, &mut key));
            key
        };
        let mut read = Rows::default();
        let names = [
            "left",
            "large",
            "newer",
            "newer-large",
            "other",
            "gone",
            "came",
        ];
        for id in names {
            assert!(rows.put(TABLE, row(id, None).as_slice()).unwrap());
            match id {
                "left" | "newer" | "other" => {
                    read.push(&key(id), RowBody::Whole(&body(id, Some("b"))));
                }
                "large" | "newer-large" => {
                    read.push(&key(id), RowBody::Condensed(&body(id, None), excess));
                }
                _ => {}
            }
        }
        let absent = ["gone", "came"].map(|id| (key(id).into(), vec![vec![id.to_owned()]]));
        read.lack(HashMap::from(absent));
        read.take_out(&key("newer"));
        read.take_out(&key("newer-large"));
        read.forget(&key("other"));
        read.forget(&key("came"));
        store_rows(&read, TABLE, &[0], &mut rows).unwrap();
        let listed = rows.listed(TABLE, 9).unwrap().concat();
        let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
        assert_eq!(listed, BTreeSet::from(["came", "other"]));
        for id in names {
            let found = rows.find(TABLE, row(id, None).as_slice()).unwrap();
            let known = found.map(|row| row.unknown.is_none());
            let expected = match id {
                "left" | "newer" => Some(true),
                "gone" => None,
                _ => Some(false),
            };
            assert_eq!(known, expected, "{id}");
        }
    }
}
