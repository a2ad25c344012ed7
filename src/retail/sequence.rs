//! Which change applies: positions against what the partition and the key already have.
//!
//! The fold order is the partition's order. Positions only tell repeats from news:
//!
//! - A *streamed* change is a repeat iff it is below the last streamed position applied from its
//!   partition, or not above its key's own. The two halves of a key change share a position, so
//!   equality with the partition's is no repeat.
//! - A *read* applies iff it is not below its key's position; it never moves the partition's. The
//!   same read may come twice, and a later complete snapshot may carry the same position.
//! - A streamed truncate has no key: it is a repeat iff it is not above the partition's position.

use super::time::Timestamp;
use crate::event::Position;

/// Where a change comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A transaction of the source.
    Streamed,
    /// A snapshot's read, or a marker that a snapshot wrote.
    Read,
}

/// What every change carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Partition of the topic that it came from.
    pub partition: i32,
    /// Where it stands in the source.
    pub position: Position,
    /// Commit time; of a read, when its snapshot was exported.
    pub at: Timestamp,
    /// Streamed or read.
    pub origin: Origin,
}

/// What a key keeps for ever, deleted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Position of the last change or read that applied.
    pub position: Position,
    /// The highest event time so far: commit times can step back, a key's time never does.
    pub effective_at: Timestamp,
}

impl Standing {
    /// The standing after `stamp`, or `None` when the key has seen it or better already.
    /// `streamed` is the last streamed position applied from the partition, and is moved.
    pub fn admit(
        before: Option<Standing>,
        streamed: &mut Option<Position>,
        stamp: &Stamp,
    ) -> Option<Standing> {
        let position = stamp.position;
        match stamp.origin {
            Origin::Streamed => {
                let behind = streamed.is_some_and(|last| position < last);
                if behind || before.is_some_and(|key| position <= key.position) {
                    return None;
                }
                *streamed = Some(position);
            }
            Origin::Read => {
                if before.is_some_and(|key| position < key.position) {
                    return None;
                }
            }
        }
        let effective_at = before.map_or(stamp.at, |key| key.effective_at.max(stamp.at));
        Some(Standing {
            position,
            effective_at,
        })
    }
}

/// Whether a truncate or a snapshot's end applies to its partition at all. A streamed truncate moves
/// `streamed`; what a snapshot wrote is compared key by key instead.
pub fn admit_whole(streamed: &mut Option<Position>, stamp: &Stamp) -> bool {
    match stamp.origin {
        Origin::Read => true,
        Origin::Streamed => {
            let news = streamed.is_none_or(|last| stamp.position > last);
            if news {
                *streamed = Some(stamp.position);
            }
            news
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Lsn;

    fn stamp(origin: Origin, commit: u64, ordinal: u64, at: i64) -> Stamp {
        let position = Position::new(1, Lsn(commit), ordinal);
        Stamp {
            partition: 0,
            position,
            at: Timestamp::from_micros(at),
            origin,
        }
    }

    fn standing(commit: u64, ordinal: u64, at: i64) -> Standing {
        let Stamp { position, at, .. } = stamp(Origin::Streamed, commit, ordinal, at);
        Standing {
            position,
            effective_at: at,
        }
    }

    #[test]
    fn a_streamed_change_below_the_partition_or_not_above_its_key_is_a_repeat() {
        let check = |last: Option<(u64, u64)>, key: Option<(u64, u64)>, applies: bool| {
            let mut streamed = last.map(|(commit, n)| Position::new(1, Lsn(commit), n));
            let before = key.map(|(commit, n)| standing(commit, n, 0));
            let change = stamp(Origin::Streamed, 10, 2, 5);
            let kept = streamed;
            let after = Standing::admit(before, &mut streamed, &change);
            assert_eq!(after.is_some(), applies, "last {last:?} key {key:?}");
            assert_eq!(streamed, if applies { Some(change.position) } else { kept });
        };
        check(None, None, true);
        check(Some((10, 1)), Some((9, 1)), true);
        check(Some((10, 2)), Some((9, 1)), true);
        check(Some((10, 3)), None, false);
        check(Some((10, 2)), Some((10, 2)), false);
        check(None, Some((11, 0)), false);
    }

    #[test]
    fn a_read_applies_unless_it_is_below_its_key_and_never_moves_the_partition() {
        for (key, applies) in [((9, 7), true), ((10, 0), true), ((10, 1), false)] {
            let mut streamed = Some(Position::new(1, Lsn(99), 1));
            let kept = streamed;
            let read = stamp(Origin::Read, 10, 0, 5);
            let after = Standing::admit(Some(standing(key.0, key.1, 0)), &mut streamed, &read);
            assert_eq!(after.is_some(), applies, "key {key:?}");
            assert_eq!(streamed, kept);
        }
    }

    #[test]
    fn effective_time_never_steps_back() {
        let mut streamed = None;
        let before = Some(standing(1, 1, 100));
        let change = stamp(Origin::Streamed, 2, 1, 50);
        let after = Standing::admit(before, &mut streamed, &change).unwrap();
        assert_eq!(after.effective_at, Timestamp::from_micros(100));
    }

    #[test]
    fn a_streamed_truncate_must_be_above_the_partition() {
        let mut streamed = Some(Position::new(1, Lsn(10), 2));
        assert!(!admit_whole(
            &mut streamed,
            &stamp(Origin::Streamed, 10, 2, 0)
        ));
        assert!(admit_whole(&mut streamed, &stamp(Origin::Read, 1, 0, 0)));
        assert!(admit_whole(
            &mut streamed,
            &stamp(Origin::Streamed, 10, 3, 0)
        ));
        assert_eq!(streamed, Some(Position::new(1, Lsn(10), 3)));
    }
}
