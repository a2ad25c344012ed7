//! What has happened, how fast, and how late.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Options;
use super::batch::Batch;
use super::lateness::Lateness;
use super::operation::Operation;
use super::poster::Posted;
use super::shop::Status;

/// How often each thing has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows changed.
    pub changes: u64,
    /// Orders placed.
    pub placed: u64,
    /// Of those, orders that carry a promotion code.
    pub with_code: u64,
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
        if let Operation::Place { order, .. } = operation {
            self.with_code += u64::from(order.promotion_code.is_some());
        }
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
        self.with_code += other.with_code;
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

/// What workers and posters tell of.
pub(super) enum Report {
    /// A transaction.
    Written(Done),
    /// A request to the gateway.
    Posted(Posted),
}

/// Everything so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    counts: Counts,
    transactions: u64,
    /// From due to committed.
    lateness: Lateness,
    events: EventCounts,
    /// From due to acknowledged.
    events_lateness: Lateness,
    /// As of the last line of progress.
    logged: (Duration, u64, u64),
}

impl Progress {
    pub(super) fn add(&mut self, report: &Report) {
        match report {
            Report::Written(done) => {
                self.counts.add(&done.counts);
                self.transactions += 1;
                for late_us in &done.lateness_us {
                    self.lateness.add(*late_us);
                }
            }
            Report::Posted(posted) => {
                self.events.add(posted);
                for late_us in &posted.lateness_us {
                    self.events_lateness.add(*late_us);
                }
            }
        }
    }

    /// One line of progress.
    pub(super) fn log(&mut self, options: &Options, elapsed: Duration) {
        let (before, changes, events) = self.logged;
        let seconds = elapsed.saturating_sub(before).as_secs_f64().max(0.001);
        let per_second = |now: u64, then: u64| ((now - then) as f64 / seconds).round();
        let (now, accepted) = (self.counts.changes, self.events.accepted);
        tracing::info!(
            changes = now,
            per_second = per_second(now, changes),
            late_p99_ms = self.lateness.ms(0.99),
            "the shop lives"
        );
        if options.shoppers.is_some() {
            tracing::info!(
                events = accepted,
                per_second = per_second(accepted, events),
                late_p99_ms = self.events_lateness.ms(0.99),
                "shoppers come and go"
            );
        }
        self.logged = (elapsed, now, accepted);
    }

    pub(super) fn summary(&self, options: &Options, elapsed: Duration) -> Summary {
        let seconds = elapsed.as_secs_f64();
        let events = |rate: u32| EventSummary {
            rate,
            achieved_rate: self.events.accepted as f64 / seconds.max(0.001),
            late_p50_ms: self.events_lateness.ms(0.5),
            late_p99_ms: self.events_lateness.ms(0.99),
            late_max_ms: self.events_lateness.ms(1.0),
            counts: self.events,
        };
        Summary {
            seed: options.seed,
            seconds,
            rate: options.rate,
            achieved_rate: self.counts.changes as f64 / seconds.max(0.001),
            transactions: self.transactions,
            late_p50_ms: self.lateness.ms(0.5),
            late_p99_ms: self.lateness.ms(0.99),
            late_max_ms: self.lateness.ms(1.0),
            counts: self.counts,
            events: options.shoppers.as_ref().map(|s| events(s.rate)),
        }
    }
}

/// What became of the events of shoppers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventCounts {
    /// Events that the gateway has accepted, each once: they are in the topic.
    pub accepted: u64,
    /// Of those, events that it had already from a request whose answer was lost.
    pub repeated: u64,
    /// Events that it rejected.
    pub refused: u64,
    /// Events that were still being sent when the time was up: they are in the topic or not.
    pub unanswered: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Attempts that the gateway put off (429, 503, 504), did not answer, or did not know the key at.
    pub put_off: u64,
}

impl EventCounts {
    fn add(&mut self, posted: &Posted) {
        self.accepted += posted.settled.accepted + posted.settled.repeated;
        self.repeated += posted.settled.repeated;
        self.refused += posted.settled.rejected;
        self.unanswered += posted.unanswered;
        self.requests += u64::from(posted.unanswered == 0);
        self.put_off += posted.put_off;
    }
}

/// What shoppers have done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EventSummary {
    /// Events per second that were asked for.
    pub rate: u32,
    /// Events per second that were accepted.
    pub achieved_rate: f64,
    /// From when an event was due to its acknowledgement, milliseconds: half of them were faster.
    pub late_p50_ms: f64,
    /// 99 of 100 were faster.
    pub late_p99_ms: f64,
    /// The slowest.
    pub late_max_ms: f64,
    /// What became of them.
    #[serde(flatten)]
    pub counts: EventCounts,
}

impl fmt::Display for EventSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        writeln!(
            f,
            "{} events accepted in {} requests: {:.0} a second of {} asked for; {} refused, {} unanswered, \
             {} requests put off",
            counts.accepted,
            counts.requests,
            self.achieved_rate,
            self.rate,
            counts.refused,
            counts.unanswered,
            counts.put_off
        )?;
        write!(
            f,
            "from due to acknowledged: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.late_p50_ms, self.late_p99_ms, self.late_max_ms
        )
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
    /// What shoppers did, if there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<EventSummary>,
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
            "orders: {} placed, {} of them with a code, {} steps, {} cancelled, {} returned, {} corrected, {} deleted",
            counts.placed,
            counts.with_code,
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
        )?;
        match &self.events {
            Some(events) => write!(f, "\n{events}"),
            None => Ok(()),
        }
    }
}
