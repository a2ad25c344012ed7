//! The stream: one loop that reads the source, fills batches, and confirms what Kafka has committed.
//!
//! Priorities, highest first:
//!
//! 1. the shutdown signal — then [`Stream::drain`] takes over;
//! 2. the publisher's outcome — it frees a batch and moves the position;
//! 3. the clock — status to the source at least every second, batches that have waited long enough;
//! 4. the socket — unless both batches are full.
//!
//! A stalled Kafka blocks only the publisher's thread; this loop goes on answering the source.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::ad_hoc::{AdHoc, Again, Told};
use super::capture::{Arrival, Capture, CapturedTable, Point, Unmet};
use super::lease::Lease;
use super::machine::{self, Decision, Limits, Progress};
use super::members::{News, Relistings};
use super::publisher::{Job, Outcome, Publisher};
use super::row_store;
use super::tables::{Tables, TypeNames};
use crate::event::{Batch, Lsn, Plan, Position, Table, Target};
use crate::kafka::PositionRecord;
use crate::pgoutput::Relation;
use crate::postgres::{Frame, ReplicationStream};
use crate::step::Steps;
use crate::telemetry::{self, Stage};

mod ad_hoc;
mod routes;

use ad_hoc::Kept;

/// Status goes to the source at least this often.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// After a commit it goes out no sooner than this: each one costs the source a little work.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(100);
/// The source answers each status, so a silence of this length means that it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Of a batch's memory as much is kept as this many times its limit: a row may exceed it.
const BATCH_KEPT: usize = 2;
/// How long a drain waits for the last commit.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that streaming needs once the start is done.
pub(crate) struct Stream {
    pub(crate) source: ReplicationStream,
    pub(crate) capture: Capture,
    pub(crate) ad_hoc: AdHoc,
    pub(crate) tables: Tables,
    pub(crate) publisher: Publisher,
    pub(crate) lease: Lease,
    /// The last record handed to the publisher.
    pub(crate) record: PositionRecord,
    pub(crate) progress: Progress,
    pub(crate) limits: Limits,
    pub(crate) steps: Steps,
    pub(crate) reading: Stage,
    pub(crate) publishing: Stage,
    pub(crate) state: Loop,
    /// What became of the publication's tables.
    pub(crate) news: UnboundedReceiver<News>,
    pub(crate) relistings: Relistings,
}

/// The loop's own state.
pub(crate) struct Loop {
    publisher: machine::Publisher,
    spare: Option<(Batch, Vec<i64>)>,
    status_due: Instant,
    status_sent: Instant,
    heard: Instant,
    /// When streaming began, until the first change has arrived.
    awaiting_first: Option<Instant>,
    /// What the reader of ad hoc snapshots has told, until it is taken.
    told: Option<Told>,
    /// What lies behind the gate of a table without a key, and was read already.
    kept: Option<Kept>,
}

impl Loop {
    /// The state at a start.
    pub(crate) fn new(now: Instant) -> Self {
        Loop {
            publisher: machine::Publisher::Idle { acknowledged: None },
            spare: Some((Batch::default(), Vec::new())),
            status_due: now,
            status_sent: now,
            heard: now,
            awaiting_first: Some(now),
            told: None,
            kept: None,
        }
    }
}

impl Stream {
    /// Streams until the shutdown, or until something fails.
    pub(crate) async fn run(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        self.reading.idle();
        self.publishing.idle();
        loop {
            if !self.read_frames(shutdown).await? || !self.read_beside(shutdown).await? {
                return self.drain().await;
            }
            let now = Instant::now();
            let wake = match self.decide(false, now)? {
                Decision::CloseAtBoundary | Decision::CloseSplit => continue,
                Decision::Pause => {
                    // Nothing is read, so nothing can be heard: that is no silence of the source.
                    self.state.heard = now;
                    Wait {
                        until: None,
                        read: false,
                    }
                }
                Decision::Fill | Decision::FillUntil(_) if self.rows_are_full() => {
                    self.state.heard = now;
                    Wait {
                        until: None,
                        read: false,
                    }
                }
                Decision::Fill | Decision::FillUntil(_) if self.is_stopped() => {
                    match self.stand(now)? {
                        None => continue,
                        Some(wait) => wait,
                    }
                }
                Decision::Fill | Decision::FillUntil(_) => {
                    if let Some(read) = self.source.fill().now_or_never() {
                        read?;
                        self.state.heard = now;
                        continue;
                    }
                    match self.decide(true, now)? {
                        Decision::CloseAtBoundary | Decision::CloseSplit => continue,
                        Decision::Fill | Decision::Pause => Wait {
                            until: None,
                            read: true,
                        },
                        Decision::FillUntil(until) => Wait {
                            until: Some(until),
                            read: true,
                        },
                    }
                }
            };
            if shutdown.is_cancelled() {
                return self.drain().await;
            }
            self.wait(wake, shutdown).await?;
        }
    }

