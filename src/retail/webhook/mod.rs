//! The webhook: codes that the promotions topic has acknowledged, posted to a receiver.
//!
//! ```text
//! dispatch ─▶ promotion_delivery ─▶ take (leased) ─▶ POST ─▶ delivered
//!                  ▲                                  └─ failed ─▶ due later, or parked at the limit
//!                  └────────── replay ◀───────────────────────────────────────┘
//! ```
//!
//! No transaction is open while the receiver thinks: a delivery is leased, and falls due again if whoever
//! took it is gone. So a code may be delivered twice, under one id, and never not at all.

mod client;
mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) use self::client::Client;
use self::store::{Delivery, Store};
pub use self::store::{Parked, parked, replay};
use super::backoff::{Backoff, Work, keep_at};
use super::error::Error;
use crate::config::settings;
use crate::connection::Connection;
use crate::step::Steps;
use crate::telemetry::{self, Stage};

/// How often deliveries are looked for when nobody says that there are new ones.
const POLL: Duration = Duration::from_millis(500);
/// Requests under way at once.
const REQUESTS_MAX: i64 = 32;
/// A lease outlives its request by this much.
const LEASE_MARGIN: Duration = Duration::from_secs(20);
/// The first and the longest wait between two attempts; it doubles.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_hours(1);

/// What keeps codes from being posted, as far as it can be told without a request: an address that is not allowed, or
/// certificates that cannot be read.
pub fn check(settings: &settings::Webhook) -> Result<(), Error> {
    Client::new(settings).map(drop)
}

/// What the deliverer works with.
pub(super) struct Webhook {
    /// The sink.
    pub(super) connection: Connection,
    /// How patiently.
    pub(super) settings: settings::Webhook,
    /// The receiver.
    pub(super) client: Arc<Client>,
    /// Told when codes were dispatched here.
    pub(super) dispatched: Arc<Notify>,
    /// Crash tests.
    pub(super) steps: Steps,
    /// Health.
    pub(super) stage: Stage,
}

impl Work for Webhook {
    const DISTURBED: &'static str = "the webhook's deliveries are";

    fn stage(&self) -> &Stage {
        &self.stage
    }

    async fn attempt(&self, backoff: &mut Backoff) -> Result<(), Error> {
        self.deliver_all(backoff).await
    }
}

impl Webhook {
    /// Delivers until `stop` or a definite error.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        keep_at(&self, &stop).await
    }

    /// Delivers on one connection until it breaks.
    async fn deliver_all(&self, backoff: &mut Backoff) -> Result<(), Error> {
        let store = Store::connect(&self.connection).await?;
        let lease = self.settings.timeout + LEASE_MARGIN;
        loop {
            self.observe(&store).await?;
            let deliveries = store.take(REQUESTS_MAX, lease).await?;
            let idle = deliveries.is_empty();
            self.deliver(&store, deliveries).await?;
            *backoff = Backoff::default();
            if idle {
                tokio::select! {
                    () = self.dispatched.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
    }

    async fn observe(&self, store: &Store) -> Result<(), Error> {
        let waiting = store.waiting().await?;
        gauge!(telemetry::DELIVERIES_WAITING).set(waiting.waiting as f64);
        gauge!(telemetry::DELIVERIES_PARKED).set(waiting.parked as f64);
        match waiting.oldest {
            None => self.stage.idle(),
            Some(age) => {
                let (now, age) = (Instant::now(), Duration::try_from_secs_f64(age));
                let since = now.checked_sub(age.unwrap_or_default());
                self.stage.working_since(since.unwrap_or(now));
            }
        }
        Ok(())
    }

    async fn deliver(&self, store: &Store, deliveries: Vec<Delivery>) -> Result<(), Error> {
        let mut requests = JoinSet::new();
        for delivery in deliveries {
            let client = Arc::clone(&self.client);
            requests.spawn(async move {
                let Delivery {
                    promotion_id,
                    body,
                    seconds,
                    ..
                } = &delivery;
                let outcome = client.deliver(*promotion_id, body, *seconds).await;
                (delivery, outcome)
            });
        }
        while let Some(ended) = requests.join_next().await {
            let (delivery, outcome) = ended.map_err(|_| Error::Thread { name: "webhook" })?;
            self.steps.at("webhook.answered");
            match outcome {
                Ok(()) => {
                    store.delivered(delivery.promotion_id).await?;
                    counter!(telemetry::DELIVERIES, "outcome" => "delivered").increment(1);
                }
                Err(failed) => self.failed(store, &delivery, failed).await?,
            }
        }
        Ok(())
    }

    async fn failed(
        &self,
        store: &Store,
        delivery: &Delivery,
        failed: client::Failed,
    ) -> Result<(), Error> {
        let id = delivery.promotion_id;
        let attempts = delivery.attempts.unsigned_abs();
        let wait = (attempts < self.settings.attempts_max)
            .then(|| failed.retry_after.unwrap_or_else(|| wait(attempts)));
        let outcome = if wait.is_some() { "failed" } else { "parked" };
        counter!(telemetry::DELIVERIES, "outcome" => outcome).increment(1);
        match wait {
            Some(wait) => {
                tracing::debug!(%id, attempts, reason = failed.reason, ?wait, "a delivery failed");
            }
            None => {
                tracing::warn!(%id, attempts, reason = failed.reason,
                    "a delivery is parked; see tidewater deliveries");
            }
        }
        store.failed(id, &failed.reason, wait).await
    }
}

/// Doubles from a second to an hour; each is shortened by up to a half at random.
fn wait(attempts: u32) -> Duration {
    let doubled = 1_u32 << attempts.saturating_sub(1).min(12);
    let whole = WAIT_FIRST.saturating_mul(doubled).min(WAIT_MAX);
    whole.mul_f64(rand::random_range(0.5..=1.0))
}
