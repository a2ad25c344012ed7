//! A producer that tells of each record how it fared: for records that somebody waits for.
//!
//! ```text
//! send ─▶ librdkafka's queue ─▶ broker (acks=all, idempotent) ─▶ [`Receipt::delivered`], on the polling thread
//! ```
//!
//! Every record that was accepted by [`Deliverer::send`] is told of exactly once, also when the producer is
//! dropped: what is still queued then counts as lost.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use super::client::{Quiet, deliverer_config, log};
use super::error::{ClientError, Error};
use crate::config::settings::Kafka;

/// How a record fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every in-sync replica has it.
    Acknowledged,
    /// Nobody has acknowledged it in time: it may be in the topic or not.
    TimedOut,
    /// It was refused, or lost with the producer.
    Failed(RDKafkaErrorCode),
}

/// Is told how its records fared.
pub trait Receipt: Send + Sync + 'static {
    /// Record number `index` has fared so. Called on the producer's thread, which must not be held up.
    fn delivered(&self, index: u32, outcome: Outcome);
}

/// A record for a producer.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// The producer; clones of an `Arc` of it may send from any thread.
pub struct Deliverer<R: Receipt> {
    producer: ThreadedProducer<Context<R>>,
}

impl<R: Receipt> Deliverer<R> {
    /// Opens it; nothing is asked yet. `within`: how long a record may take. `records_max`: how many may wait.
    pub fn open(kafka: &Kafka, within: Duration, records_max: usize) -> Result<Self, Error> {
        let producer = deliverer_config(kafka, within, records_max)
            .create_with_context(Context(std::marker::PhantomData))
            .map_err(Error::Settings)?;
        Ok(Deliverer { producer })
    }

    /// Enqueues a record, copied. An error is the record's outcome: nothing more will be told of it.
    pub fn send(&self, parcel: Parcel<'_>, receipt: &Arc<R>, index: u32) -> Result<(), Outcome> {
        let told = Box::new((Arc::clone(receipt), index));
        let record = BaseRecord::with_opaque_to(parcel.topic, told)
            .key(parcel.key)
            .payload(parcel.value);
        self.producer.send(record).map_err(|(error, _)| {
            let unknown = RDKafkaErrorCode::Unknown;
            Outcome::Failed(error.rdkafka_error_code().unwrap_or(unknown))
        })
    }

    /// The error after which this producer sends nothing any more.
    pub fn fatal(&self) -> Option<String> {
        let (_, reason) = self.producer.client().fatal_error()?;
        Some(reason)
    }

    /// Whether a broker answers and every partition of the topic has a leader. Blocks.
    pub fn reach(&self, topic: &str, timeout: Duration) -> Result<(), Error> {
        let unknown = |source| Error::Metadata {
            what: format!("topic {topic}"),
            source,
        };
        let metadata = self.producer.client().fetch_metadata(Some(topic), timeout);
        let metadata = metadata.map_err(unknown)?;
        let led = metadata.topics().iter().any(|found| {
            let mut partitions = found.partitions().iter();
            !found.partitions().is_empty() && partitions.all(|partition| partition.leader() >= 0)
        });
        if led {
            return Ok(());
        }
        let missing = RDKafkaErrorCode::UnknownTopicOrPartition;
        Err(unknown(KafkaError::MetadataFetch(missing)))
    }

    /// Waits until every record has been told of. Blocks.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        self.producer
            .flush(timeout)
            .map_err(|error| Error::Timeout {
                call: "flush",
                source: ClientError::new(
                    rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT,
                    error.to_string(),
                ),
            })
    }
}

struct Context<R>(std::marker::PhantomData<fn() -> R>);

impl<R: Receipt> ClientContext for Context<R> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log(level as i32, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl<R: Receipt> ProducerContext for Context<R> {
    type DeliveryOpaque = Box<(Arc<R>, u32)>;

    fn delivery(&self, result: &DeliveryResult<'_>, told: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(_) => Outcome::Acknowledged,
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageTimedOut) => Outcome::TimedOut,
                code => Outcome::Failed(code.unwrap_or(RDKafkaErrorCode::Unknown)),
            },
        };
        let (receipt, index) = *told;
        receipt.delivered(index, outcome);
    }
}

impl<R: Receipt> std::fmt::Debug for Deliverer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deliverer")
    }
}