    async fn wait(&mut self, wait: Wait, shutdown: &CancellationToken) -> Result<(), Error> {
        let due = [wait.until, self.wake_beside()].into_iter().flatten();
        let wake = due.fold(self.state.status_due, Instant::min);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            outcome = self.publisher.outcome() => self.on_outcome(outcome).await?,
            told = self.ad_hoc.told(), if self.state.told.is_none() => self.state.told = Some(told),
            Some(news) = self.news.recv() => self.join(news),
            written = self.capture.rows_written() => self.on_rows_written(written)?,
            () = sleep_until(wake.into()) => self.on_clock().await?,
            read = self.source.fill(), if wait.read => {
                read?;
                self.state.heard = Instant::now();
            }
        }
        Ok(())
    }

    /// What to wait for while the stream stands; what is in the source's socket stays there. `None`: a batch was
    /// closed.
    fn stand(&mut self, now: Instant) -> Result<Option<Wait>, Error> {
        self.state.heard = now;
        let until = match self.decide(true, now)? {
            Decision::CloseAtBoundary | Decision::CloseSplit => return Ok(None),
            Decision::Fill | Decision::Pause => None,
            Decision::FillUntil(until) => Some(until),
        };
        Ok(Some(Wait { until, read: false }))
    }

    /// Applies what the read buffer holds, until it is empty or the batch is full. `false` when the
    /// shutdown came while a relation was looked up: its change has not been applied, and nothing behind it
    /// may be.
    async fn read_frames(&mut self, shutdown: &CancellationToken) -> Result<bool, Error> {
        let now = Instant::now();
        let now_us = unix_time_us();
        loop {
            let fill = self.capture.fill();
            if fill.bytes >= self.limits.batch_bytes_max
                || fill.records >= self.limits.batch_records_max
                || self.rows_are_full()
                || self.is_stopped()
            {
                return Ok(true);
            }
            if let Some(kept) = self.take_kept() {
                // It begins a transaction, or is a message alone: there is no relation to look up.
                self.capture.apply(kept.arrival(), now, now_us)?;
                continue;
            }
            let gate = self.ad_hoc.gate().filter(|_| !self.capture.is_open());
            let arrival = match self.source.next_frame()? {
                None => return Ok(true),
                Some(Frame::XLogData { start, data, .. }) => Arrival {
                    lsn: start,
                    data,
                    excess: None,
                },
                Some(Frame::Condensed {
                    start,
                    data,
                    excess,
                }) => Arrival {
                    lsn: start,
                    data,
                    excess: Some(excess),
                },
                Some(Frame::Keepalive {
                    end,
                    reply_requested,
                    ..
                }) => {
                    let end = gate.map_or(end, |gate| gate.up_to(end));
                    self.on_keepalive(end, reply_requested, now);
                    continue;
                }
            };
            if let Some(since) = self.state.awaiting_first.take() {
                // The server decodes from the slot's restart_lsn, and a transaction whole.
                tracing::info!(waited = ?now.duration_since(since), "first change arrived");
            }
            if gate.is_some_and(|gate| gate.bars(arrival.data)) {
                self.state.kept = Some(Kept::new(arrival));
                return Ok(true);
            }
            if let Some(mut unmet) = self.capture.apply(arrival, now, now_us)? {
                let data = arrival.data.to_vec();
                let arrival = Arrival {
                    data: &data,
                    ..arrival
                };
                loop {
                    if !self.meet(&unmet, shutdown).await? {
                        return Ok(false);
                    }
                    match self.capture.apply(arrival, now, now_us)? {
                        Some(next) => unmet = next,
                        None => break,
                    }
                }
            }
            self.progress.read_to(self.capture.resume());
        }
    }

    fn on_keepalive(&mut self, end: Lsn, reply_requested: bool, now: Instant) {
        self.capture.advance(end);
        if reply_requested {
            self.state.status_due = now;
        }
        self.progress.read_to(self.capture.resume());
    }

    /// Makes known what a message needs. `false` when the shutdown came first.
    async fn meet(&mut self, unmet: &Unmet, shutdown: &CancellationToken) -> Result<bool, Error> {
        match unmet {
            Unmet::Relation(relation) => self.describe(relation, shutdown).await,
            Unmet::Route { relation, value } => {
                let plan = self.capture.plan(*relation).cloned();
                let Some(target) = self.route(plan, value, shutdown).await? else {
                    return Ok(false);
                };
                self.capture.meet(*relation, value, target);
                Ok(true)
            }
        }
    }

    /// Looks a relation up. `false` when the shutdown came first.
    async fn describe(
        &mut self,
        relation: &Relation,
        shutdown: &CancellationToken,
    ) -> Result<bool, Error> {
        let position = self.capture.next_position();
        let wanted = LookUp::Relation(relation);
        let Some(Found::Table(table)) = self.look_up(wanted, position, shutdown).await? else {
            return Ok(false);
        };
        let rows = match &table {
            Some(_) => self.tables.describe_rows(relation).await?,
            None => None,
        };
        if let Some(described) = &rows {
            self.tell_relisted(relation.id, &described.through).await;
        }
        self.capture.describe_rows(relation, rows);
        match table {
            Some(table) => self.capture.describe(relation.id, table),
            None => self.capture.ignore(relation.id),
        }
        if self.capture.window().watches(relation.id) {
            self.capture.window().spoil(Again::Altered);
        }
        self.publish_schemas().await?;
        Ok(true)
    }

    /// Looks a table up, creates its topic, or one that its rows are routed to, and has its schema registered if need
    /// be, while status goes on and what Kafka commits meanwhile is confirmed. `None` when the shutdown came
    /// first; a table that is not wanted is none.
    async fn look_up(
        &mut self,
        wanted: LookUp<'_>,
        position: Position,
        shutdown: &CancellationToken,
    ) -> Result<Option<Found>, Error> {
        let confirmable = self.capture.confirmable();
        let mut meanwhile = None;
        let table = {
            let (encoder, tables) = (self.capture.encoder(), &mut self.tables);
            let lookup = async {
                match wanted {
                    LookUp::Relation(relation) => {
                        let table = tables.describe(relation, position, encoder).await;
                        table.map(Found::Table)
                    }
                    LookUp::Read(table) => {
                        let planned = tables
                            .planned(table, position, true, TypeNames::default(), encoder)
                            .await;
                        planned.map(|table| Found::Table(Some(table)))
                    }
                    LookUp::Route(plan, value) => tables.route(plan, value).await.map(Found::Route),
                }
            };
            tokio::pin!(lookup);
            loop {
                tokio::select! {
                    biased;
                    table = &mut lookup => break Some(table),
                    () = shutdown.cancelled() => break None,
                    outcome = self.publisher.outcome(), if meanwhile.is_none() => {
                        if let Outcome::Committed(job) = &outcome {
                            self.progress.recorded_to(job.record.resume_lsn, Instant::now());
                        }
                        meanwhile = Some(outcome);
                    }
                    () = sleep_until(self.state.status_due.into()) => {
                        let confirmed = self.progress.confirmable().min(confirmable);
                        self.source.queue_status(confirmed, unix_time_us(), true);
                        self.source.flush().await?;
                        self.state.status_due = Instant::now() + STATUS_INTERVAL;
                    }
                }
            }
        };
        if let Some(outcome) = meanwhile {
            self.on_outcome(outcome).await?;
        }
        match table {
            None => Ok(None),
            Some(Err(error)) if !error.is_transient() => {
                self.publish_whole().await?;
                Err(error)
            }
            Some(table) => table.map(Some),
        }
    }

    /// Commits new schema versions in a Kafka transaction of their own, before any row that they describe.
    async fn publish_schemas(&mut self) -> Result<(), Error> {
        if !self.tables.has_new_schemas() {
            return Ok(());
        }
        self.settle().await?;
        let (mut batch, commit_times_us) = self.state.spare.take().unwrap_or_default();
        self.tables.take_schemas(&mut batch);
        self.record = self.record.next_schema_change();
        self.state.publisher = machine::Publisher::Busy;
        self.publisher.publish(Job {
            batch,
            record: self.record.clone(),
            new_topics: self.tables.take_new_topics(),
            entries: Vec::new(),
            commit_times_us,
        });
        self.settle().await?;
        self.steps.at("schema.recorded");
        Ok(())
    }

    /// Publishes the whole transactions that have been read: what ends the stream is not in them.
    async fn publish_whole(&mut self) -> Result<(), Error> {
        self.settle().await?;
        if self.capture.fill().whole_records > 0 {
            self.close(false, Instant::now())?;
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits until the publisher is idle, while status goes on.
    async fn settle(&mut self) -> Result<(), Error> {
        while self.state.publisher == machine::Publisher::Busy {
            // Nothing is read, so nothing can be heard: that is no silence of the source.
            self.state.heard = Instant::now();
            tokio::select! {
                biased;
                outcome = self.publisher.outcome() => self.on_outcome(outcome).await?,
                written = self.capture.rows_written() => self.on_rows_written(written)?,
                () = sleep_until(self.state.status_due.into()) => self.on_clock().await?,
            }
        }
        Ok(())
    }

    /// Whether the row store has to write before more is read.
    fn rows_are_full(&mut self) -> bool {
        self.capture.rows().is_some_and(|rows| {
            let full = rows.is_full();
            if full {
                rows.write(true, Instant::now());
            }
            full
        })
    }

    /// The row store covers more: soon it is confirmed.
    fn on_rows_written(&mut self, written: Result<(), row_store::Error>) -> Result<(), Error> {
        written?;
        self.steps.at("rows.covered");
        self.write_rows(self.is_written_for());
        self.confirm_soon();
        Ok(())
    }

    fn write_rows(&mut self, at_once: bool) {
        if let Some(rows) = self.capture.rows() {
            rows.write(at_once, Instant::now());
        }
    }

    fn confirm_soon(&mut self) {
        let soon = self.state.status_sent + CONFIRM_INTERVAL;
        self.state.status_due = self.state.status_due.min(soon);
    }

    /// Closes the batch if it is time to, and says what was decided.
    fn decide(&mut self, socket_empty: bool, now: Instant) -> Result<Decision, Error> {
        let fill = self.capture.fill();
        let decision =
            machine::decide(&fill, self.state.publisher, socket_empty, now, &self.limits);
        match decision {
            Decision::CloseAtBoundary => self.close(false, now)?,
            Decision::CloseSplit => self.close(true, now)?,
            Decision::Fill | Decision::FillUntil(_) | Decision::Pause => {}
        }
        if fill.records == 0
            && matches!(self.state.publisher, machine::Publisher::Idle { .. })
            && self.progress.idle_record_due(now, &self.limits)
        {
            self.close(false, now)?;
            return Ok(Decision::CloseAtBoundary);
        }
        self.decide_beside(decision, now)
    }

    /// Hands the batch to the publisher and goes on with the spare one.
    fn close(&mut self, split: bool, now: Instant) -> Result<(), Error> {
        let (spare, times) = self.state.spare.take().unwrap_or_default();
        let oldest = self.capture.fill().oldest.unwrap_or(now);
        let mut closed = self.capture.close(split, spare, times);
        self.record = self.record.next(
            closed.point.resume,
            closed.point.commit_lsn,
            closed.point.ordinal,
            closed.point.last_change_lsn,
        );
        let mut entries = Vec::new();
        // The row store may have to read again what lies behind them.
        let passed = closed.point.resume.min(self.capture.confirmable());
        if let Some(passed) = self.capture.take_passed_fences(passed) {
            self.record.fences = None;
            entries = passed.into_forget();
        }
        let now_us = unix_time_us();
        for request in &closed.requests {
            self.ad_hoc.take_up(request, now_us);
        }
        if !split {
            self.publish_beside(closed.point.resume, now, &mut closed.batch)?;
        }
        if self.ad_hoc.has_entries() {
            self.record.ad_hoc_changes += 1;
            entries.extend(self.ad_hoc.take_entries());
        }
        telemetry::batch_closed(closed.batch.records.len(), closed.batch.bytes.len());
        self.publishing.working_since(oldest);
        self.state.publisher = machine::Publisher::Busy;
        self.publisher.publish(Job {
            batch: closed.batch,
            record: self.record.clone(),
            new_topics: self.tables.take_new_topics(),
            entries,
            commit_times_us: closed.commit_times_us,
        });
        Ok(())
    }

    async fn on_outcome(&mut self, outcome: Outcome) -> Result<(), Error> {
        match outcome {
            Outcome::Failed(error) => Err(error),
            Outcome::Ambiguous(job) => {
                self.lease.prove().await?;
                self.publisher.recover(job);
                Ok(())
            }
            Outcome::Committed(job) => self.on_committed(*job).await,
        }
    }

    async fn on_committed(&mut self, mut job: Job) -> Result<(), Error> {
        let now = Instant::now();
        self.progress.recorded_to(job.record.resume_lsn, now);
        if let Some(rows) = self.capture.rows() {
            rows.committed(Point::of(&job.record));
        }
        self.write_rows(self.is_written_for());
        self.state.publisher = machine::Publisher::Idle {
            acknowledged: Some(now),
        };
        telemetry::published(
            &job.commit_times_us,
            job.batch.records.len(),
            unix_time_us(),
        );
        job.batch.recycle(BATCH_KEPT * self.limits.batch_bytes_max);
        self.state.spare = Some((job.batch, job.commit_times_us));
        match self.capture.fill().oldest {
            Some(oldest) => self.publishing.working_since(oldest),
            None => self.publishing.idle(),
        }
        if now.saturating_duration_since(self.state.status_sent) >= CONFIRM_INTERVAL {
            self.steps.at("stream.before-confirm");
            self.send_status(false, now).await?;
            self.steps.at("stream.confirmed");
        } else {
            self.confirm_soon();
        }
        Ok(())
    }

    async fn on_clock(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if now.saturating_duration_since(self.state.heard) > SILENCE_MAX {
            return Err(Error::SourceSilent {
                seconds: SILENCE_MAX.as_secs(),
            });
        }
        self.write_rows(false);
        if now >= self.state.status_due {
            self.send_status(true, now).await?;
        }
        Ok(())
    }

    async fn send_status(&mut self, reply: bool, now: Instant) -> Result<(), Error> {
        let confirmed = self.progress.confirmable().min(self.capture.confirmable());
        self.source.queue_status(confirmed, unix_time_us(), reply);
        self.source.flush().await?;
        self.state.status_sent = now;
        self.state.status_due = now + STATUS_INTERVAL;
        telemetry::progress(self.progress.read(), confirmed);
        Ok(())
    }

    /// Publishes the whole transactions that have been read, confirms them, and ends.
    async fn drain(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        loop {
            let idle = matches!(self.state.publisher, machine::Publisher::Idle { .. });
            let behind = self.capture.rows().is_some_and(|rows| {
                rows.write(true, Instant::now());
                rows.is_behind()
            });
            if idle && self.capture.fill().whole_records == 0 && !behind {
                self.send_status(false, Instant::now()).await?;
                tracing::info!(position = %self.record.position(), "stream drained");
                return Ok(());
            }
            if idle && self.capture.fill().whole_records > 0 {
                self.close(false, Instant::now())?;
            }
            tokio::select! {
                biased;
                outcome = self.publisher.outcome() => self.on_outcome(outcome).await?,
                written = self.capture.rows_written() => self.on_rows_written(written)?,
                () = sleep_until(self.state.status_due.into()), if self.state.status_due < deadline => {
                    self.send_status(false, Instant::now()).await?;
                }
                () = sleep_until(deadline.into()) => {
                    return Err(Error::DrainTimedOut { seconds: DRAIN_TIMEOUT.as_secs() });
                }
            }
        }
    }
}

/// What is looked up.
#[derive(Clone, Copy)]
enum LookUp<'a> {
    /// As the log announces it.
    Relation(&'a Relation),
    /// As the source has it now.
    Read(&'a Table),
    /// The topic that rows of an outbox name so.
    Route(&'a Plan, &'a [u8]),
}

/// What was looked up.
enum Found {
    Table(Option<CapturedTable>),
    Route(Target),
}

struct Wait {
    until: Option<Instant>,
    read: bool,
}

/// Microseconds since 1970 by this machine's clock.
pub(crate) fn unix_time_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
