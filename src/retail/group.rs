//! What the consumer's thread shares: rebalances on their way in, requests to rejoin, heartbeats.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::partition::PartitionId;
use super::time::Timestamp;

/// A change of the group's assignment. The protocol is eager: all is revoked, then assigned anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rebalance {
    /// These are ours as soon as the sink says where they continue.
    Assigned(Vec<(String, i32)>),
    /// Nothing is ours.
    Revoked,
}

/// Collects rebalances. Partitions are given up at once; an assignment waits for its offsets, which
/// only the sink knows, so it is taken up outside of the callback.
#[derive(Debug, Default)]
pub(super) struct Group {
    rebalances: Mutex<VecDeque<Rebalance>>,
}

impl ClientContext for Group {}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        cause: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let rebalance = if cause == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let name = |topic: &str, partition| (topic.to_owned(), partition);
            let elements = partitions.elements();
            let named = elements
                .iter()
                .map(|element| name(element.topic(), element.partition()));
            Rebalance::Assigned(named.collect())
        } else {
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "partitions could not be given up");
            }
            Rebalance::Revoked
        };
        self.rebalances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(rebalance);
    }
}

impl Group {
    /// The oldest rebalance that was not taken yet.
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.rebalances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

/// A heartbeat that came back, and where the partitions ended after it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beat {
    /// Which assignment the partitions are of.
    pub(super) assignment: u64,
    /// The heartbeat's commit time at the source.
    pub(super) at: Timestamp,
    /// End offsets: when they are applied, everything committed before it is.
    pub(super) ends: Vec<(PartitionId, i64)>,
}

/// What the applier, the consumer's thread and the heartbeat's thread tell each other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    rejoin: AtomicBool,
    stopped: AtomicBool,
    assignment: Mutex<(u64, Vec<PartitionId>)>,
    beats: Mutex<VecDeque<Beat>>,
}

/// Heartbeats that may wait for the consumer's thread, which takes them several times a second.
const BEATS_MAX: usize = 64;

impl Shared {
    /// Asks the consumer to leave the group and join it again.
    pub(super) fn rejoin(&self) {
        self.rejoin.store(true, Ordering::Release);
    }

    /// Whether it was asked to; asking ends with it.
    pub(super) fn take_rejoin(&self) -> bool {
        self.rejoin.swap(false, Ordering::AcqRel)
    }

    /// Asks all threads to end.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether they were asked to.
    pub(super) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The partitions that are ours, and the number of their assignment.
    pub(super) fn assignment(&self) -> (u64, Vec<PartitionId>) {
        self.assignment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The number of the current assignment.
    pub(super) fn number(&self) -> u64 {
        self.assignment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Notes a new assignment; returns its number.
    pub(super) fn assigned(&self, partitions: Vec<PartitionId>) -> u64 {
        let mut assignment = self
            .assignment
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        assignment.0 += 1;
        assignment.1 = partitions;
        assignment.0
    }

    /// A heartbeat came back.
    pub(super) fn beat(&self, beat: Beat) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        if beats.len() == BEATS_MAX {
            beats.pop_front();
        }
        beats.push_back(beat);
    }

    /// Heartbeats that came back since the last call.
    pub(super) fn take_beats(&self) -> VecDeque<Beat> {
        std::mem::take(&mut *self.beats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
