//! A producer that tells of each record how it fared: for records that somebody waits for.
//!
//! ```text
//! send ─▶ waits ─▶ a wave: librdkafka's queue ─▶ broker (acks=all, idempotent) ─▶ [`Receipt::delivered`]
//!           ▲                                                                         │ the last of the wave
//!           └─────────────────────────── the next wave departs ◀──────────────────────┘
//! ```
//!
//! An idempotent producer sends nothing more to a partition that has more than five records under way, and
//! until the answer its thread asks in a loop, without a pause, whether it may: that took a whole core under 500
//! events a second. So records gather here instead, which costs no time: they leave when those before have
//! arrived.
//!
//! Every record that was given to [`Deliverer::send`] is told of exactly once, also when the producer is
//! dropped: what is still queued then counts as lost.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// The producer of one topic; clones of an `Arc` of it may send from any thread.
pub struct Deliverer<R: Receipt> {
    producer: Arc<ThreadedProducer<Context<R>>>,
    quay: Arc<Quay<R>>,
    /// Sends the waves.
    thread: Option<JoinHandle<()>>,
}

/// A record that waits for its wave.
struct Waiting<R> {
    key: Box<[u8]>,
    value: Box<[u8]>,
    receipt: Arc<R>,
    index: u32,
}

/// Where records wait.
struct Quay<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    waiting: Vec<Waiting<R>>,
    /// Records of the wave that are not told of yet.
    under_way: usize,
    closed: bool,
}

impl<R: Receipt> Deliverer<R> {
    /// Opens it; nothing is asked yet. `within`: how long a record may take once its wave has departed.
    /// `records_max`: how many may wait.
    pub fn open(
        kafka: &Kafka,
        topic: String,
        within: Duration,
        records_max: usize,
    ) -> Result<Self, Error> {
        let quay = Arc::new(Quay {
            state: Mutex::new(State {
                waiting: Vec::new(),
                under_way: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        });
        let producer = deliverer_config(kafka, within, records_max)
            .create_with_context(Context(Arc::clone(&quay)))
            .map_err(Error::Settings)?;
        let producer = Arc::new(producer);
        let thread = std::thread::Builder::new().name("deliverer".to_owned());
        let thread = thread.spawn({
            let (producer, quay) = (Arc::clone(&producer), Arc::clone(&quay));
            move || send_waves(&producer, &quay, &topic)
        });
        Ok(Deliverer {
            producer,
            quay,
            thread: Some(thread.map_err(Error::Thread)?),
        })
    }

    /// Takes a record, copied, which waits for [`Deliverer::depart`].
    pub fn send(&self, parcel: Parcel<'_>, receipt: &Arc<R>, index: u32) {
        self.quay.state().waiting.push(Waiting {
            key: parcel.key.into(),
            value: parcel.value.into(),
            receipt: Arc::clone(receipt),
            index,
        });
    }

    /// What was taken so far leaves as soon as nothing is under way.
    pub fn depart(&self) {
        self.quay.changed.notify_all();
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
        let deadline = Instant::now() + timeout;
        self.depart();
        let mut state = self.quay.state();
        while state.under_way > 0 || !state.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let records = state.under_way + state.waiting.len();
                return Err(Error::Timeout {
                    call: "flush",
                    source: ClientError::new(
                        rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT,
                        format!("{records} records are not acknowledged"),
                    ),
                });
            }
            let waited = self.quay.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl<R: Receipt> Drop for Deliverer<R> {
    fn drop(&mut self) {
        self.quay.state().closed = true;
        self.quay.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
        let lost = std::mem::take(&mut self.quay.state().waiting);
        for record in lost {
            let purged = Outcome::Failed(RDKafkaErrorCode::PurgeQueue);
            record.receipt.delivered(record.index, purged);
        }
    }
}

impl<R> Quay<R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that waits, once nothing is under way; `None` when closed.
    fn next_wave(&self) -> Option<Vec<Waiting<R>>> {
        let stays = |state: &mut State<R>| {
            !state.closed && (state.under_way > 0 || state.waiting.is_empty())
        };
        let waited = self.changed.wait_while(self.state(), stays);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        state.under_way = state.waiting.len();
        Some(std::mem::take(&mut state.waiting))
    }

    /// A record of the wave has been told of.
    fn arrived(&self) {
        let mut state = self.state();
        state.under_way = state.under_way.saturating_sub(1);
        if state.under_way == 0 {
            self.changed.notify_all();
        }
    }
}

fn send_waves<R: Receipt>(producer: &ThreadedProducer<Context<R>>, quay: &Quay<R>, topic: &str) {
    while let Some(wave) = quay.next_wave() {
        for record in &wave {
            let told = Box::new((Arc::clone(&record.receipt), record.index));
            let parcel = BaseRecord::with_opaque_to(topic, told)
                .key(&*record.key)
                .payload(&*record.value);
            if let Err((error, _)) = producer.send(parcel) {
                let code = error.rdkafka_error_code();
                let refused = Outcome::Failed(code.unwrap_or(RDKafkaErrorCode::Unknown));
                record.receipt.delivered(record.index, refused);
                quay.arrived();
            }
        }
    }
}

struct Context<R>(Arc<Quay<R>>);

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
        self.0.arrived();
    }
}

impl<R: Receipt> std::fmt::Debug for Deliverer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deliverer")
    }
}
