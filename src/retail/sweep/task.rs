//! The sweep as a task: owned by one instance, due once a minute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{gauge, histogram};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::backoff::{Backoff, Work, keep_at};
use super::super::error::Error;
use super::super::evaluation::{Policy, State};
use super::super::recovery::Recovery;
use super::Sweeper;
use crate::connection::Connection;
use crate::telemetry::{self, Stage};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(500);

/// What the sweep works with.
pub(in super::super) struct Sweep {
    /// The sink.
    pub(in super::super) connection: Connection,
    /// Who may have a code.
    pub(in super::super) policy: Policy,
    /// What is done on a new connection before a code is issued.
    pub(in super::super) recovery: Recovery,
    /// Told when codes were issued.
    pub(in super::super) issued: Arc<Notify>,
    /// Health.
    pub(in super::super) stage: Stage,
}

impl Sweep {
    /// Sweeps until `stop` or a definite error, whenever this instance has the right to.
    pub(in super::super) async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        keep_at(&self, &stop).await
    }
}

impl Work for Sweep {
    const DISTURBED: &'static str = "the sweep is";

    fn stage(&self) -> &Stage {
        &self.stage
    }

    async fn attempt(&self, backoff: &mut Backoff) -> Result<(), Error> {
        sweep(self, backoff).await
    }
}

/// Sweeps on one connection until it breaks.
async fn sweep(work: &Sweep, backoff: &mut Backoff) -> Result<(), Error> {
    let Sweep {
        connection,
        policy,
        recovery,
        issued,
        stage,
    } = work;
    let mut sweeper = Sweeper::connect(connection, policy.clone()).await?;
    recovery.complete().await?;
    stage.idle();
    while !sweeper.try_own().await? {
        tokio::time::sleep(TICK).await;
    }
    let mut before = None;
    loop {
        let standing = sweeper.standing().await?;
        let due = standing.complete && standing.evaluated_at < Some(standing.at.minute());
        if due {
            stage.working_since(Instant::now());
            let began = Instant::now();
            sweeper.analyze_new_tables().await?;
            sweeper.evaluate().await?;
            histogram!(telemetry::SWEEP_SECONDS).record(began.elapsed());
        }
        let state = sweeper.standing().await?.state();
        // What waited while nothing could be issued does not wait for the next minute.
        let resumed = state == State::Issuing && before != Some(State::Issuing);
        if (due || resumed) && sweeper.issue().await? > 0 {
            issued.notify_one();
        }
        if before != Some(state) {
            tracing::info!(%state, "promotion codes");
        }
        before = Some(state);
        gauge!(telemetry::ISSUE_STATE).set(f64::from(state as u8));
        stage.idle();
        *backoff = Backoff::default();
        tokio::time::sleep(TICK).await;
    }
}
