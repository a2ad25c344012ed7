//! The window of a chunk: from the moment that its read is ordered to the moment that what is left of it is
//! published. Pure.
//!
//! ```text
//!      ordered      snapshot taken     log's end noted     arrived          published
//!  ───────┼───────────────┼───────────────────┼───────────────┼─────────────────┼──▶
//!         │  changes of the table are kept                    │ take their keys │
//!         │                                                   │ out at once     │
//!  streamed before: the snapshot has to see them              the stream is past the noted end
//! ```
//!
//! What the snapshot sees has been streamed when the stream has passed the end of the log that was noted after
//! it. What it does not see and was streamed meanwhile is newer than the chunk: its keys are taken out, old
//! and new ones. What it does not see and was streamed *before* would be hidden by the chunk's rows: that
//! happens, since a change is in the log before it is visible, for as long as a synchronous standby takes;
//! then the chunk is read again. So a change is never dropped, and never followed by an older row.

use std::collections::VecDeque;
use std::ops::Range;

use super::rows::Rows;
use super::visibility::{Visibility, widen};
use crate::event::Lsn;

/// Streamed transactions that are remembered until they are seen to be visible. What lies further back is known
/// by what the server says of those that still wait for a standby.
const STREAMED_MAX: usize = 65_536;
/// Keys that are kept while a chunk is read, bytes.
const CHANGES_BYTES_MAX: usize = 8 << 20;

/// Why a chunk has to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// A transaction that was streamed before was not visible yet.
    Unseen,
    /// The table was announced anew: it may have been altered.
    Altered,
    /// More of its rows changed while it was read than are kept.
    Crowded,
    /// A change did not carry the key.
    KeyMissing,
}

/// A chunk as it was read.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) rows: Rows,
    /// What its snapshot sees.
    pub(crate) visible: Visibility,
    /// Low halves of the ids of transactions that waited for a standby then.
    pub(crate) waiting: Vec<u32>,
    /// The end of the log, noted after the snapshot was taken.
    pub(crate) noted: Lsn,
}

/// The transactions that the stream has passed, and the window that is open.
#[derive(Debug)]
pub(crate) struct Window {
    /// An id of about now.
    near: u64,
    /// Not known to be visible, in the order of the stream.
    streamed: VecDeque<u64>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    relation: u32,
    /// So many of the remembered transactions were streamed before.
    before: usize,
    stage: Stage,
    again: Option<Again>,
}

#[derive(Debug)]
enum Stage {
    Reading(Changes),
    Holding {
        rows: Rows,
        visible: Visibility,
        noted: Lsn,
    },
}

/// Keys that changed while the chunk was read, each with its transaction.
#[derive(Debug, Default)]
struct Changes {
    bytes: Vec<u8>,
    changes: Vec<(u64, What)>,
}

#[derive(Clone, Debug)]
enum What {
    /// The row of that key is a newer one.
    Newer(Range<usize>),
    /// It is another one: a new one, or one that had another key.
    Other(Range<usize>),
    Truncated,
}

impl Window {
    /// A window that is shut. `near`: an id that was given out a moment ago.
    pub(crate) fn new(near: u64) -> Window {
        Window {
            near,
            streamed: VecDeque::new(),
            open: None,
        }
    }

    /// A transaction begins in the stream.
    pub(crate) fn begin(&mut self, xid: u32) {
        let xid = widen(xid, self.near);
        self.near = self.near.max(xid);
        if self.streamed.len() == STREAMED_MAX {
            self.streamed.pop_front();
            if let Some(open) = &mut self.open {
                open.before = open.before.saturating_sub(1);
            }
        }
        self.streamed.push_back(xid);
    }

