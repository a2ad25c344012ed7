//! The thread that polls the events topic: one batch at a time, its offsets committed once it is applied.
//!
//! ```text
//! Kafka ─▶ poll ─▶ read ─▶ batch ─▶ (channel of one) ─▶ loop ─▶ sink
//!   ▲                                                     │
//!   └──────────── offsets committed ◀───── applied ───────┘
//! ```
//!
//! An event is told by its id, so a batch that is read again after a crash or a rebalance changes nothing.

use std::time::{Duration, Instant};

use metrics::counter;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::super::consumer::definite;
use super::super::error::Error;
use super::super::time::Timestamp;
use super::record::{ShopperEvent, read};
use crate::config::settings::{Kafka, Retail};
use crate::kafka::Quiet;
use crate::telemetry;

/// How long one poll waits when there is nothing.
const POLL: Duration = Duration::from_millis(50);
/// Most events of one sink transaction: what comes in while one is under way makes up the next.
const EVENTS_MAX: usize = 1_000;

/// Events to apply.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) events: Vec<ShopperEvent>,
    /// When the first one came.
    pub(super) received_at: Instant,
    /// Told when they are applied.
    pub(super) applied: oneshot::Sender<()>,
}

/// The thread's state.
pub(super) struct Poller {
    consumer: BaseConsumer<Quiet>,
    batches: mpsc::Sender<Batch>,
    stop: CancellationToken,
}

impl Poller {
    /// Joins the group of those who read events.
    pub(super) fn join(
        kafka: &Kafka,
        retail: &Retail,
        topic: &str,
        batches: mpsc::Sender<Batch>,
        stop: CancellationToken,
    ) -> Result<Poller, Error> {
        let failed = |doing| move |source| Error::Kafka { doing, source };
        let consumer: BaseConsumer<Quiet> = crate::kafka::consumer_config(kafka)
            .set("group.id", format!("{}.events", retail.group))
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "100")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .create_with_context(Quiet)
            .map_err(failed("make a consumer of events"))?;
        consumer
            .subscribe(&[topic])
            .map_err(failed("subscribe to events"))?;
        Ok(Poller {
            consumer,
            batches,
            stop,
        })
    }

    /// Runs until it is stopped, or the loop is gone, or fails.
    pub(super) fn run(self) -> Result<(), Error> {
        while !self.stop.is_cancelled() {
            let (events, received_at) = self.fill()?;
            let Some(received_at) = received_at else {
                continue;
            };
            let offsets = self.positions()?;
            if !events.is_empty() {
                let (applied, answer) = oneshot::channel();
                let batch = Batch {
                    events,
                    received_at,
                    applied,
                };
                let sent = self.batches.blocking_send(batch);
                if sent.is_err() || answer.blocking_recv().is_err() {
                    return Ok(());
                }
            }
            // Lost in a rebalance or an outage, it is read again, which changes nothing.
            if let Err(error) = self.consumer.commit(&offsets, CommitMode::Async) {
                tracing::debug!(%error, "offsets of events are not committed");
            }
        }
        Ok(())
    }

    /// What is there, without waiting for more once something is.
    fn fill(&self) -> Result<(Vec<ShopperEvent>, Option<Instant>), Error> {
        let (mut events, mut since) = (Vec::new(), None);
        while events.len() < EVENTS_MAX {
            let wait = if since.is_none() {
                POLL
            } else {
                Duration::ZERO
            };
            match self.consumer.poll(wait) {
                None => break,
                Some(Err(error)) => definite(error)?,
                Some(Ok(message)) => {
                    since.get_or_insert_with(Instant::now);
                    events.extend(event(&message));
                }
            }
        }
        Ok((events, since))
    }

    fn positions(&self) -> Result<TopicPartitionList, Error> {
        self.consumer.position().map_err(|source| Error::Kafka {
            doing: "ask for the position in the events",
            source,
        })
    }
}

/// One that cannot be read is no shop's business: it is told of and passed over.
fn event(message: &BorrowedMessage<'_>) -> Option<ShopperEvent> {
    let written_at = message.timestamp().to_millis().unwrap_or_default();
    let written_at = Timestamp::from_micros(written_at.saturating_mul(1_000));
    match read(message.payload().unwrap_or_default(), written_at) {
        Ok(event) => Some(event),
        Err(error) => {
            let (partition, offset) = (message.partition(), message.offset());
            tracing::warn!(%error, partition, offset, "a record of the events topic is no event; passed over");
            counter!(telemetry::SHOPPER_EVENTS, "outcome" => "unreadable").increment(1);
            None
        }
    }
}
