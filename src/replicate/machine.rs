//! When a batch closes, and how far the source may be confirmed. Pure: time comes in as an argument.
//!
//! ```text
//!            ┌ filling ┐ close  ┌ publishing ┐ committed
//!  source ──▶│ batch A │───────▶│  batch B   │──────────▶ confirmed
//!            └─────────┘        └────────────┘
//! ```
//!
//! Two batches, so that one fills while the other is published. A batch closes when the publisher is
//! free and its last commit at least `commit_spacing` old (a broker answers a transaction that begins
//! before the last one's markers are written with a 20 ms retry), and either the socket is empty, or
//! the oldest event has waited for `linger`, or a size limit is reached. Whole source transactions are
//! grouped; only one that is larger than the limit by itself is split.

use std::time::{Duration, Instant};

use crate::event::Lsn;

/// Bounds of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Keys and values of one Kafka transaction, bytes.
    pub(crate) batch_bytes_max: usize,
    /// Records of one Kafka transaction.
    pub(crate) batch_records_max: usize,
    /// From one commit's acknowledgement to the next begin, at least.
    pub(crate) commit_spacing: Duration,
    /// The longest that an event waits for company while more is arriving.
    pub(crate) linger: Duration,
    /// The longest that progress without events goes unrecorded.
    pub(crate) idle_record_interval: Duration,
    /// Write-ahead log without events after which progress is recorded at once, bytes.
    pub(crate) idle_record_bytes: u64,
}

impl Limits {
    /// 4 MiB keeps both batches, librdkafka's copies and the socket buffer well under 64 MB resident.
    pub(crate) const DEFAULT: Limits = Limits {
        batch_bytes_max: 4 << 20,
        batch_records_max: 16_384,
        commit_spacing: Duration::from_millis(2),
        linger: Duration::from_millis(20),
        idle_record_interval: Duration::from_secs(10),
        idle_record_bytes: 16 << 20,
    };
}

/// What the filling batch holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Bytes of keys and values.
    pub(crate) bytes: usize,
    /// Records, those of the open transaction included.
    pub(crate) records: usize,
    /// Records up to the last transaction boundary.
    pub(crate) whole_records: usize,
    /// When the oldest whole transaction in the batch arrived.
    pub(crate) oldest: Option<Instant>,
}

/// What the publisher is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publisher {
    /// It waits for a batch; its last commit was acknowledged at that time.
    Idle {
        /// `None` before the first commit.
        acknowledged: Option<Instant>,
    },
    /// A Kafka transaction is under way.
    Busy,
}

/// What to do with the filling batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Publish everything up to the last transaction boundary.
    CloseAtBoundary,
    /// Publish all of it: one transaction alone is larger than a batch may be.
    CloseSplit,
    /// Read more.
    Fill,
    /// Read more, and decide again at that time at the latest.
    FillUntil(Instant),
    /// Full, and the publisher is busy: read nothing until it is free.
    Pause,
}

/// Decides about the filling batch. `socket_empty`: a read would wait.
pub(crate) fn decide(
    fill: &Fill,
    publisher: Publisher,
    socket_empty: bool,
    now: Instant,
    limits: &Limits,
) -> Decision {
    let full = fill.bytes >= limits.batch_bytes_max || fill.records >= limits.batch_records_max;
    let Publisher::Idle { acknowledged } = publisher else {
        return if full {
            Decision::Pause
        } else {
            Decision::Fill
        };
    };
    if full {
        let whole = fill.whole_records > 0;
        return if whole {
            Decision::CloseAtBoundary
        } else {
            Decision::CloseSplit
        };
    }
    let Some(oldest) = fill.oldest.filter(|_| fill.whole_records > 0) else {
        return Decision::Fill;
    };
    let spaced = acknowledged.map_or(now, |at| at + limits.commit_spacing);
    let lingered = oldest + limits.linger;
    if now < spaced {
        Decision::FillUntil(spaced)
    } else if socket_empty || now >= lingered {
        Decision::CloseAtBoundary
    } else {
        Decision::FillUntil(lingered)
    }
}

/// How far the source has been read, recorded in Kafka, and may be confirmed.
///
/// Only an LSN that a committed position record covers is ever confirmed to PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Everything below it has been read, and needs no event that is not in a closed batch.
    read: Lsn,
    /// Resume LSN of the last committed position record.
    recorded: Lsn,
    /// When that was committed.
    recorded_at: Instant,
}

impl Progress {
    /// Progress at a start from the committed resume LSN.
    pub(crate) fn new(recorded: Lsn, now: Instant) -> Self {
        Progress {
            read: recorded,
            recorded,
            recorded_at: now,
        }
    }

    /// Everything below `lsn` has been read. An older LSN changes nothing.
    pub(crate) fn read_to(&mut self, lsn: Lsn) {
        self.read = self.read.max(lsn);
    }

