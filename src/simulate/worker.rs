//! A worker: one connection, some of the stores, and their plan carried out in time.
//!
//! All operations that are due share a transaction. So each has its own at a low rate, and at a high
//! one transactions grow until the server keeps up.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answers::Answers;
use super::batch::Batch;
use super::operation::Planned;
use super::pace::{Pace, Rate};
use super::plan::Plan;
use super::report::{Done, Report};
use super::write::Writer;
use super::{Error, connect, load};
use crate::connection::{Connection, Database};
use crate::telemetry;

/// Most operations of one transaction.
const BATCH_OPERATIONS_MAX: usize = 1_000;
/// How long after the end a worker that is late goes on.
pub(super) const LATE_MAX: Duration = Duration::from_secs(2);
/// Before a lost server is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// What a worker lives on.
pub(super) struct Worker {
    pub(super) source: Connection,
    pub(super) stores: Vec<i64>,
    /// Which of the plans this one is.
    pub(super) index: u32,
    pub(super) rate: Rate,
    pub(super) seed: u64,
    /// Least order id that no session of this worker has used.
    pub(super) next_order_id: i64,
    pub(super) duration: Option<Duration>,
    /// Orders that codes bring.
    pub(super) answers: Answers,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) stop: CancellationToken,
}

/// The common start of all workers, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) instant: Instant,
    /// Microseconds since 1970.
    pub(super) unix_us: i64,
}

impl Start {
    /// Microseconds since 1970.
    fn now_us(&self) -> i64 {
        self.unix_us.saturating_add_unsigned(self.elapsed_us())
    }

    pub(super) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.instant.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A connection, and a plan from what the tables held when it began.
pub(super) struct Session {
    database: Database,
    writer: Writer,
    plan: Plan,
}

impl Worker {
    /// Connects and plans; the plan's clock begins `begin_us` after the start.
    pub(super) async fn open(&self, begin_us: u64) -> Result<Session, Error> {
        let database = connect(&self.source).await?;
        let writer = Writer::prepare(&database).await?;
        let (index, plans) = (self.index.try_into(), self.rate.plans.try_into());
        let (index, plans) = (index.unwrap_or(0), plans.unwrap_or(1));
        let mut state = load::state(&database, &self.stores, index, plans).await?;
        state.next_order_id = self.next_order_id;
        state.order_id_step = self.rate.plans.into();
        // Each worker draws numbers of its own, and others after a reconnection than before.
        let seed = self.seed ^ (u64::from(self.index) << 48) ^ begin_us;
        let plan = Plan::new(state, Pace::new(self.rate, begin_us), seed).ok_or(Error::Empty)?;
        Ok(Session {
            database,
            writer,
            plan,
        })
    }

    /// Lives until the end. A server that went away is waited for; then a new plan starts from what the
    /// tables hold, since nobody knows what became of the transaction that was open.
    pub(super) async fn run(mut self, first: Session, start: Start) -> Result<(), Error> {
        let mut session = Some(first);
        while !self.is_over(&start) {
            let lived = match session.take() {
                Some(session) => self.live(session, &start).await,
                None => match self.open(start.elapsed_us()).await {
                    Ok(session) => self.live(session, &start).await,
                    Err(error) => Err(error),
                },
            };
            match lived {
                Ok(()) => break,
                Err(error) if error.is_transient() => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(%error, "the source went away: trying again");
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = tokio::time::sleep(RECONNECT_PAUSE) => {}
                    }
                }
                Err(error) => {
                    self.stop.cancel();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn live(&mut self, mut session: Session, start: &Start) -> Result<(), Error> {
        let mut pending = session.plan.next();
        loop {
            let due = Duration::from_micros(pending.due_us);
            if self.duration.is_some_and(|duration| due >= duration) {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(start.instant + due) => {}
            }
            if self.is_over(start) {
                return Ok(());
            }
            for answer in self.answers.due(start.now_us()) {
                session.plan.answer(answer);
            }
            let batch = self.gather(&mut session.plan, &mut pending, start.elapsed_us());
            self.next_order_id = session.plan.next_order_id();
            let (writer, database) = (&session.writer, &session.database);
            writer.write(database, &batch, start.unix_us).await?;
            // The collector outlives the workers.
            let done = Done::of(batch, start.elapsed_us());
            let _ = self.reports.send(Report::Written(done)).await;
        }
    }

    /// The pending operation and all others that are due, as far as one batch takes them.
    fn gather(&self, plan: &mut Plan, pending: &mut Planned, now_us: u64) -> Batch {
        let mut batch = Batch::default();
        loop {
            batch.add(std::mem::replace(pending, plan.next()));
            let ended = |duration| Duration::from_micros(pending.due_us) >= duration;
            if pending.due_us > now_us
                || batch.due_us.len() >= BATCH_OPERATIONS_MAX
                || !batch.accepts(&pending.operation)
                || self.duration.is_some_and(ended)
            {
                return batch;
            }
        }
    }

    fn is_over(&self, start: &Start) -> bool {
        let end = |duration| start.instant.elapsed() >= duration + LATE_MAX;
        self.stop.is_cancelled() || self.duration.is_some_and(end)
    }
}
