//! Create or resume: what a start does with the slot and the position it finds. Pure.
//!
//! The order at the beginning is publication, slot, then the record "snapshot begun", so each row of
//! the table below is a place where an earlier start can have died.

use crate::config::settings::SnapshotMode;
use crate::event::Lsn;

/// The slot as a start finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotFound {
    /// No slot of that name.
    Missing,
    /// The server has given up its write-ahead log.
    Lost,
    /// Usable; the server sends nothing that committed before this.
    At(Lsn),
}

/// The last committed position record, as a start finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PositionFound {
    /// No record.
    Missing,
    /// Streaming goes on at this LSN.
    Streaming(Lsn),
    /// A snapshot was begun and not finished; streaming was to start at this LSN.
    Snapshot(Lsn),
    /// As before, and what is recorded of its progress counts.
    Reading(Lsn),
}

/// What the start does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Create the slot, read the tables under its snapshot, then stream.
    Snapshot {
        /// Events of an earlier attempt may be in the topics: mark them void first.
        truncate_first: bool,
        /// The slot that exists is dropped first.
        drop_slot: bool,
        /// History was lost in between: positions go on in the next epoch.
        new_epoch: bool,
    },
    /// Read what is left at a temporary slot's point, then stream from the slot.
    ResumeSnapshot,
    /// The slot exists and no position does: read at a temporary slot's point, if the topics are empty.
    SnapshotBesideSlot,
    /// Read once under a temporary slot, then end.
    SnapshotOnly,
    /// Create the slot and stream from its consistent point.
    StreamFromNewSlot,
    /// Record the slot's own LSN and stream from there.
    StreamFromSlot(Lsn),
    /// Stream from the recorded position.
    Resume(Lsn),
    /// A single reading is asked for, where a stream has its position.
    StreamExists,
    /// Changes are missing, and the settings do not allow to read the tables again.
    HistoryLost {
        /// First missing LSN.
        from: Lsn,
        /// Where the slot stands now, if there is one.
        until: Option<Lsn>,
    },
}

