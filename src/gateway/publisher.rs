//! Events into the topic: what is waited for, what is known already, and what becomes of a producer that fails.
//!
//! ```text
//! reserve ─▶ look each id up ─▶ send the new ones ─▶ Kafka's word on the last ─▶ remember, or forget
//!    └ too much under way: refused at once        └ a repeat waits for the record that is under way
//! ```
//!
//! A [`Flight`] is one request's records. It lives until Kafka has told of all of them, whether or not the
//! client still waits, and holds what was reserved for it: so the bounds are on what is really under way.

use std::hash::RandomState;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use metrics::{counter, histogram};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::event::Event;
use super::flights::Flights;
use super::recent::{Recent, Seen};
use crate::config::settings::{Gateway, Kafka};
use crate::kafka::{self, Deliverer, Outcome, Parcel, Receipt};
use crate::step::Steps;
use crate::telemetry::{self, Stage};

/// Time that Kafka's word may need on its way to us, above what the producer waits for.
const GRACE: Duration = Duration::from_secs(1);
/// Pause between two looks at a broker that has failed.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// How long it may take to answer such a look.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// A record's longest text but for its digits, and room for those.
const VALUE_BYTES: usize = 320;

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its record is acknowledged.
    Accepted,
    /// The record of the same event is, which came before.
    Repeated,
    /// Its id names another event.
    Reused,
    /// Its record is not acknowledged.
    Failed(Failure),
}

/// Why a record is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody has said anything in time.
    TimedOut,
    /// It was refused.
    Refused,
}

/// As much is under way as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// The one way into the topic. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Publisher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kafka: Kafka,
    topic: String,
    within: Duration,
    events_max: usize,
    producer: RwLock<Arc<Deliverer<Flight>>>,
    recent: Mutex<Recent<Flight>>,
    hash: RandomState,
    flights: Mutex<Flights>,
    events: Arc<Semaphore>,
    /// Told when a record has failed.
    disturbed: Notify,
    steps: Steps,
}

/// The records of one request.
#[derive(Debug)]
struct Flight {
    shared: Arc<Shared>,
    number: u64,
    ids: Vec<Uuid>,
    /// Of each event that was sent: one of the constants below.
    fates: Vec<AtomicU8>,
    /// Records of which nothing is known yet, and one more while they are being sent.
    open: AtomicU32,
    settled: CancellationToken,
    arrived: Instant,
    reserved: Mutex<Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>>,
}

const NOT_SENT: u8 = 0;
const SENT: u8 = 1;
const ACKNOWLEDGED: u8 = 2;
const TIMED_OUT: u8 = 3;
const REFUSED: u8 = 4;

impl Publisher {
    pub(super) fn open(
        kafka: Kafka,
        topic: String,
        gateway: &Gateway,
        stage: Stage,
        steps: Steps,
    ) -> Result<Publisher, kafka::Error> {
        let (within, events_max) = (gateway.acknowledge_timeout, gateway.events_in_flight_max);
        let producer = Deliverer::open(&kafka, topic.clone(), within, events_max)?;
        Ok(Publisher(Arc::new(Shared {
            kafka,
            topic,
            within,
            events_max,
            producer: RwLock::new(Arc::new(producer)),
            recent: Mutex::new(Recent::new(gateway.remembered_events)),
            hash: RandomState::new(),
            flights: Mutex::new(Flights::new(stage)),
            events: Arc::new(Semaphore::new(events_max)),
            disturbed: Notify::new(),
            steps,
        })))
    }

