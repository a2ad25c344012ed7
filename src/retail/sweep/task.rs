//! The sweep as a task: owned by one instance, due once a minute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{gauge, histogram};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::backoff::Backoff;
use super::super::error::Error;
use super::super::evaluation::{Policy, State};
use super::Sweeper;
use crate::connection::Connection;
use crate::telemetry::{self, Stage};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(500);

/// Sweeps until `stop` or a definite error, whenever this instance has the right to.
pub(in super::super) async fn run(
    connection: Connection,
    policy: Policy,
    issued: Arc<Notify>,
    stage: Stage,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut backoff = Backoff::default();
    loop {
        let work = sweep(&connection, &policy, &issued, &stage, &mut backoff);
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            result = work => result,
        };
        if let Err(error) = result {
            if !error.is_transient() {
                stage.failed(&error);
                return Err(error);
            }
            let delay = backoff.next();
            let cause = telemetry::chain(&error);
            tracing::warn!(%cause, ?delay, "the sweep is disturbed; trying again");
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(delay) => {}
            }
        }
    }
}

/// Sweeps on one connection until it breaks.
async fn sweep(
    connection: &Connection,
    policy: &Policy,
    issued: &Notify,
    stage: &Stage,
    backoff: &mut Backoff,
) -> Result<(), Error> {
    let mut sweeper = Sweeper::connect(connection, policy.clone()).await?;
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
