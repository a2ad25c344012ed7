//! The consumer's thread: polls the group's partitions, reads records, closes batches.
//!
//! ```text
//! Kafka ─▶ poll ─▶ read ─▶ batch ─▶ (channel of one) ─▶ applier
//!            └ rebalance ─▶ Assigned ─▶ applier owns them in the sink ─▶ offsets ─▶ assign
//! ```
//!
//! The subtle rule: offsets live in the sink alone. The batch that is being filled when partitions
//! are revoked is dropped, and whoever gets them continues where the sink stands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::apply::{Batch, Content};
use super::change::{Change, Decoder, Keyed, Mark, Record, Table};
use super::error::Error;
use super::group::{Group, Rebalance, Shared};
use super::partition::{PartitionId, Topics};
use super::pending::Pending;
use super::store::Progress;
use super::time::Timestamp;
use super::topics::count_partitions;
use crate::config::settings::{Kafka, Retail};
use crate::kafka::passes;

/// How long one poll waits when no batch is open.
const POLL: Duration = Duration::from_millis(50);
/// How long one poll waits while an aged batch grows.
const BUSY_POLL: Duration = Duration::from_millis(2);
/// How often offsets past the last record (transaction markers) are stored when nothing else is.
const IDLE_STORE: Duration = Duration::from_secs(1);
/// How long brokers may be unable to tell a partition's ends, and the pause between two questions.
const ENDS_PATIENCE: Duration = Duration::from_mins(1);
const ENDS_PAUSE: Duration = Duration::from_millis(200);
/// How long a broker may take to tell a partition's ends.
const ANSWER: Duration = Duration::from_secs(10);

/// What the thread tells the applier.
pub(super) enum Event {
    /// Own these, and say where each continues.
    Assigned {
        partitions: Vec<PartitionId>,
        reply: oneshot::Sender<BTreeMap<PartitionId, i64>>,
    },
    /// Apply this.
    Batch(Batch),
}

/// Why the thread ends.
enum End {
    /// The applier is gone, or asked for it.
    Stopped,
    /// A definite error.
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        End::Failed(error)
    }
}

/// The thread's state.
pub(super) struct Poller {
    consumer: BaseConsumer<Group>,
    topics: Topics,
    decoder: Decoder,
    /// Partitions of each topic when the consumer started, as the sink knows them.
    counts: Vec<(Table, i32)>,
    events: mpsc::Sender<Event>,
    shared: Arc<Shared>,
    records_max: usize,
    linger: Duration,
    /// Number of the current assignment.
    assignment: u64,
    /// Where the sink will stand when all batches sent so far are applied.
    stored: BTreeMap<PartitionId, i64>,
    pending: Pending,
    open: Open,
    sent_at: Instant,
}

/// The batch being filled.
#[derive(Default)]
struct Open {
    changes: Vec<Keyed>,
    records: usize,
    since: Option<Instant>,
}

impl Poller {
    /// Joins the group.
    pub(super) fn join(
        kafka: &Kafka,
        retail: &Retail,
        topics: Topics,
        counts: Vec<(Table, i32)>,
        events: mpsc::Sender<Event>,
        shared: Arc<Shared>,
    ) -> Result<Poller, Error> {
        let consumer: BaseConsumer<Group> = crate::kafka::consumer_config(kafka)
            .set("group.id", &retail.group)
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .create_with_context(Group::default())
            .map_err(|source| Error::Kafka {
                doing: "make a consumer",
                source,
            })?;
        let poller = Poller {
            consumer,
            topics,
            decoder: Decoder::new(&retail.mapping),
            counts,
            events,
            shared,
            records_max: retail.batch_records_max,
            linger: retail.batch_linger,
            assignment: 0,
            stored: BTreeMap::new(),
            pending: Pending::default(),
            open: Open::default(),
            sent_at: Instant::now(),
        };
        poller.subscribe()?;
        Ok(poller)
    }

    fn subscribe(&self) -> Result<(), Error> {
        let names = Table::ALL.map(|table| self.topics.name(table));
        self.consumer
            .subscribe(&names)
            .map_err(|source| Error::Kafka {
                doing: "subscribe",
                source,
            })
    }

    /// Leaves the group and joins it: the next assignment begins where the sink stands.
    fn join_again(&mut self) -> Result<(), Error> {
        self.forget();
        self.consumer.unsubscribe();
        self.subscribe()
    }

