//! The heartbeat's thread: reads heartbeats outside of the group and asks, after each, where the
//! assigned partitions end.
//!
//! The ends are *high watermarks*. The markers of the heartbeat's own Kafka transaction are written
//! per partition, so when it becomes visible in its partition another's last stable offset may still
//! lag behind records that were committed before it; the high watermark never does.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::change::heartbeat_time;
use super::error::Error;
use super::group::{Beat, Shared};
use super::partition::{PartitionId, Topics};
use super::time::Timestamp;
use crate::config::settings::{Kafka, Retail};

const POLL: Duration = Duration::from_millis(200);
const ANSWER: Duration = Duration::from_secs(5);
/// Records before the end where reading starts: the last heartbeat and its marker.
const TAIL: i64 = 4;

/// The thread's state.
pub(super) struct Listener {
    reader: BaseConsumer,
    ends: BaseConsumer,
    topics: Topics,
    shared: Arc<Shared>,
}

impl Listener {
    /// Opens the two clients: one sees committed heartbeats, the other high watermarks.
    pub(super) fn open(
        kafka: &Kafka,
        retail: &Retail,
        topics: Topics,
        shared: Arc<Shared>,
    ) -> Result<Listener, Error> {
        let client = |isolation| {
            crate::kafka::consumer_config(kafka)
                .set("group.id", format!("{}.heartbeat", retail.group))
                .set("isolation.level", isolation)
                .set("auto.offset.reset", "earliest")
                .create::<BaseConsumer>()
                .map_err(|source| Error::Kafka {
                    doing: "make a heartbeat reader",
                    source,
                })
        };
        let reader = client("read_committed")?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topics.heartbeat(), 0, Offset::OffsetTail(TAIL))
            .and_then(|()| reader.assign(&list))
            .map_err(|source| Error::Kafka {
                doing: "assign the heartbeat",
                source,
            })?;
        Ok(Listener {
            reader,
            ends: client("read_uncommitted")?,
            topics,
            shared,
        })
    }

    /// Runs until it is stopped. A disturbed Kafka only delays it: `applied_until` stands still.
    pub(super) fn run(self) {
        while !self.shared.stopped() {
            let mut latest = self.poll(POLL);
            while let Some(later) = latest.and_then(|_| self.poll(Duration::ZERO)) {
                latest = latest.max(Some(later));
            }
            if let Some(at) = latest {
                self.answer(at);
            }
        }
    }

    fn poll(&self, wait: Duration) -> Option<Timestamp> {
        match self.reader.poll(wait)? {
            Ok(message) => time(&message),
            Err(error) => {
                tracing::debug!(%error, "no heartbeat");
                None
            }
        }
    }

    fn answer(&self, at: Timestamp) {
        let (assignment, partitions) = self.shared.assignment();
        let ends = partitions.iter().map(|id| Ok((*id, self.end(*id)?)));
        match ends.collect::<Result<Vec<_>, rdkafka::error::KafkaError>>() {
            Ok(ends) => self.shared.beat(Beat {
                assignment,
                at,
                ends,
            }),
            Err(error) => tracing::warn!(%error, "the heartbeat's end offsets are unknown"),
        }
    }

    fn end(&self, id: PartitionId) -> Result<i64, rdkafka::error::KafkaError> {
        let topic = self.topics.name(id.table);
        self.ends
            .fetch_watermarks(topic, id.partition, ANSWER)
            .map(|(_, high)| high)
    }
}

fn time(message: &BorrowedMessage<'_>) -> Option<Timestamp> {
    match heartbeat_time(message.payload()?) {
        Ok(at) => Some(at),
        Err(error) => {
            tracing::warn!(%error, offset = message.offset(), "a heartbeat cannot be read");
            None
        }
    }
}
