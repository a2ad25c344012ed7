//! The pace of a snapshot: a limit on its rows per second, over all workers, and what it says of its
//! progress.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::Error;
use crate::telemetry;

/// How often progress is logged.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is looked at, for the gauge.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What the workers share.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Rows per second; `None`: as fast as it goes.
    limit: Option<u64>,
    /// When the rows taken so far are paid for.
    paid: Mutex<Option<Instant>>,
    /// Rows published.
    rows: AtomicU64,
    /// Rows that there were to read, by the planner's estimate.
    estimate: u64,
}

impl Pace {
    /// A pace of at most `limit` rows per second.
    pub(crate) fn new(limit: Option<u64>, estimate: u64) -> Pace {
        Pace {
            limit,
            paid: Mutex::new(None),
            rows: AtomicU64::new(0),
            estimate,
        }
    }

    /// Takes rows; returns how long to wait before more are taken.
    pub(crate) fn take(&self, rows: u64, now: Instant) -> Duration {
        let Some(limit) = self.limit else {
            return Duration::ZERO;
        };
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = Duration::from_secs_f64(rows as f64 / limit.max(1) as f64);
        let until = paid.unwrap_or(now).max(now) + cost;
        *paid = Some(until);
        until - now
    }

    /// Rows are published.
    pub(crate) fn published(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        telemetry::snapshot_rows(rows);
    }

    fn read(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// What is left by the estimate, which may have been too low.
    fn remaining(&self) -> u64 {
        self.estimate.saturating_sub(self.read())
    }
}

/// A thread that tells of the progress until it is dropped.
#[derive(Debug)]
pub(crate) struct Reporter {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    /// Starts it.
    pub(crate) fn start(pace: Arc<Pace>) -> Result<Reporter, Error> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("snapshot-progress".to_owned())
            .spawn(move || {
                let began = Instant::now();
                let mut told = began;
                while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    telemetry::snapshot_remaining(pace.remaining());
                    if told.elapsed() >= NOTICE_INTERVAL {
                        told = Instant::now();
                        tell(&pace, began.elapsed());
                    }
                }
                telemetry::snapshot_remaining(0);
            })
            .map_err(Error::Thread)?;
        Ok(Reporter {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

fn tell(pace: &Pace, elapsed: Duration) {
    let (rows, remaining) = (pace.read(), pace.remaining());
    let left = time_left(rows, remaining, elapsed);
    tracing::info!(
        rows,
        rows_remaining = remaining,
        minutes_remaining = left.map(|left| left.as_secs().div_ceil(60)),
        "snapshot under way; what remains is an estimate"
    );
}

/// How long the rest takes at the speed so far.
fn time_left(rows: u64, remaining: u64, elapsed: Duration) -> Option<Duration> {
    let seconds = elapsed.as_secs_f64() * remaining as f64 / rows as f64;
    Duration::try_from_secs_f64(seconds).ok()
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_one_limit() {
        let pace = Pace::new(Some(100), 0);
        let now = Instant::now();
        assert_eq!(pace.take(50, now), Duration::from_millis(500));
        assert_eq!(pace.take(100, now), Duration::from_millis(1500));
        let later = now + Duration::from_millis(1400);
        assert_eq!(pace.take(10, later), Duration::from_millis(200));
        // Time that nobody used is not saved up.
        let idle = now + Duration::from_mins(1);
        assert_eq!(pace.take(100, idle), Duration::from_secs(1));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let pace = Pace::new(None, 0);
        assert_eq!(pace.take(u64::MAX, Instant::now()), Duration::ZERO);
    }

    #[test]
    fn what_remains_is_told_by_the_speed_so_far() {
        let pace = Pace::new(None, 400);
        pace.published(100);
        assert_eq!(pace.remaining(), 300);
        let left = time_left(100, 300, Duration::from_secs(10));
        assert_eq!(left, Some(Duration::from_secs(30)));
        assert_eq!(time_left(0, 300, Duration::from_secs(10)), None);
        pace.published(900);
        assert_eq!(pace.remaining(), 0);
    }
}