    /// Runs until it is stopped or fails.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let end = loop {
            if let Err(end) = self.turn() {
                break end;
            }
        };
        // An assignment that nobody answered would hold up the consumer's close.
        if let Err(error) = self.consumer.unassign() {
            tracing::debug!(%error, "partitions could not be given up");
        }
        match end {
            End::Stopped => Ok(()),
            End::Failed(error) => Err(error),
        }
    }

    /// One poll and what follows from it.
    fn turn(&mut self) -> Result<(), End> {
        if self.shared.stopped() {
            return Err(End::Stopped);
        }
        if self.shared.take_rejoin() {
            tracing::warn!("another consumer owns our partitions; joining the group again");
            self.join_again()?;
        }
        let wait = self.open.since.map_or(POLL, |since| {
            let left = self.linger.saturating_sub(since.elapsed());
            if left.is_zero() { BUSY_POLL } else { left }
        });
        let idle = match self.consumer.poll(wait) {
            None => true,
            Some(Ok(message)) => {
                let received = self.read_message(&message)?;
                drop(message);
                self.take(received)?;
                false
            }
            // The range is checked anew before the partition is read again: if what it needs was
            // deleted, that error says so.
            Some(Err(error)) if is_out_of_range(&error) => {
                tracing::warn!(%error, "a partition has no such offset; joining the group again");
                self.join_again()?;
                false
            }
            Some(Err(error)) => {
                definite(error)?;
                false
            }
        };
        while let Some(rebalance) = self.consumer.context().next() {
            self.rebalance(rebalance)?;
        }
        for beat in self.shared.take_beats() {
            if beat.assignment == self.assignment {
                beat.ends
                    .iter()
                    .for_each(|(id, end)| self.pending.push(*id, *end, beat.at));
            }
        }
        self.close_if_due(idle)
    }

    fn take(&mut self, received: Received) -> Result<(), End> {
        let Received {
            partition,
            offset,
            change,
        } = received;
        match change {
            Some(Change::Whole(whole)) => {
                // Everything before it must be applied first, and it alone next.
                self.close(Some((partition, offset)))?;
                let first = self.stored.insert(partition, offset + 1).unwrap_or(offset);
                let progress = vec![Progress {
                    partition,
                    first,
                    next: offset + 1,
                }];
                self.send(Content::Whole(whole), progress, Vec::new(), Instant::now())
            }
            keyed => {
                if let Some(Change::Keyed(change)) = keyed {
                    self.open.changes.push(change);
                }
                self.open.records += 1;
                self.open.since.get_or_insert_with(Instant::now);
                Ok(())
            }
        }
    }

    /// While the applier is busy and one more batch waits, an aged batch goes on growing: what it waits for
    /// anyway makes the next transactions fewer and larger, and a key that changes often is written once.
    fn close_if_due(&mut self, idle: bool) -> Result<(), End> {
        let full = self.open.records >= self.records_max;
        let aged = self
            .open
            .since
            .is_some_and(|since| since.elapsed() >= self.linger)
            && self.events.capacity() > 0;
        let nothing_open = self.open.since.is_none() && idle;
        let stale = nothing_open && self.sent_at.elapsed() >= IDLE_STORE;
        let answers = nothing_open && !self.pending.is_empty();
        if full || aged || stale || answers {
            self.close(None)
        } else {
            Ok(())
        }
    }

    /// Sends the open batch, with all that was polled so far; `before` stops one partition's share
    /// short of a record that is not part of it.
    fn close(&mut self, before: Option<(PartitionId, i64)>) -> Result<(), End> {
        let mut next = self.polled()?;
        if let Some((partition, offset)) = before {
            next.insert(partition, offset);
        }
        let mut progress = Vec::new();
        let mut applied_until: Vec<(PartitionId, Timestamp)> = Vec::new();
        for (partition, first) in &mut self.stored {
            let next = next.get(partition).copied().unwrap_or(*first).max(*first);
            let reached = self.pending.reached(*partition, next);
            applied_until.extend(reached.map(|at| (*partition, at)));
            if next > *first || reached.is_some() {
                progress.push(Progress {
                    partition: *partition,
                    first: *first,
                    next,
                });
                *first = next;
            }
        }
        let open = std::mem::take(&mut self.open);
        self.sent_at = Instant::now();
        if progress.is_empty() {
            return Ok(());
        }
        let since = open.since.unwrap_or(self.sent_at);
        self.send(Content::Keyed(open.changes), progress, applied_until, since)
    }

    fn send(
        &mut self,
        content: Content,
        progress: Vec<Progress>,
        applied_until: Vec<(PartitionId, Timestamp)>,
        received_at: Instant,
    ) -> Result<(), End> {
        let assignment = self.assignment;
        let batch = Batch {
            assignment,
            content,
            progress,
            applied_until,
            received_at,
        };
        self.events
            .blocking_send(Event::Batch(batch))
            .map_err(|_| End::Stopped)
    }

    /// Offsets after everything that was polled, transaction markers included.
    fn polled(&self) -> Result<BTreeMap<PartitionId, i64>, Error> {
        let list = self.consumer.position().map_err(|source| Error::Kafka {
            doing: "tell positions",
            source,
        })?;
        let offset = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            Offset::Beginning
            | Offset::End
            | Offset::Stored
            | Offset::Invalid
            | Offset::OffsetTail(_) => None,
        };
        let position = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let table = self.topics.table(element.topic())?;
            let partition = PartitionId {
                table,
                partition: element.partition(),
            };
            Some((partition, offset(element.offset())?))
        };
        Ok(list.elements().iter().filter_map(position).collect())
    }

    fn rebalance(&mut self, rebalance: Rebalance) -> Result<(), End> {
        self.forget();
        match rebalance {
            Rebalance::Revoked => {
                self.shared.assigned(Vec::new());
                Ok(())
            }
            Rebalance::Assigned(named) => self.assigned(&named),
        }
    }

    fn forget(&mut self) {
        self.open = Open::default();
        self.stored.clear();
        self.pending.clear();
    }

    fn assigned(&mut self, named: &[(String, i32)]) -> Result<(), End> {
        let id = |(topic, partition): &(String, i32)| {
            Some(PartitionId {
                table: self.topics.table(topic)?,
                partition: *partition,
            })
        };
        let partitions: Vec<PartitionId> = named.iter().filter_map(id).collect();
        self.check_counts(&partitions)?;
        let (reply, answer) = oneshot::channel();
        let event = Event::Assigned {
            partitions: partitions.clone(),
            reply,
        };
        self.events.blocking_send(event).map_err(|_| End::Stopped)?;
        let offsets = answer.blocking_recv().map_err(|_| End::Stopped)?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &offsets {
            self.check_range(*partition, *offset)?;
            let topic = self.topics.name(partition.table);
            list.add_partition_offset(topic, partition.partition, Offset::Offset(*offset))
                .map_err(|source| Error::Kafka {
                    doing: "name a partition",
                    source,
                })?;
        }
        self.consumer.assign(&list).map_err(|source| Error::Kafka {
            doing: "assign partitions",
            source,
        })?;
        tracing::info!(partitions = offsets.len(), "partitions assigned");
        self.stored = offsets;
        self.assignment = self.shared.assigned(partitions);
        Ok(())
    }

    /// Refuses partitions that a topic did not have when the consumer started.
    fn check_counts(&self, partitions: &[PartitionId]) -> Result<(), Error> {
        for (table, known) in &self.counts {
            let of_table = partitions.iter().filter(|id| id.table == *table);
            let least = of_table.map(|id| id.partition + 1).max().unwrap_or(0);
            if least > *known {
                let topic = self.topics.name(*table);
                return Err(Error::Repartitioned {
                    topic: topic.to_owned(),
                    known: i64::from(*known),
                    found: count_partitions(&self.consumer, topic).unwrap_or(least),
                });
            }
        }
        Ok(())
    }

    fn check_range(&self, partition: PartitionId, needed: i64) -> Result<(), Error> {
        let topic = self.topics.name(partition.table);
        let (mut ends, began) = (self.ends(topic, partition.partition), Instant::now());
        // A partition may be without a leader for a moment.
        while ends.is_err() && began.elapsed() < ENDS_PATIENCE && !self.shared.stopped() {
            std::thread::sleep(ENDS_PAUSE);
            ends = self.ends(topic, partition.partition);
        }
        let (low, high) = ends.map_err(|source| Error::Kafka {
            doing: "tell a partition's ends",
            source,
        })?;
        super::check_range(topic, partition.partition, needed, (low, high))
    }

    fn read_message(&self, message: &BorrowedMessage<'_>) -> Result<Received, Error> {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let Some(table) = self.topics.table(topic) else {
            let source = KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopic);
            return Err(Error::Kafka {
                doing: "read a topic that was not asked for",
                source,
            });
        };
        let value = message.payload();
        let mark = if value.is_none() { mark(message) } else { None };
        let record = Record {
            partition,
            key: message.key(),
            value,
            mark,
        };
        let change = self
            .decoder
            .read(table, &record)
            .map_err(|source| Error::Record {
                topic: topic.to_owned(),
                partition,
                offset,
                source,
            })?;
        Ok(Received {
            partition: PartitionId { table, partition },
            offset,
            change,
        })
    }

    fn ends(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.consumer.fetch_watermarks(topic, partition, ANSWER)
    }
}

/// One record, read.
struct Received {
    partition: PartitionId,
    offset: i64,
    change: Option<Change>,
}

fn mark<'a>(message: &'a BorrowedMessage<'_>) -> Option<Mark<'a>> {
    let headers = message.headers()?;
    let value = |name: &str| headers.iter().find(|header| header.key == name)?.value;
    let name = value("tidewater.mark")?;
    let position = value("tidewater.position").unwrap_or_default();
    let at_us = value("tidewater.ts_us").unwrap_or_default();
    Some(Mark {
        name,
        position,
        at_us,
    })
}

fn is_out_of_range(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset)
}

/// Logs an error that the client gets over by itself, gives back any other.
pub(super) fn definite(error: KafkaError) -> Result<(), Error> {
    let of_the_group = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::PollExceeded
        )
    );
    if of_the_group || passes(&error) {
        tracing::warn!(%error, "kafka is disturbed; the client goes on by itself");
        Ok(())
    } else {
        Err(Error::Kafka {
            doing: "read the topics",
            source: error,
        })
    }
}
