//! Dispatch: from the outbox to the promotions topic, at least once, under the code's own id.
//!
//! ```text
//! claim    not yet attempted: still eligible, consenting, valid?  no ─▶ withdrawn
//!                                                                 yes ─▶ attempted     commit
//! send     attempted: locked ─▶ topic ─▶ acknowledged ─▶ dispatched, row removed       commit
//! ```
//!
//! The order survives a crash anywhere. What was committed as attempted may be out, so it is never
//! withdrawn any more but sent again until the topic has acknowledged it; readers tell a repeat by
//! `promotion_id`. Both steps lock rows with `skip locked`: several instances share the outbox, and none
//! sends what another is sending.
//!
//! The record's key is the customer id, its value one JSON object:
//!
//! ```json
//! {"promotion_id":"…","code":"7ZQ4M0C2XDK","rule_id":1,"rule":"premium overstock","customer_id":7,
//!  "store_id":1,"product_id":2,"cycle":1,"source":"stream","discount_percent":15,
//!  "issued_at":"2026-11-23T08:30:20.114201Z","valid_until":"2026-11-24T08:30:20.114201Z",
//!  "why":{"cause":"stock","cause_position":"1:0/16E9058:1","on_hand":100,"units":1,"hours":168,
//!         "excess":98}}
//! ```
//!
//! Under a rule with trigger `intent`, `why.event` is the application event that made the code due:
//! `{"event_id":"…","type":"product_viewed","occurred_at":"2026-11-23T08:30:19.902113Z"}`.

mod outbox;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::outbox::{Outbox, Parcel};
use super::backoff::{Backoff, Work, keep_at};
use super::error::Error;
use super::evaluation::Policy;
use super::recovery::Recovery;
use crate::config::settings::Kafka;
use crate::connection::Connection;
use crate::kafka::{self, Admin, Producer, TopicSpec};
use crate::step::Steps;
use crate::telemetry::{self, Stage};

/// How often the outbox is looked at when nobody says that codes were issued: they may be another
/// instance's.
const POLL: Duration = Duration::from_millis(250);
/// Codes of one sink transaction.
const CODES_MAX: i64 = 500;
/// How long the topic may take to acknowledge them.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

/// What the dispatcher works with.
pub(super) struct Dispatch {
    /// The sink.
    pub(super) connection: Connection,
    /// The brokers.
    pub(super) kafka: Kafka,
    /// Who decides whether the state is fresh.
    pub(super) policy: Policy,
    /// What is done on a new connection before a code is withdrawn or sent.
    pub(super) recovery: Recovery,
    /// Told when codes were issued here.
    pub(super) issued: Arc<Notify>,
    /// Told when codes are out, for the webhook; `None` when none is configured.
    pub(super) dispatched: Option<Arc<Notify>>,
    /// Crash tests.
    pub(super) steps: Steps,
    /// Health.
    pub(super) stage: Stage,
}

impl Work for Dispatch {
    const DISTURBED: &'static str = "dispatch is";

    fn stage(&self) -> &Stage {
        &self.stage
    }

    async fn attempt(&self, backoff: &mut Backoff) -> Result<(), Error> {
        self.dispatch(backoff).await
    }
}

impl Dispatch {
    /// Dispatches until `stop` or a definite error.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        keep_at(&self, &stop).await
    }

    /// Dispatches with one connection and one producer until either breaks.
    async fn dispatch(&self, backoff: &mut Backoff) -> Result<(), Error> {
        let topic = self.ensure_topic().await?;
        let mut outbox = Outbox::connect(&self.connection, self.dispatched.is_some()).await?;
        self.recovery.complete().await?;
        let mut channel = Channel::open(&self.kafka, &topic)?;
        loop {
            let waiting = outbox.waiting().await?;
            self.observe(&waiting);
            let mut busy = false;
            if waiting.rows > 0 {
                let claimed = outbox.claim(&self.policy, CODES_MAX).await?;
                counter!(telemetry::CODES_WITHDRAWN).increment(claimed.withdrawn);
                let (back, sent) = self.send(&mut outbox, channel).await?;
                channel = back;
                busy = claimed.any() || sent > 0;
            }
            *backoff = Backoff::default();
            if !busy {
                tokio::select! {
                    () = self.issued.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
    }

    async fn ensure_topic(&self) -> Result<String, Error> {
        let name = kafka::topics::promotions(&self.kafka.prefix);
        let spec = TopicSpec::promotions(&self.kafka, name.clone());
        Admin::new(&self.kafka)?.ensure_topic(&spec).await?;
        Ok(name)
    }

    fn observe(&self, waiting: &outbox::Waiting) {
        gauge!(telemetry::OUTBOX_ROWS).set(waiting.rows as f64);
        match waiting.oldest {
            None => self.stage.idle(),
            Some(age) => {
                let now = Instant::now();
                self.stage
                    .working_since(now.checked_sub(age).unwrap_or(now));
            }
        }
    }

    /// Sends what was claimed; says how many codes.
    async fn send(&self, outbox: &mut Outbox, channel: Channel) -> Result<(Channel, usize), Error> {
        let shipment = outbox.lock(CODES_MAX).await?;
        if shipment.parcels().is_empty() {
            return Ok((channel, 0));
        }
        self.steps.at("dispatch.send");
        let parcels = shipment.parcels().to_vec();
        let channel = tokio::task::spawn_blocking(move || channel.publish(&parcels))
            .await
            .map_err(|_| Error::Thread { name: "dispatch" })??;
        self.steps.at("dispatch.sent");
        let delays = shipment.confirm().await?;
        self.steps.at("dispatch.confirmed");
        for delay in &delays {
            histogram!(telemetry::ISSUED_TO_DISPATCHED_SECONDS).record(*delay);
        }
        if let Some(webhook) = &self.dispatched {
            webhook.notify_one();
        }
        counter!(telemetry::CODES_DISPATCHED).increment(delays.len() as u64);
        Ok((channel, delays.len()))
    }
}

/// A producer of the promotions topic. Blocking.
struct Channel {
    producer: Producer,
    topic: u32,
}

impl Channel {
    fn open(kafka: &Kafka, topic: &str) -> Result<Channel, Error> {
        let mut producer = Producer::idempotent(kafka)?;
        let topic = producer.topic(topic)?;
        Ok(Channel { producer, topic })
    }

    /// Returns once all are acknowledged. After an error the producer is gone, and with it whatever it
    /// may still have held.
    fn publish(mut self, parcels: &[Parcel]) -> Result<Channel, Error> {
        for parcel in parcels {
            let (key, value) = (parcel.key.as_bytes(), parcel.value.as_bytes());
            self.producer
                .send(self.topic, None, Some(key), Some(value))?;
        }
        self.producer.flush(ACKNOWLEDGED_WITHIN)?;
        Ok(self)
    }
}