    /// Publishes events that arrived together, and returns once the fate of each is known, in their order.
    /// `bytes` is what was reserved for their text, and is given back when nothing of it is under way.
    pub(super) async fn publish(
        &self,
        events: &[Event],
        bytes: OwnedSemaphorePermit,
    ) -> Result<Vec<Fate>, Busy> {
        let shared = &self.0;
        let count = u32::try_from(events.len()).map_err(|_| Busy)?;
        let reserved = Arc::clone(&shared.events).try_acquire_many_owned(count);
        let reserved = reserved.map_err(|_: TryAcquireError| Busy)?;
        let flight = Flight::depart(shared, events, (reserved, bytes));
        let seen = flight.enter(events);
        shared.steps.at("gateway.send");
        let sent = flight.send(events, &seen);
        flight.close(1);
        shared.steps.at("gateway.sent");
        let mut fates = Vec::with_capacity(events.len());
        let deadline = tokio::time::Instant::now() + shared.within + GRACE;
        for (index, seen) in (0_u32..).zip(seen) {
            fates.push(match seen {
                Seen::New => match flight.fate(index, deadline).await {
                    Ok(()) => Fate::Accepted,
                    Err(failure) => Fate::Failed(failure),
                },
                Seen::Acknowledged => Fate::Repeated,
                Seen::UnderWay(other, index) => match other.fate(index, deadline).await {
                    Ok(()) => Fate::Repeated,
                    Err(failure) => Fate::Failed(failure),
                },
                Seen::Other => Fate::Reused,
            });
        }
        if sent > 0 {
            shared.steps.at("gateway.acknowledged");
        }
        Ok(fates)
    }

    /// Looks after the producer until `stop`: after a failure it asks the broker until it answers, and
    /// replaces a producer that will send nothing any more.
    pub(super) async fn watch(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.disturbed.notified() => {}
            }
            while !self.recovered().await {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(PROBE_INTERVAL) => {}
                }
            }
        }
    }

    async fn recovered(&self) -> bool {
        let shared = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || shared.probe()).await;
        match asked {
            Ok(Ok(())) => {
                self.0.flights().recovered();
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(error = %telemetry::chain(&error), "kafka does not answer");
                false
            }
            Err(_) => false,
        }
    }

    /// Waits until nothing is under way any more, and gives the producer up.
    pub(super) async fn close(self) {
        let producer = self.0.producer();
        let within = self.0.within + GRACE;
        let flushed = tokio::task::spawn_blocking(move || producer.flush(within)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(error = %telemetry::chain(&error), "ended before kafka had acknowledged everything");
        }
    }
}

impl Shared {
    fn producer(&self) -> Arc<Deliverer<Flight>> {
        Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent<Flight>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the broker, on a thread that may block.
    fn probe(&self) -> Result<(), kafka::Error> {
        let producer = self.producer();
        if let Some(reason) = producer.fatal() {
            tracing::warn!(
                reason,
                "the producer of events has failed for good; opening another"
            );
            let topic = self.topic.clone();
            let another = Deliverer::open(&self.kafka, topic, self.within, self.events_max)?;
            *self
                .producer
                .write()
                .unwrap_or_else(PoisonError::into_inner) = Arc::new(another);
        }
        self.producer().reach(&self.topic, PROBE_TIMEOUT)
    }

    fn failed(&self, outcome: Outcome) {
        let reason = match outcome {
            Outcome::TimedOut => "kafka has not acknowledged an event in time".to_owned(),
            Outcome::Failed(code) => format!("kafka has not taken an event: {code}"),
            Outcome::Acknowledged => return,
        };
        if self.flights().failed(&reason) {
            tracing::warn!("{reason}");
            self.disturbed.notify_one();
        }
    }
}

impl Flight {
    fn depart(
        shared: &Arc<Shared>,
        events: &[Event],
        reserved: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) -> Arc<Flight> {
        let arrived = Instant::now();
        let number = shared.flights().depart(arrived, events.len());
        Arc::new(Flight {
            shared: Arc::clone(shared),
            number,
            ids: events.iter().map(|event| event.id).collect(),
            fates: events.iter().map(|_| AtomicU8::new(NOT_SENT)).collect(),
            open: AtomicU32::new(1),
            settled: CancellationToken::new(),
            arrived,
            reserved: Mutex::new(Some(reserved)),
        })
    }

