//! A table without a key, read as of one point: the consistent point of a temporary slot, which divides the log as
//! it divides what its snapshot sees.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::reader::{Description, Told};
use super::rows::Rows;
use crate::config::settings::Source;
use crate::connection::Database;
use crate::event::{KeyRange, Lsn};
use crate::postgres::{RowBody, Session};
use crate::replicate::Error;
use crate::replicate::anchor::{Anchor, NewSlot};
use crate::replicate::begin::reading_options;
use crate::replicate::snapshot::{Reading, see};
use crate::replicate::start::{open_session, session_options, temporary_slot};

/// How long the slot may wait for transactions that are writing: the stream stands still meanwhile.
const ANCHOR_TIMEOUT: Duration = Duration::from_secs(12);
/// Rows that are handed over at once, bytes.
const ROWS_BYTES: usize = 1 << 20;
/// The source's clock, microseconds since 1970.
const CLOCK: &str = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";

/// The table as of the slot's point; slot and locks go when this is dropped.
pub(super) struct Whole {
    anchor: Anchor,
    /// Its end drops the slot.
    _slot: Session,
    read_at_us: i64,
    /// Rows that are handed over at once: what may be read in a second.
    rows_max: usize,
}

impl Whole {
    /// Locks the table, makes the slot, and begins to read.
    pub(super) async fn begin(
        source: &Source,
        held_bytes_max: usize,
        catalog: &Database,
        table: &Description,
        stop: &CancellationToken,
    ) -> Result<(Whole, Lsn), Error> {
        let mut slot = open_session(source).await?;
        let reading = Reading {
            source: source.connection.clone(),
            options: reading_options(session_options(source)),
            tables: vec![table.published.table.clone()],
        };
        let name = temporary_slot(source);
        let new = NewSlot {
            name: &name,
            temporary: true,
            primary: None,
        };
        let stop = stop.child_token();
        let mut anchor = {
            let held = Anchor::hold(&reading, 0, &mut slot, catalog, new, &stop);
            tokio::pin!(held);
            tokio::select! {
                held = &mut held => held,
                () = tokio::time::sleep(ANCHOR_TIMEOUT) => {
                    // The creation is cancelled on the server, too.
                    stop.cancel();
                    held.await
                }
            }
        }?;
        let clock = anchor.locks.query_one(CLOCK, &[]).await;
        let read_at_us = clock.map_err(Error::Catalog)?.get(0);
        let snapshot = anchor.created.snapshot.take().unwrap_or_default();
        anchor.planner.set_message_bytes_max(held_bytes_max);
        see(&mut anchor.planner, &snapshot).await?;
        let query = table.read.select(&KeyRange::default());
        anchor.planner.select(&query).await?;
        let point = anchor.created.consistent_point;
        let whole = Whole {
            anchor,
            _slot: slot,
            read_at_us,
            rows_max: source
                .snapshot_rows_per_second
                .and_then(|rows| usize::try_from(rows).ok())
                .unwrap_or(usize::MAX),
        };
        Ok((whole, point))
    }

    /// The next rows.
    pub(super) async fn rows(&mut self) -> Result<Told, Error> {
        let mut rows = Rows::default();
        let mut more = true;
        while more && rows.bytes() < ROWS_BYTES && rows.read() < self.rows_max {
            let each = |row: RowBody<'_>| {
                rows.push(b"", row);
                Ok::<(), Error>(())
            };
            more = self.anchor.planner.next_rows(each).await?;
        }
        Ok(Told::Rows(Box::new(Part {
            rows,
            last: !more,
            read_at_us: self.read_at_us,
        })))
    }
}

/// Some of the rows of a table that is read as of one point.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) rows: Rows,
    pub(crate) last: bool,
    /// The source's clock when it was begun, microseconds since 1970.
    pub(crate) read_at_us: i64,
}
