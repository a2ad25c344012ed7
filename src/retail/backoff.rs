//! Errors that pass: how long to wait before the next attempt, and who is told meanwhile.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::Error;
use crate::telemetry::{self, Stage};

const FIRST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_secs(5);

/// Doubles from 20 ms to 5 s; each wait is shortened by up to a half at random, so that instances
/// that failed together do not come back together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.attempts.min(10)).min(MOST);
        self.attempts += 1;
        whole.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Waits an error out, and logs it as a disturbance of `what`; `false` when it was stopped, the error
    /// when it is a definite one.
    pub(super) async fn wait_out(
        &mut self,
        error: Error,
        what: &str,
        stop: &CancellationToken,
    ) -> Result<bool, Error> {
        if !error.is_transient() {
            return Err(error);
        }
        let delay = self.next();
        let cause = telemetry::chain(&error);
        tracing::warn!(%cause, ?delay, "{what} disturbed; trying again");
        tokio::select! {
            () = stop.cancelled() => Ok(false),
            () = tokio::time::sleep(delay) => Ok(true),
        }
    }
}

/// Work that goes on for ever, on connections that break.
pub(super) trait Work: Sync {
    /// What an error disturbs, with its verb.
    const DISTURBED: &'static str;

    /// Where a definite error is told of.
    fn stage(&self) -> &Stage;

    /// Works until an error. Getting on, it sets the backoff back.
    fn attempt(&self, backoff: &mut Backoff) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Begins the work anew whenever an error that passes has ended it, until `stop` or a definite error.
pub(super) async fn keep_at<W: Work>(work: &W, stop: &CancellationToken) -> Result<(), Error> {
    let mut backoff = Backoff::default();
    loop {
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            result = work.attempt(&mut backoff) => result,
        };
        let Err(error) = result else { continue };
        match backoff.wait_out(error, W::DISTURBED, stop).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                work.stage().failed(&error);
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST);
        assert!(waits.iter().all(|wait| *wait <= MOST));
        assert!(waits[39] >= MOST / 2);
    }
}
