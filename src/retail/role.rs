//! The role: its tasks and threads, and what is retried.
//!
//! ```text
//! consumer thread ──Event──▶ loop ──▶ Applier ──▶ sink ◀── sweep, once a minute
//! heartbeat thread ─ Shared ─┘                   ▲
//! events topic ──▶ events ───────────────────────┤
//!                                       outbox ─┴─ dispatch ──▶ promotions topic
//! ```
//!
//! Transient errors of the sink are retried with the same batch for as long as it takes; the offsets
//! are in the batch's own transaction, so an attempt whose commit was lost is recognised. Definite
//! ones end the role.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::apply::{Applier, Batch, Outcome};
use super::backoff::Backoff;
use super::change::Table;
use super::consumer::{Event, Poller};
use super::dispatch::Dispatch;
use super::error::Error;
use super::evaluation::Policy;
use super::events::Events;
use super::group::Shared;
use super::heartbeat::Listener;
use super::mapped;
use super::partition::Topics;
use super::recovery::Recovery;
use super::store::Sink;
use super::sweep::Sweep;
use super::topics::await_topics;
use super::webhook::{Client, Webhook};
use crate::config::settings::{self, Format, Kafka, Retail, Settings, Truncate};
use crate::step::{Role, Steps};
use crate::telemetry::{self, Health, Stage};

/// How long a batch may wait for its commit before the stage counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// How long a sweep may take; nothing may be older than five minutes.
const SWEEP_STUCK_AFTER: Duration = Duration::from_mins(3);

/// Refuses a format that the folds cannot read.
pub fn check_format(format: Format) -> Result<(), Error> {
    if let Some(unfoldable) = format.unfoldable() {
        return Err(Error::Format(unfoldable));
    }
    match format.truncate {
        Truncate::EachPartition => Ok(()),
        Truncate::Once => Err(Error::Truncate { found: "once" }),
        Truncate::Skip => Err(Error::Truncate { found: "skip" }),
    }
}

/// Folds the topics into the sink until `stop` or a definite error.
pub async fn run(
    settings: &Settings,
    health: &Health,
    stop: CancellationToken,
) -> Result<(), Error> {
    let kafka = settings
        .kafka
        .clone()
        .ok_or(Error::Missing { section: "kafka" })?;
    let sink = settings
        .sink
        .as_ref()
        .ok_or(Error::Missing { section: "sink" })?;
    check_format(settings.format)?;
    let stage = health.stage("retail.apply", STUCK_AFTER);
    super::migrate::check(sink).await?;
    let topics = Topics::new(&kafka, &settings.retail);
    let Some(counts) = register(&kafka, settings, sink, &topics, &stop).await? else {
        return Ok(());
    };
    let issued = Arc::new(Notify::new());
    let retail = settings.retail.clone();
    let recovery = Recovery::new(
        sink.connection.clone(),
        kafka.clone(),
        settings.webhook.is_some(),
    );
    let applier = Applier::new(
        sink.connection.clone(),
        topics.clone(),
        retail.clone(),
        Arc::clone(&issued),
        recovery.clone(),
        steps(settings, Role::Aggregate)?,
    );
    let codes = Codes::new(settings, &kafka, sink, &recovery, &issued, health)?;
    // One that ends, ends the others.
    let stop = stop.child_token();
    let mut tasks = JoinSet::new();
    let (ended, folded) = (stop.clone(), stage.clone());
    tasks.spawn(async move { fold(kafka, retail, topics, counts, applier, &folded, ended).await });
    codes.start(&mut tasks, &stop);
    let result = join(tasks, &stop).await;
    if let Err(error) = &result {
        stage.failed(error);
    }
    result
}

/// What issues codes beside the folds, and brings them out.
struct Codes {
    dispatch: Dispatch,
    events: Events,
    webhook: Option<Webhook>,
    sweep: Sweep,
}