    fn enter(self: &Arc<Self>, events: &[Event]) -> Vec<Seen<Flight>> {
        let hash = &self.shared.hash;
        let prints: Vec<u64> = events.iter().map(|event| event.fingerprint(hash)).collect();
        let mut recent = self.shared.recent();
        let numbered = (0_u32..).zip(events.iter().zip(prints));
        numbered
            .map(|(index, (event, print))| recent.enter(event.id, print, self, index))
            .collect()
    }

    /// Sends the new ones; how many those are.
    fn send(self: &Arc<Self>, events: &[Event], seen: &[Seen<Flight>]) -> usize {
        let producer = self.shared.producer();
        let received_at = now();
        let (mut key, mut value) = (String::new(), String::with_capacity(VALUE_BYTES));
        let mut sent = 0;
        for (index, (event, seen)) in (0_u32..).zip(events.iter().zip(seen)) {
            if !matches!(seen, Seen::New) {
                continue;
            }
            key.clear();
            value.clear();
            event.write_key(&mut key);
            event.write_value(received_at, &mut value);
            self.mark(index, SENT);
            self.open.fetch_add(1, Ordering::Relaxed);
            let parcel = Parcel {
                key: key.as_bytes(),
                value: value.as_bytes(),
            };
            producer.send(parcel, self, index);
            sent += 1;
        }
        producer.depart();
        sent
    }

    fn mark(&self, index: u32, fate: u8) {
        if let Some(slot) = self.fates.get(index as usize) {
            slot.store(fate, Ordering::Release);
        }
    }

    fn read(&self, index: u32) -> u8 {
        let slot = self.fates.get(index as usize);
        slot.map_or(NOT_SENT, |slot| slot.load(Ordering::Acquire))
    }

    /// What became of its record number `index`, once all of the flight is known.
    async fn fate(&self, index: u32, deadline: tokio::time::Instant) -> Result<(), Failure> {
        // The producer tells of everything in its time; if it did not, its records are as good as timed out.
        let _ = tokio::time::timeout_at(deadline, self.settled.cancelled()).await;
        match self.read(index) {
            ACKNOWLEDGED => Ok(()),
            REFUSED => Err(Failure::Refused),
            _ => Err(Failure::TimedOut),
        }
    }

    /// So many records more are told of; the last one settles the flight.
    fn close(&self, records: u32) {
        if self.open.fetch_sub(records, Ordering::AcqRel) != records {
            return;
        }
        let mut recent = self.shared.recent();
        let (mut acknowledged, mut failed) = (0_u64, 0_u64);
        for (index, id) in (0_u32..).zip(&self.ids) {
            match self.read(index) {
                NOT_SENT => continue,
                ACKNOWLEDGED => acknowledged += 1,
                _ => failed += 1,
            }
            recent.settle(id, self, self.read(index) == ACKNOWLEDGED);
        }
        drop(recent);
        let mut flights = self.shared.flights();
        flights.arrive(self.number);
        if acknowledged > 0 && failed == 0 {
            flights.recovered();
        }
        drop(flights);
        if acknowledged > 0 && failed == 0 {
            let seconds = self.arrived.elapsed().as_secs_f64();
            histogram!(telemetry::GATEWAY_ACKNOWLEDGED_SECONDS).record(seconds);
        }
        counter!(telemetry::GATEWAY_EVENTS_TOTAL, "result" => "accepted").increment(acknowledged);
        counter!(telemetry::GATEWAY_EVENTS_TOTAL, "result" => "failed").increment(failed);
        self.reserved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.settled.cancel();
    }
}

impl Receipt for Flight {
    fn delivered(&self, index: u32, outcome: Outcome) {
        let fate = match outcome {
            Outcome::Acknowledged => ACKNOWLEDGED,
            Outcome::TimedOut => TIMED_OUT,
            Outcome::Failed(_) => REFUSED,
        };
        if fate != ACKNOWLEDGED {
            self.shared.failed(outcome);
        }
        self.mark(index, fate);
        self.close(1);
    }
}

fn now() -> Timestamp {
    let now = Timestamp::now();
    // Whole microseconds, as they are written.
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
