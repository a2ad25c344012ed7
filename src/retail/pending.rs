//! Heartbeats that wait until the ends they saw are applied. Pure.

use std::collections::{BTreeMap, VecDeque};

use super::partition::PartitionId;
use super::time::Timestamp;

/// Heartbeats kept per partition; past it every second one is dropped, so that a consumer that lags
/// by hours still says how far it is, more coarsely.
const BEATS_MAX: usize = 512;

/// Waiting heartbeats, oldest first, by partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    beats: BTreeMap<PartitionId, VecDeque<(i64, Timestamp)>>,
}

impl Pending {
    /// Forgets all: the partitions are no longer ours.
    pub(super) fn clear(&mut self) {
        self.beats.clear();
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.beats.values().all(VecDeque::is_empty)
    }

    /// A heartbeat of time `at` saw the partition end at `end`.
    pub(super) fn push(&mut self, partition: PartitionId, end: i64, at: Timestamp) {
        let beats = self.beats.entry(partition).or_default();
        match beats.back_mut() {
            Some((last, time)) if *last == end => *time = at.max(*time),
            _ => beats.push_back((end, at)),
        }
        if beats.len() > BEATS_MAX {
            let mut keep = false;
            beats.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// The latest heartbeat of the partition whose end is not above `next`; it and those before it
    /// wait no longer.
    pub(super) fn reached(&mut self, partition: PartitionId, next: i64) -> Option<Timestamp> {
        let beats = self.beats.get_mut(&partition)?;
        let mut reached = None;
        while let Some((_, at)) = beats.pop_front_if(|(end, _)| *end <= next) {
            reached = reached.max(Some(at));
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::Table;
    use super::*;

    const PARTITION: PartitionId = PartitionId {
        table: Table::Orders,
        partition: 0,
    };

    #[test]
    fn a_heartbeat_waits_for_the_end_that_it_saw() {
        let at = Timestamp::from_micros;
        let mut pending = Pending::default();
        pending.push(PARTITION, 10, at(1));
        pending.push(PARTITION, 20, at(2));
        pending.push(PARTITION, 20, at(3));
        assert_eq!(pending.reached(PARTITION, 9), None);
        assert_eq!(pending.reached(PARTITION, 19), Some(at(1)));
        assert_eq!(pending.reached(PARTITION, 20), Some(at(3)));
        assert!(pending.is_empty());
    }

    #[test]
    fn a_consumer_that_lags_keeps_the_oldest_and_the_newest() {
        let mut pending = Pending::default();
        for second in 0..10_000 {
            pending.push(PARTITION, second, Timestamp::from_micros(second));
        }
        let waiting = pending.beats[&PARTITION].len();
        assert!(waiting <= BEATS_MAX, "{waiting}");
        let newest = pending.reached(PARTITION, 10_000).unwrap();
        assert!(newest.micros() >= 9_998, "{newest:?}");
    }
}