impl Codes {
    fn new(
        settings: &Settings,
        kafka: &Kafka,
        sink: &settings::Sink,
        recovery: &Recovery,
        issued: &Arc<Notify>,
        health: &Health,
    ) -> Result<Codes, Error> {
        let policy = Policy::new(&settings.retail);
        let dispatched = Arc::new(Notify::new());
        let webhook = webhook(settings, sink, &dispatched, health)?;
        let dispatch = Dispatch {
            connection: sink.connection.clone(),
            kafka: kafka.clone(),
            policy: policy.clone(),
            recovery: recovery.clone(),
            issued: Arc::clone(issued),
            dispatched: webhook.is_some().then_some(dispatched),
            steps: steps(settings, Role::Dispatch)?,
            stage: health.stage("retail.dispatch", STUCK_AFTER),
        };
        let events = Events {
            connection: sink.connection.clone(),
            kafka: kafka.clone(),
            retail: settings.retail.clone(),
            policy: policy.clone(),
            recovery: recovery.clone(),
            issued: Arc::clone(issued),
            steps: steps(settings, Role::Events)?,
            stage: health.stage("retail.events", STUCK_AFTER),
        };
        let sweep = Sweep {
            connection: sink.connection.clone(),
            policy,
            recovery: recovery.clone(),
            issued: Arc::clone(issued),
            stage: health.stage("retail.decide", SWEEP_STUCK_AFTER),
        };
        Ok(Codes {
            dispatch,
            events,
            webhook,
            sweep,
        })
    }

    fn start(self, tasks: &mut JoinSet<Result<(), Error>>, stop: &CancellationToken) {
        tasks.spawn(self.dispatch.run(stop.clone()));
        tasks.spawn(self.events.run(stop.clone()));
        if let Some(webhook) = self.webhook {
            tasks.spawn(webhook.run(stop.clone()));
        }
        tasks.spawn(self.sweep.run(stop.clone()));
    }
}

/// Checks what is mapped, waits for the topics and registers their partitions; `None` when it was stopped before.
async fn register(
    kafka: &Kafka,
    settings: &Settings,
    sink: &settings::Sink,
    topics: &Topics,
    stop: &CancellationToken,
) -> Result<Option<Vec<(Table, i32)>>, Error> {
    if let Some(source) = &settings.source {
        mapped::check(&source.connection, &settings.retail.mapping).await?;
    }
    let Some(counts) = await_topics(kafka, topics, stop).await? else {
        return Ok(None);
    };
    let mut connection = Sink::connect(&sink.connection).await?;
    connection
        .register(topics, &counts, &settings.retail.mapping)
        .await?;
    connection.check_zone(&settings.retail.day_zone).await?;
    connection.note_arms(settings.retail.arms).await?;
    Ok(Some(counts))
}

/// The webhook's deliverer; `None` when no receiver is configured.
fn webhook(
    settings: &Settings,
    sink: &settings::Sink,
    dispatched: &Arc<Notify>,
    health: &Health,
) -> Result<Option<Webhook>, Error> {
    let Some(receiver) = &settings.webhook else {
        return Ok(None);
    };
    Ok(Some(Webhook {
        connection: sink.connection.clone(),
        client: Client::new(receiver)?.into(),
        settings: receiver.clone(),
        dispatched: Arc::clone(dispatched),
        steps: steps(settings, Role::Webhook)?,
        stage: health.stage("retail.webhook", STUCK_AFTER),
    }))
}

fn steps(settings: &Settings, role: Role) -> Result<Steps, Error> {
    Steps::open(&settings.steps, role).map_err(|_| Error::Damaged {
        what: "the step file cannot be opened",
    })
}

/// Waits for all; the first that ends stops the others, and the first error is the one that counts.
async fn join(
    mut tasks: JoinSet<Result<(), Error>>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        stop.cancel();
        let ended = ended
            .map_err(|_| Error::Thread { name: "retail" })
            .flatten();
        result = result.and(ended);
    }
    result
}