    /// Whether changes of that relation are to be told.
    #[inline]
    pub(crate) fn watches(&self, relation: u32) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.relation == relation)
    }

    /// A chunk of that relation is about to be read.
    pub(crate) fn open(&mut self, relation: u32) {
        self.open = Some(Open {
            relation,
            before: self.streamed.len(),
            stage: Stage::Reading(Changes::default()),
            again: None,
        });
    }

    /// The row of that key was changed by the transaction that began last; `other`: it is not the one that had the key
    /// before.
    pub(crate) fn changed(&mut self, key: &[u8], other: bool) {
        let Some(xid) = self.streamed.back() else {
            return;
        };
        let Some(open) = &mut self.open else { return };
        match &mut open.stage {
            Stage::Reading(changes) => {
                let start = changes.bytes.len();
                changes.bytes.extend_from_slice(key);
                let key = start..changes.bytes.len();
                let what = if other {
                    What::Other(key)
                } else {
                    What::Newer(key)
                };
                changes.changes.push((*xid, what));
                if changes.size() > CHANGES_BYTES_MAX {
                    *changes = Changes::default();
                    open.again = Some(Again::Crowded);
                }
            }
            Stage::Holding { rows, visible, .. } => {
                if visible.sees(*xid) {
                } else if other {
                    rows.forget(key);
                } else {
                    rows.take_out(key);
                }
            }
        }
    }

    /// The table was emptied by the transaction that began last.
    pub(crate) fn truncated(&mut self) {
        let Some(xid) = self.streamed.back() else {
            return;
        };
        let Some(open) = &mut self.open else { return };
        match &mut open.stage {
            Stage::Reading(changes) => changes.changes.push((*xid, What::Truncated)),
            Stage::Holding { rows, visible, .. } => {
                if !visible.sees(*xid) {
                    rows.clear();
                }
            }
        }
    }

    /// The chunk has to be read again.
    pub(crate) fn spoil(&mut self, again: Again) {
        if let Some(open) = &mut self.open {
            open.again.get_or_insert(again);
        }
    }

    /// The chunk has been read. Unless it has to be read again, it is held from now on.
    pub(crate) fn arrived(&mut self, chunk: Chunk) -> Result<(), Again> {
        let Chunk {
            mut rows,
            visible,
            waiting,
            noted,
        } = chunk;
        let open = self.open.take();
        self.near = self.near.max(visible.next());
        let before = open.as_ref().map_or(0, |open| open.before);
        let mut streamed = self.streamed.iter().take(before);
        let mut waiting = waiting.iter().map(|low| widen(*low, visible.next()));
        let unseen =
            streamed.any(|xid| !visible.sees(*xid)) || waiting.any(|xid| !visible.sees(xid));
        // Whatever is visible now stays visible.
        let last = self.streamed.back().copied();
        self.streamed
            .retain(|xid| Some(*xid) == last || !visible.sees(*xid));
        let Some(open) = open else {
            return Err(Again::Altered);
        };
        if let Some(again) = open.again {
            return Err(again);
        }
        if unseen {
            return Err(Again::Unseen);
        }
        if let Stage::Reading(changes) = &open.stage {
            changes.take_out(&mut rows, &visible);
        }
        self.open = Some(Open {
            stage: Stage::Holding {
                rows,
                visible,
                noted,
            },
            ..open
        });
        Ok(())
    }

    /// Why the chunk that is held has to be read again after all; the window is shut then.
    pub(crate) fn take_spoiled(&mut self) -> Option<Again> {
        let held = |open: &Open| matches!(open.stage, Stage::Holding { .. });
        let spoiled = |open: &mut Open| held(open) && open.again.is_some();
        self.open.take_if(spoiled)?.again
    }

    /// Whether what is left may be published between two transactions, the first of which ends at `resume`.
    pub(crate) fn is_due(&self, resume: Lsn) -> bool {
        self.open.as_ref().is_some_and(|open| match &open.stage {
            Stage::Holding { noted, .. } => open.again.is_none() && resume >= *noted,
            Stage::Reading(_) => false,
        })
    }

    /// What is left of the chunk that is held.
    pub(crate) fn held(&self) -> Option<&Rows> {
        match &self.open.as_ref()?.stage {
            Stage::Holding { rows, .. } => Some(rows),
            Stage::Reading(_) => None,
        }
    }

    /// What is left of the chunk that is held; the window is shut.
    pub(crate) fn take(&mut self) -> Option<Rows> {
        match self.open.take()?.stage {
            Stage::Holding { rows, .. } => Some(rows),
            Stage::Reading(_) => None,
        }
    }

    /// Shuts the window: nothing is to be published of it.
    pub(crate) fn shut(&mut self) {
        self.open = None;
    }
}

impl Changes {
    fn size(&self) -> usize {
        self.bytes.len() + self.changes.len() * size_of::<(u64, What)>()
    }

    /// Takes out what the snapshot does not see the change of.
    fn take_out(&self, rows: &mut Rows, visible: &Visibility) {
        for (xid, what) in &self.changes {
            if visible.sees(*xid) {
                continue;
            }
            let text = |key: &Range<usize>| self.bytes.get(key.clone()).unwrap_or_default();
            match what {
                What::Newer(key) => rows.take_out(text(key)),
                What::Other(key) => rows.forget(text(key)),
                What::Truncated => rows.clear(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