    /// A position record with this resume LSN was committed.
    pub(crate) fn recorded_to(&mut self, lsn: Lsn, now: Instant) {
        self.recorded = self.recorded.max(lsn);
        self.recorded_at = now;
        self.read = self.read.max(self.recorded);
    }

    /// What may be confirmed to the source.
    pub(crate) fn confirmable(&self) -> Lsn {
        self.recorded
    }

    /// How far the source has been read.
    pub(crate) fn read(&self) -> Lsn {
        self.read
    }

    /// Whether progress without events should be recorded now, so that a quiet database retains no
    /// write-ahead log.
    pub(crate) fn idle_record_due(&self, now: Instant, limits: &Limits) -> bool {
        let bytes = self.read.bytes_since(self.recorded);
        let waited = now.saturating_duration_since(self.recorded_at);
        bytes >= limits.idle_record_bytes || (bytes > 0 && waited >= limits.idle_record_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Publisher = Publisher::Idle { acknowledged: None };

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn filled(whole_records: usize, bytes: usize, oldest: Instant) -> Fill {
        Fill {
            bytes,
            records: whole_records,
            whole_records,
            oldest: Some(oldest),
        }
    }

    #[test]
    fn a_lone_transaction_is_published_at_once() {
        let now = Instant::now();
        let decision = decide(&filled(1, 700, now), IDLE, true, now, &Limits::DEFAULT);
        assert_eq!(decision, Decision::CloseAtBoundary);
    }

    #[test]
    fn commits_are_spaced() {
        let now = Instant::now();
        let fill = filled(1, 700, now);
        let publisher = Publisher::Idle {
            acknowledged: Some(now),
        };
        let at = |later| {
            decide(
                &fill,
                publisher,
                true,
                now + milliseconds(later),
                &Limits::DEFAULT,
            )
        };
        assert_eq!(at(1), Decision::FillUntil(now + milliseconds(2)));
        assert_eq!(at(2), Decision::CloseAtBoundary);
    }

    #[test]
    fn while_more_arrives_an_event_waits_no_longer_than_the_linger() {
        let now = Instant::now();
        let fill = filled(1, 700, now);
        let at = |later| {
            decide(
                &fill,
                IDLE,
                false,
                now + milliseconds(later),
                &Limits::DEFAULT,
            )
        };
        assert_eq!(at(19), Decision::FillUntil(now + milliseconds(20)));
        assert_eq!(at(20), Decision::CloseAtBoundary);
    }

    #[test]
    fn nothing_closes_while_the_publisher_is_busy() {
        let now = Instant::now();
        let limits = Limits::DEFAULT;
        let fill = filled(1, 700, now);
        assert_eq!(
            decide(&fill, Publisher::Busy, true, now, &limits),
            Decision::Fill
        );
        let full = filled(1, limits.batch_bytes_max, now);
        assert_eq!(
            decide(&full, Publisher::Busy, true, now, &limits),
            Decision::Pause
        );
        let full = filled(limits.batch_records_max, 1, now);
        assert_eq!(
            decide(&full, Publisher::Busy, true, now, &limits),
            Decision::Pause
        );
    }

    #[test]
    fn only_a_transaction_larger_than_the_limit_is_split() {
        let now = Instant::now();
        let limits = Limits::DEFAULT;
        let open = Fill {
            bytes: 700,
            records: 1,
            whole_records: 0,
            oldest: None,
        };
        assert_eq!(decide(&open, IDLE, true, now, &limits), Decision::Fill);
        let large = Fill {
            bytes: limits.batch_bytes_max,
            ..open
        };
        assert_eq!(
            decide(&large, IDLE, true, now, &limits),
            Decision::CloseSplit
        );
        let grouped = Fill {
            whole_records: 1,
            oldest: Some(now),
            ..large
        };
        assert_eq!(
            decide(&grouped, IDLE, true, now, &limits),
            Decision::CloseAtBoundary
        );
    }

    #[test]
    fn only_recorded_progress_is_confirmed() {
        let now = Instant::now();
        let mut progress = Progress::new(Lsn(100), now);
        progress.read_to(Lsn(500));
        assert_eq!(progress.confirmable(), Lsn(100));
        progress.recorded_to(Lsn(400), now);
        assert_eq!(
            (progress.confirmable(), progress.read()),
            (Lsn(400), Lsn(500))
        );
    }

    #[test]
    fn idle_progress_is_recorded_by_time_or_size() {
        let start = Instant::now();
        let limits = Limits::DEFAULT;
        let mut progress = Progress::new(Lsn(100), start);
        let hour = start + Duration::from_hours(1);
        assert!(!progress.idle_record_due(hour, &limits), "nothing was read");
        progress.read_to(Lsn(101));
        assert!(!progress.idle_record_due(start + Duration::from_secs(9), &limits));
        assert!(progress.idle_record_due(start + Duration::from_secs(10), &limits));
        progress.read_to(Lsn(100 + limits.idle_record_bytes));
        assert!(progress.idle_record_due(start, &limits));
    }
}