/// The decision table.
pub(crate) fn decide(slot: SlotFound, position: PositionFound, mode: SnapshotMode) -> Start {
    match (slot, position) {
        // A new point would pass over what the stream has still to publish.
        (SlotFound::At(_), PositionFound::Streaming(_)) if mode == SnapshotMode::Only => {
            Start::StreamExists
        }
        _ if mode == SnapshotMode::Only => Start::SnapshotOnly,
        (SlotFound::Missing | SlotFound::Lost, PositionFound::Missing) => match mode {
            SnapshotMode::Never => Start::StreamFromNewSlot,
            SnapshotMode::Initial | SnapshotMode::WhenNeeded | SnapshotMode::Only => {
                let drop_slot = slot == SlotFound::Lost;
                Start::Snapshot {
                    truncate_first: false,
                    drop_slot,
                    new_epoch: false,
                }
            }
        },
        (SlotFound::At(lsn), PositionFound::Missing) => match mode {
            SnapshotMode::Never => Start::StreamFromSlot(lsn),
            SnapshotMode::Initial | SnapshotMode::WhenNeeded | SnapshotMode::Only => {
                Start::SnapshotBesideSlot
            }
        },
        // The slot holds every change since the first chunk.
        (SlotFound::At(confirmed), PositionFound::Reading(begun)) if confirmed <= begun => {
            Start::ResumeSnapshot
        }
        // Nothing was streamed before the snapshot ended, so nothing is lost with the slot: the
        // snapshot starts over at a new slot's point, whatever has become of the old one.
        (_, PositionFound::Snapshot(_) | PositionFound::Reading(_)) => Start::Snapshot {
            truncate_first: true,
            drop_slot: slot != SlotFound::Missing,
            new_epoch: false,
        },
        (SlotFound::At(confirmed), PositionFound::Streaming(resume)) if confirmed <= resume => {
            Start::Resume(resume)
        }
        (_, PositionFound::Streaming(resume)) => match (mode, slot) {
            (SnapshotMode::WhenNeeded, _) => Start::Snapshot {
                truncate_first: true,
                drop_slot: slot != SlotFound::Missing,
                new_epoch: true,
            },
            (_, SlotFound::At(confirmed)) => Start::HistoryLost {
                from: resume,
                until: Some(confirmed),
            },
            (_, SlotFound::Missing | SlotFound::Lost) => Start::HistoryLost {
                from: resume,
                until: None,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SnapshotMode::{Initial, Never, Only, WhenNeeded};

    const R: Lsn = Lsn(500);

    #[track_caller]
    fn check(slot: SlotFound, position: PositionFound, expected: [Start; 3]) {
        let modes = [Initial, WhenNeeded, Never];
        assert_eq!(modes.map(|mode| decide(slot, position, mode)), expected);
        let streams = matches!(
            (slot, position),
            (SlotFound::At(_), PositionFound::Streaming(_))
        );
        let only = if streams {
            Start::StreamExists
        } else {
            Start::SnapshotOnly
        };
        assert_eq!(decide(slot, position, Only), only);
    }

    fn snapshot(truncate_first: bool, drop_slot: bool, new_epoch: bool) -> Start {
        Start::Snapshot {
            truncate_first,
            drop_slot,
            new_epoch,
        }
    }

    #[test]
    fn without_a_position() {
        let fresh = snapshot(false, false, false);
        let lost = snapshot(false, true, false);
        let none = PositionFound::Missing;
        check(
            SlotFound::Missing,
            none,
            [fresh, fresh, Start::StreamFromNewSlot],
        );
        check(
            SlotFound::Lost,
            none,
            [lost, lost, Start::StreamFromNewSlot],
        );
        let beside = Start::SnapshotBesideSlot;
        check(
            SlotFound::At(R),
            none,
            [beside, beside, Start::StreamFromSlot(R)],
        );
    }

    #[test]
    fn with_a_position_that_the_slot_still_covers() {
        let resume = Start::Resume(R);
        check(SlotFound::At(R), PositionFound::Streaming(R), [resume; 3]);
        check(
            SlotFound::At(Lsn(499)),
            PositionFound::Streaming(R),
            [resume; 3],
        );
    }

    #[test]
    fn with_a_position_that_the_slot_no_longer_covers() {
        let position = PositionFound::Streaming(R);
        let lost = |until| Start::HistoryLost { from: R, until };
        let past = Lsn(501);
        check(
            SlotFound::At(past),
            position,
            [
                lost(Some(past)),
                snapshot(true, true, true),
                lost(Some(past)),
            ],
        );
        check(
            SlotFound::Lost,
            position,
            [lost(None), snapshot(true, true, true), lost(None)],
        );
        check(
            SlotFound::Missing,
            position,
            [lost(None), snapshot(true, false, true), lost(None)],
        );
    }

    #[test]
    fn an_unfinished_snapshot_goes_on_while_the_slot_holds_its_beginning() {
        let position = PositionFound::Reading(R);
        for confirmed in [Lsn(499), R] {
            check(
                SlotFound::At(confirmed),
                position,
                [Start::ResumeSnapshot; 3],
            );
        }
        let over = snapshot(true, true, false);
        check(SlotFound::At(Lsn(501)), position, [over; 3]);
        check(SlotFound::Lost, position, [over; 3]);
        let missing = snapshot(true, false, false);
        check(SlotFound::Missing, position, [missing; 3]);
    }

    #[test]
    fn a_void_snapshot_starts_over() {
        let position = PositionFound::Snapshot(R);
        check(SlotFound::At(R), position, [snapshot(true, true, false); 3]);
        check(
            SlotFound::Missing,
            position,
            [snapshot(true, false, false); 3],
        );
    }
}
