//! Begins and ends of transactions, where they are told of.
//!
//! As Debezium does it, a transaction is told of when the server sends anything of it, published or not. A
//! heartbeat alone is nothing. What was published before the process ended is counted again, so that the
//! rest goes on with its numbers.

use super::rows::encoded;
use super::{Capture, Open};
use crate::event::{Boundary, Lsn};
use crate::replicate::Error;

impl Capture {
    /// Before anything else of the open transaction.
    #[inline]
    pub(super) fn tell_begin(&mut self, lsn: Lsn) -> Result<(), Error> {
        if !self.encoder.is_counting() {
            return Ok(());
        }
        let Some(open) = self.open.as_mut().filter(|open| !open.begun) else {
            return Ok(());
        };
        open.begun = true;
        let (begin, batch) = (open.begin_lsn, &mut self.batch);
        encoded(self.encoder.boundary(Boundary::Begin, begin, batch), lsn)
    }

    /// Behind everything else of a transaction that was told of; `lsn` is that of its commit message. What
    /// was published in part has not been ended.
    pub(super) fn tell_end(&mut self, open: &Open, lsn: Lsn) -> Result<(), Error> {
        let published = self
            .published
            .is_some_and(|point| point.is_past_all(open.commit_lsn));
        if !open.begun || published {
            return Ok(());
        }
        let batch = &mut self.batch;
        encoded(self.encoder.boundary(Boundary::End, lsn, batch), lsn)
    }
}