async fn fold(
    kafka: Kafka,
    retail: Retail,
    topics: Topics,
    counts: Vec<(Table, i32)>,
    applier: Applier,
    stage: &Stage,
    stop: CancellationToken,
) -> Result<(), Error> {
    let shared = Arc::new(Shared::default());
    let (sender, events) = mpsc::channel(1);
    let mut threads = JoinSet::new();
    let listener = Listener::open(&kafka, &retail, topics.clone(), Arc::clone(&shared))?;
    let poller = Poller::join(&kafka, &retail, topics, counts, sender, Arc::clone(&shared))?;
    threads.spawn_blocking(move || poller.run());
    threads.spawn_blocking(move || {
        listener.run();
        Ok(())
    });
    stage.idle();
    let mut role = Loop {
        applier,
        shared: Arc::clone(&shared),
        stage: stage.clone(),
        stop,
    };
    let applied = role.run(events).await;
    shared.stop();
    let mut result = applied;
    while let Some(ended) = threads.join_next().await {
        let ended = ended
            .map_err(|_| Error::Thread { name: "consumer" })
            .flatten();
        result = result.and(ended);
    }
    result
}

struct Loop {
    applier: Applier,
    shared: Arc<Shared>,
    stage: Stage,
    stop: CancellationToken,
}

impl Loop {
    async fn run(&mut self, mut events: mpsc::Receiver<Event>) -> Result<(), Error> {
        // Whether the batches that come are of an assignment that was not lost.
        let mut ours = false;
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                event = events.recv() => event,
            };
            match event {
                // The consumer's thread has ended: its own result says why.
                None => return Ok(()),
                Some(Event::Assigned { partitions, reply }) => {
                    let Some(offsets) = self.own(&partitions).await? else {
                        return Ok(());
                    };
                    ours = true;
                    // A consumer that went away in the meantime needs no answer.
                    let _ = reply.send(offsets);
                }
                // Records of partitions that were revoked meanwhile are dropped.
                Some(Event::Batch(batch)) if batch.assignment != self.shared.number() => {}
                Some(Event::Batch(batch)) if ours => match self.apply(&batch).await? {
                    None => return Ok(()),
                    Some(Outcome::Applied) => self.stage.idle(),
                    Some(Outcome::Fenced) => {
                        ours = false;
                        self.fenced(&batch);
                    }
                },
                Some(Event::Batch(_)) => {}
            }
        }
    }

    async fn own(
        &mut self,
        partitions: &[super::partition::PartitionId],
    ) -> Result<Option<std::collections::BTreeMap<super::partition::PartitionId, i64>>, Error> {
        let mut backoff = Backoff::default();
        self.stage.working_since(Instant::now());
        loop {
            match self.applier.own(partitions).await {
                Ok(offsets) => {
                    self.stage.idle();
                    return Ok(Some(offsets));
                }
                Err(error) => {
                    if !self.wait(error, &mut backoff).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// `None` when it was stopped before the batch could be applied.
    async fn apply(&mut self, batch: &Batch) -> Result<Option<Outcome>, Error> {
        let mut backoff = Backoff::default();
        self.stage.working_since(batch.received_at);
        loop {
            match self.applier.apply(batch).await {
                Ok(outcome) => return Ok(Some(outcome)),
                Err(error) => {
                    if !self.wait(error, &mut backoff).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Another consumer owns the partitions. If Kafka has told us so by now, the new assignment is
    /// on its way; if not, we are the zombie and must join again.
    fn fenced(&self, batch: &Batch) {
        counter!(telemetry::CONSUMER_FENCED).increment(1);
        if batch.assignment == self.shared.number() {
            self.shared.rejoin();
        }
        self.stage.idle();
    }

    /// Waits before the next attempt; `false` when stopped, the error when it is definite.
    async fn wait(&self, error: Error, backoff: &mut Backoff) -> Result<bool, Error> {
        counter!(telemetry::SINK_RETRIES).increment(u64::from(error.is_transient()));
        backoff.wait_out(error, "the sink is", &self.stop).await
    }
}
