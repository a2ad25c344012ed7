//! Application events: what shoppers do right now makes codes of intent rules due.
//!
//! ```text
//! events topic ─▶ consumer ─▶ store: new? ─▶ shopper_event ─▶ eligible tuples ─▶ issue ─▶ dispatch
//! ```
//!
//! A tuple is due while an event about it lies within its rule's `intent_window`, whichever came first. Here
//! are the events that come to eligible tuples; the batches of changes and the sweep ask for events in the
//! same statement that finds who may have a code. What neither can see of the other, the sweep finds within
//! a minute. An event without product makes due only the tuple that stands first in the order of issue, and
//! is used up by that.

mod consumer;
mod record;
mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use self::consumer::{Batch, Poller};
use self::store::Store;
use super::backoff::Backoff;
use super::error::Error;
use super::evaluation::Policy;
use super::recovery::Recovery;
use crate::config::settings::{Kafka, Retail};
use crate::connection::Connection;
use crate::kafka::{self, Admin, TopicSpec};
use crate::step::Steps;
use crate::telemetry::{self, Stage};

/// What an error disturbs here.
const DISTURBED: &str = "events are";
/// How often old events are forgotten.
const PRUNE: Duration = Duration::from_mins(1);

/// What the role works with.
pub(super) struct Events {
    /// The sink.
    pub(super) connection: Connection,
    /// The brokers.
    pub(super) kafka: Kafka,
    /// Whose group it is.
    pub(super) retail: Retail,
    /// Who may have a code.
    pub(super) policy: Policy,
    /// What is done on a new connection before a code is issued.
    pub(super) recovery: Recovery,
    /// Told when codes were issued.
    pub(super) issued: Arc<Notify>,
    /// Crash tests.
    pub(super) steps: Steps,
    /// Health.
    pub(super) stage: Stage,
}

impl Events {
    /// Applies events until `stop` or a definite error.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let result = self.consume(&stop).await;
        if let Err(error) = &result {
            self.stage.failed(error);
        }
        result
    }

    async fn consume(&self, stop: &CancellationToken) -> Result<(), Error> {
        let Some(topic) = self.ensure_topic(stop).await? else {
            return Ok(());
        };
        let (sender, batches) = mpsc::channel(1);
        let stop = stop.child_token();
        let poller = Poller::join(&self.kafka, &self.retail, &topic, sender, stop.clone())?;
        let thread = tokio::task::spawn_blocking(move || poller.run());
        self.stage.idle();
        let applied = self.apply_all(batches, &stop).await;
        stop.cancel();
        let ended = thread.await.map_err(|_| Error::Thread { name: "events" });
        applied.and(ended.flatten())
    }

    /// `None` when it was stopped before the brokers could be reached.
    async fn ensure_topic(&self, stop: &CancellationToken) -> Result<Option<String>, Error> {
        let name = kafka::topics::events(&self.kafka.prefix);
        let spec = TopicSpec::application_events(&self.kafka, name.clone());
        let mut backoff = Backoff::default();
        loop {
            let ensured = async { Admin::new(&self.kafka)?.ensure_topic(&spec).await };
            match ensured.await.map_err(Error::Topics) {
                Ok(_) => return Ok(Some(name)),
                Err(error) => {
                    if !backoff.wait_out(error, DISTURBED, stop).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn apply_all(
        &self,
        mut batches: mpsc::Receiver<Batch>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let mut store = None;
        let mut prune = tokio::time::interval(PRUNE);
        loop {
            let batch = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                batch = batches.recv() => batch,
                _ = prune.tick() => {
                    self.prune(&mut store).await?;
                    continue;
                }
            };
            // The consumer's thread has ended: its own result says why.
            let Some(batch) = batch else { return Ok(()) };
            if !self.apply(&mut store, batch, stop).await? {
                return Ok(());
            }
        }
    }

    /// The connection that is there, or a new one.
    async fn open<'s>(&self, store: &'s mut Option<Store>) -> Result<&'s mut Store, Error> {
        let open = if let Some(open) = store.take() {
            open
        } else {
            let open = Store::connect(&self.connection).await?;
            self.recovery.complete().await?;
            open
        };
        Ok(store.insert(open))
    }

    /// Old events do no harm: a disturbed sink only delays it.
    async fn prune(&self, store: &mut Option<Store>) -> Result<(), Error> {
        let pruned = async { self.open(store).await?.prune().await };
        match pruned.await {
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "old events are forgotten later");
                *store = None;
                Ok(())
            }
            ended => ended,
        }
    }

    /// Applies a batch, however long the sink is away; `false` when it was stopped before.
    async fn apply(
        &self,
        store: &mut Option<Store>,
        batch: Batch,
        stop: &CancellationToken,
    ) -> Result<bool, Error> {
        let mut backoff = Backoff::default();
        self.stage.working_since(batch.received_at);
        let began = Instant::now();
        let applied = loop {
            let attempt = async {
                let open = self.open(store).await?;
                open.apply(&batch.events, &self.policy, &self.steps).await
            };
            match attempt.await {
                Ok(applied) => break applied,
                Err(error) => {
                    // Whatever the transaction held is unknown.
                    *store = None;
                    if !backoff.wait_out(error, DISTURBED, stop).await? {
                        return Ok(false);
                    }
                }
            }
        };
        histogram!(telemetry::EVENTS_TRANSACTION_SECONDS).record(began.elapsed());
        let repeated = (batch.events.len() as u64).saturating_sub(applied.new);
        for (outcome, count) in [
            ("counted", applied.new - applied.late),
            ("late", applied.late),
            ("repeated", repeated),
        ] {
            counter!(telemetry::SHOPPER_EVENTS, "outcome" => outcome).increment(count);
        }
        if applied.issued > 0 {
            self.issued.notify_one();
        }
        self.stage.idle();
        // A thread that has ended needs no answer.
        let _ = batch.applied.send(());
        Ok(true)
    }
}
