//! Up to where changes have been dealt with before: published, or stored.

use super::{Open, Point};
use crate::event::Lsn;
use crate::replicate::Error;

/// A point that the stream has not passed yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached(Point);

impl Reached {
    /// Changes from before `point` are sent again.
    pub(super) fn new(point: Point) -> Self {
        Reached(point)
    }

    /// The same when a transaction begins that commits there; `None` once it is passed.
    pub(super) fn at_begin(self, commit_lsn: Lsn) -> Result<Option<Self>, Error> {
        let point = &self.0;
        if point.is_split() && point.commit_lsn < commit_lsn {
            return Err(split_differs(point, commit_lsn));
        }
        let passed = !point.is_split() && commit_lsn >= point.resume;
        Ok((!passed).then_some(self))
    }

    /// The same behind a transaction.
    pub(super) fn at_commit(self, open: &Open) -> Result<Option<Self>, Error> {
        let point = &self.0;
        if !point.is_split() || point.commit_lsn != open.commit_lsn {
            return Ok(Some(self));
        }
        if open.ordinal < point.ordinal {
            return Err(split_differs(point, open.last_change_lsn));
        }
        Ok(None)
    }

    /// Whether all of a transaction that commits there is below it.
    pub(super) fn is_past(&self, commit_lsn: Lsn) -> bool {
        commit_lsn < self.0.resume
    }

    /// Whether a transaction that commits there was dealt with to its end.
    pub(super) fn is_past_all(&self, commit_lsn: Lsn) -> bool {
        self.is_past(commit_lsn) || commit_lsn < self.0.commit_lsn
    }

    /// Whether something is left of it for a stream that has come to `lsn`, between two transactions.
    pub(super) fn is_ahead_of(&self, lsn: Lsn) -> bool {
        self.0.is_split() || lsn < self.0.resume
    }

    /// Whether a message outside of transactions, at the end of its record there, is below it.
    pub(super) fn is_past_message(&self, lsn: Lsn) -> bool {
        lsn <= self.0.resume
    }

    /// Whether the open transaction's latest change is below it.
    pub(super) fn covers(&self, open: &Open) -> Result<bool, Error> {
        let point = &self.0;
        if open.commit_lsn != point.commit_lsn || !point.is_split() {
            return Ok(self.is_past(open.commit_lsn) || open.commit_lsn < point.commit_lsn);
        }
        if open.ordinal == point.ordinal && open.last_change_lsn != point.last_change_lsn {
            return Err(split_differs(point, open.last_change_lsn));
        }
        Ok(open.ordinal <= point.ordinal)
    }
}

fn split_differs(point: &Point, found: Lsn) -> Error {
    Error::SplitDiffers {
        commit_lsn: point.commit_lsn,
        ordinal: point.ordinal,
        expected: point.last_change_lsn,
        found,
    }
}
