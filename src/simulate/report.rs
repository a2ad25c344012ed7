//! What has happened, how fast, and how late.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Options;
use super::batch::Batch;
use super::operation::Operation;
use super::shop::Status;

/// Highest lateness told apart, microseconds.
const LATENESS_US_MAX: u64 = 3_600_000_000;

/// How often each thing has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows changed.
    pub changes: u64,
    /// Orders placed.
    pub placed: u64,
    /// Orders paid, shipped or delivered.
    pub advanced: u64,
    /// Orders cancelled.
    pub cancelled: u64,
    /// Orders returned.
    pub returned: u64,
    /// Orders whose quantity was corrected.
    pub corrected: u64,
    /// Orders deleted.
    pub erased: u64,
    /// Supplies of a level.
    pub supplied: u64,
    /// Counts of a level.
    pub recounted: u64,
    /// Levels deleted.
    pub delisted: u64,
    /// Levels inserted.
    pub listed: u64,
    /// Customers whose tier or consent changed.
    pub customers: u64,
    /// What all of it added to the sum of all levels.
    pub units: i64,
}

impl Counts {
    /// One more operation.
    pub(super) fn count(&mut self, operation: &Operation) {
        self.changes += u64::from(operation.changes());
        self.units += operation.units();
        let counter = match operation {
            Operation::Place { .. } => &mut self.placed,
            Operation::Step { step, .. } => match step.status {
                Status::Cancelled => &mut self.cancelled,
                Status::Returned => &mut self.returned,
                Status::Placed | Status::Paid | Status::Shipped | Status::Delivered => {
                    &mut self.advanced
                }
            },
            Operation::Correct { .. } => &mut self.corrected,
            Operation::Erase { .. } => &mut self.erased,
            Operation::Supply { .. } => &mut self.supplied,
            Operation::Recount { .. } => &mut self.recounted,
            Operation::Delist { .. } => &mut self.delisted,
            Operation::List { .. } => &mut self.listed,
            Operation::ChangeCustomer(_) => &mut self.customers,
        };
        *counter += 1;
    }

    fn add(&mut self, other: &Counts) {
        self.changes += other.changes;
        self.placed += other.placed;
        self.advanced += other.advanced;
        self.cancelled += other.cancelled;
        self.returned += other.returned;
        self.corrected += other.corrected;
        self.erased += other.erased;
        self.supplied += other.supplied;
        self.recounted += other.recounted;
        self.delisted += other.delisted;
        self.listed += other.listed;
        self.customers += other.customers;
        self.units += other.units;
    }
}

/// A batch that is committed.
pub(super) struct Done {
    counts: Counts,
    lateness_us: Vec<u64>,
}

impl Done {
    /// Committed at `now_us` after the start.
    pub(super) fn of(batch: Batch, now_us: u64) -> Done {
        let late = |due_us: u64| now_us.saturating_sub(due_us);
        Done {
            counts: batch.counts,
            lateness_us: batch.due_us.into_iter().map(late).collect(),
        }
    }
}

/// Everything so far.
#[derive(Debug)]
pub(super) struct Progress {
    counts: Counts,
    transactions: u64,
    /// From due to committed, microseconds. Absent if there is no memory for it.
    lateness: Option<Histogram<u64>>,
    /// As of the last line of progress.
    logged: (Duration, u64),
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            counts: Counts::default(),
            transactions: 0,
            lateness: Histogram::new_with_max(LATENESS_US_MAX, 3).ok(),
            logged: (Duration::ZERO, 0),
        }
    }
}

impl Progress {
    pub(super) fn add(&mut self, done: &Done) {
        self.counts.add(&done.counts);
        self.transactions += 1;
        for late_us in &done.lateness_us {
            if let Some(lateness) = &mut self.lateness {
                lateness.saturating_record(*late_us);
            }
        }
    }

    /// One line of progress.
    pub(super) fn log(&mut self, elapsed: Duration) {
        let (before, changes) = self.logged;
        let seconds = elapsed.saturating_sub(before).as_secs_f64().max(0.001);
        tracing::info!(
            changes = self.counts.changes,
            per_second = ((self.counts.changes - changes) as f64 / seconds).round(),
            late_p99_ms = self.late_ms(0.99),
            "the shop lives"
        );
        self.logged = (elapsed, self.counts.changes);
    }

    fn late_ms(&self, quantile: f64) -> f64 {
        let late_us = self
            .lateness
            .as_ref()
            .map(|l| l.value_at_quantile(quantile));
        late_us.unwrap_or(0) as f64 / 1e3
    }

    pub(super) fn summary(&self, options: &Options, elapsed: Duration) -> Summary {
        let seconds = elapsed.as_secs_f64();
        Summary {
            seed: options.seed,
            seconds,
            rate: options.rate,
            achieved_rate: self.counts.changes as f64 / seconds.max(0.001),
            transactions: self.transactions,
            late_p50_ms: self.late_ms(0.5),
            late_p99_ms: self.late_ms(0.99),
            late_max_ms: self.late_ms(1.0),
            counts: self.counts,
        }
    }
}

/// What a simulation has done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What everything was drawn from.
    pub seed: u64,
    /// How long it lived.
    pub seconds: f64,
    /// Changes per second that were asked for.
    pub rate: u32,
    /// Changes per second that were committed.
    pub achieved_rate: f64,
    /// Transactions committed.
    pub transactions: u64,
    /// From when an operation was due to its commit, milliseconds: half of them were faster.
    pub late_p50_ms: f64,
    /// 99 of 100 were faster.
    pub late_p99_ms: f64,
    /// The slowest.
    pub late_max_ms: f64,
    /// What happened.
    #[serde(flatten)]
    pub counts: Counts,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        writeln!(
            f,
            "{} changes in {} transactions over {:.1} s: {:.0} a second of {} asked for",
            counts.changes, self.transactions, self.seconds, self.achieved_rate, self.rate
        )?;
        writeln!(
            f,
            "from due to committed: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.late_p50_ms, self.late_p99_ms, self.late_max_ms
        )?;
        writeln!(
            f,
            "orders: {} placed, {} steps, {} cancelled, {} returned, {} corrected, {} deleted",
            counts.placed,
            counts.advanced,
            counts.cancelled,
            counts.returned,
            counts.corrected,
            counts.erased
        )?;
        write!(
            f,
            "levels: {} supplies, {} counts, {} given up, {} taken up; customers: {} changes; seed {}",
            counts.supplied,
            counts.recounted,
            counts.delisted,
            counts.listed,
            counts.customers,
            self.seed
        )
    }
}
