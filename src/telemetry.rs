//! Telemetry: metric names, and the health of each stage — how old its oldest unprocessed item is.
//!
//! Idle and stuck never look alike: a stage with nothing to do says so; a stage that has held an item
//! for longer than its limit is stuck, and `/readyz` names it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};

use crate::event::{Lsn, Position, TooLarge};

/// From the source's commit to Kafka's, seconds.
pub const COMMIT_TO_KAFKA_SECONDS: &str = "tidewater_commit_to_kafka_seconds";
/// Records of one Kafka transaction.
pub const BATCH_RECORDS: &str = "tidewater_batch_records";
/// Bytes of keys and values of one Kafka transaction.
pub const BATCH_BYTES: &str = "tidewater_batch_bytes";
/// Records published since the start.
pub const RECORDS_PUBLISHED_TOTAL: &str = "tidewater_records_published_total";
/// Kafka transactions aborted and tried again.
pub const TRANSACTIONS_ABORTED_TOTAL: &str = "tidewater_transactions_aborted_total";
/// Changes that were too large to be published, and were passed over.
pub const CHANGES_PASSED_OVER_TOTAL: &str = "tidewater_changes_passed_over_total";
/// Fresh starts after a transient failure.
pub const RESTARTS_TOTAL: &str = "tidewater_replication_restarts_total";
/// Everything below this LSN has been read from the source.
pub const READ_LSN: &str = "tidewater_read_lsn";
/// Everything below this LSN has been confirmed to the source.
pub const CONFIRMED_LSN: &str = "tidewater_confirmed_lsn";
/// Write-ahead log read and not yet confirmed, bytes.
pub const UNCONFIRMED_BYTES: &str = "tidewater_unconfirmed_bytes";
/// Chunks of snapshots planned.
pub const SNAPSHOT_CHUNKS_TOTAL: &str = "tidewater_snapshot_chunks_total";
/// Rows of snapshots published.
pub const SNAPSHOT_ROWS_TOTAL: &str = "tidewater_snapshot_rows_total";
/// Rows that a snapshot under way has still to read, by the planner's estimate.
pub const SNAPSHOT_ROWS_REMAINING: &str = "tidewater_snapshot_rows_remaining";
/// Chunks of ad hoc snapshots that were read again: their rows or their table had changed too much meanwhile.
pub const SNAPSHOT_CHUNKS_REREAD_TOTAL: &str = "tidewater_snapshot_chunks_reread_total";

/// Bounds of every latency histogram, seconds: from a quiet commit to the five minutes that nothing may
/// ever exceed.
const SECONDS: [f64; 16] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// Bounds of every histogram of records.
const RECORDS: [f64; 8] = [
    1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0,
];
/// Bounds of every histogram of bytes.
const BYTES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 2e6, 4e6, 8e6];

/// Records this process's metrics from now on. A process that does so already (a test) goes on with the
/// recorder it has, and the handle then shows nothing.
pub fn record_metrics() -> PrometheusHandle {
    let bounds = |builder: PrometheusBuilder, suffix: &str, bounds: &[f64]| {
        let matcher = Matcher::Suffix(suffix.to_owned());
        // Refused only when there are no bounds.
        builder
            .set_buckets_for_metric(matcher, bounds)
            .unwrap_or_default()
    };
    let builder = bounds(PrometheusBuilder::new(), "_seconds", &SECONDS);
    let builder = bounds(builder, "_records", &RECORDS);
    let recorder = bounds(builder, "_bytes", &BYTES).build_recorder();
    let handle = recorder.handle();
    // Fails only where one is installed.
    let _ = metrics::set_global_recorder(recorder);
    handle
}

/// Records and bytes of a closed batch.
pub fn batch_closed(records: usize, bytes: usize) {
    metrics::histogram!(BATCH_RECORDS).record(records as f64);
    metrics::histogram!(BATCH_BYTES).record(bytes as f64);
}

/// A batch whose source transactions committed at these times is in Kafka.
pub fn published(commit_times_us: &[i64], records: usize, now_us: i64) {
    let latency = metrics::histogram!(COMMIT_TO_KAFKA_SECONDS);
    for time_us in commit_times_us {
        latency.record((now_us - time_us).max(0) as f64 / 1e6);
    }
    metrics::counter!(RECORDS_PUBLISHED_TOTAL).increment(records as u64);
}

/// How far the source was read and confirmed.
pub fn progress(read: Lsn, confirmed: Lsn) {
    metrics::gauge!(READ_LSN).set(read.0 as f64);
    metrics::gauge!(CONFIRMED_LSN).set(confirmed.0 as f64);
    metrics::gauge!(UNCONFIRMED_BYTES).set(read.bytes_since(confirmed) as f64);
}

/// A change is told of instead of published. Each one took a large message, so the log does not fill up.
pub fn passed_over(of: &str, position: Position, size: TooLarge) {
    metrics::counter!(CHANGES_PASSED_OVER_TOTAL).increment(1);
    let TooLarge {
        reason,
        bytes,
        bytes_max,
    } = size;
    tracing::warn!(of, %position, reason, bytes, bytes_max, "a change is too large and was passed over");
}

/// A chunk of a snapshot was planned.
pub fn snapshot_chunk_planned() {
    metrics::counter!(SNAPSHOT_CHUNKS_TOTAL).increment(1);
}

/// A chunk of a snapshot is read again.
pub fn snapshot_chunk_read_again() {
    metrics::counter!(SNAPSHOT_CHUNKS_REREAD_TOTAL).increment(1);
}

/// What a snapshot has still to read.
pub fn snapshot_remaining(rows: u64) {
    metrics::gauge!(SNAPSHOT_ROWS_REMAINING).set(rows as f64);
}

/// Rows of a snapshot are published.
pub fn snapshot_rows(rows: usize) {
    metrics::counter!(SNAPSHOT_ROWS_TOTAL).increment(rows as u64);
}

/// Replication starts over after a transient failure.
pub fn restarted() {
    metrics::counter!(RESTARTS_TOTAL).increment(1);
}

/// A Kafka transaction was aborted, to be tried again.
pub fn transaction_aborted() {
    metrics::counter!(TRANSACTIONS_ABORTED_TOTAL).increment(1);
}

/// An error with everything that caused it, on one line. A cause that the error before it has quoted is
/// not said twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = source.source();
    }
    text
}
/// Source commit to sink commit of a streamed change, seconds.
pub const COMMIT_TO_APPLIED_SECONDS: &str = "tidewater_commit_to_applied_seconds";
/// Changes of one sink transaction.
pub const RETAIL_BATCH_RECORDS: &str = "tidewater_retail_batch_records";
/// Changes handed to the folds.
pub const RECORDS_APPLIED: &str = "tidewater_retail_records_total";
/// Changes that were seen before, and ignored.
pub const RECORDS_REPEATED: &str = "tidewater_retail_repeats_total";
/// One sink transaction, seconds.
pub const SINK_TRANSACTION_SECONDS: &str = "tidewater_sink_transaction_seconds";
/// Attempts at a sink transaction that a transient error ended.
pub const SINK_RETRIES: &str = "tidewater_sink_retries_total";
/// Batches dropped because another consumer owned their partitions.
pub const CONSUMER_FENCED: &str = "tidewater_retail_fenced_total";

/// Application events read, by what became of them: counted, late, repeated, unreadable.
pub const SHOPPER_EVENTS: &str = "tidewater_shopper_events_total";
/// One sink transaction of application events, seconds.
pub const EVENTS_TRANSACTION_SECONDS: &str = "tidewater_events_transaction_seconds";

/// Codes that wait for the webhook.
pub const DELIVERIES_WAITING: &str = "tidewater_webhook_waiting";
/// Codes that the webhook has given up.
pub const DELIVERIES_PARKED: &str = "tidewater_webhook_parked";
/// Attempts to deliver a code to the webhook, by outcome: delivered, failed, parked.
pub const DELIVERIES: &str = "tidewater_webhook_attempts_total";

/// Promotion codes issued.
pub const CODES_ISSUED: &str = "tidewater_codes_issued_total";
/// Promotion codes withdrawn before they were dispatched.
pub const CODES_WITHDRAWN: &str = "tidewater_codes_withdrawn_total";
/// Promotion codes that the promotions topic has acknowledged.
pub const CODES_DISPATCHED: &str = "tidewater_codes_dispatched_total";
/// Promotion codes whose time ran out.
pub const CODES_EXPIRED: &str = "tidewater_codes_expired_total";
/// Promotion codes that the ledger lacked after a restore, taken from the promotions topic.
pub const CODES_RECOVERED: &str = "tidewater_codes_recovered_total";
/// From the issue of a code to its acknowledgement by the promotions topic, seconds.
pub const ISSUED_TO_DISPATCHED_SECONDS: &str = "tidewater_issued_to_dispatched_seconds";
/// Codes that wait to be dispatched.
pub const OUTBOX_ROWS: &str = "tidewater_outbox_rows";
/// Eligible tuples, as of the last sweep.
pub const ELIGIBLE_TUPLES: &str = "tidewater_eligible_tuples";
/// One sweep over all rules and pairs, seconds.
pub const SWEEP_SECONDS: &str = "tidewater_sweep_seconds";
/// Whether codes are issued: 0 while warming up, 1 when behind, 2 when they are.
pub const ISSUE_STATE: &str = "tidewater_issue_state";

/// Rows that the continuous verification has compared, by `table`.
pub const VERIFY_ROWS_COMPARED: &str = "tidewater_verify_rows_compared_total";
/// Rows that changed whenever the continuous verification looked at them, by `table`.
pub const VERIFY_ROWS_MOVING: &str = "tidewater_verify_rows_moving_total";
/// Rows that the continuous verification has found to differ, by `table`.
pub const VERIFY_DIFFERENCES: &str = "tidewater_verify_differences_total";
/// When the last chunk was verified, seconds since 1970.
pub const VERIFY_CHUNK_TIMESTAMP: &str = "tidewater_verify_last_chunk_timestamp_seconds";
/// Age of the pass over all tables that is under way, seconds.
pub const VERIFY_PASS_AGE_SECONDS: &str = "tidewater_verify_pass_age_seconds";
/// When the last pass over all tables ended, seconds since 1970.
pub const VERIFY_LAST_PASS_TIMESTAMP: &str = "tidewater_verify_last_pass_timestamp_seconds";
/// Rows that differed in the last pass over all tables.
pub const VERIFY_LAST_PASS_DIFFERENCES: &str = "tidewater_verify_last_pass_differences";

/// Requests that the gateway has answered, by `route` and `status`.
pub const GATEWAY_REQUESTS_TOTAL: &str = "tidewater_gateway_requests_total";
/// Events that the gateway was sent, by `result`: accepted, repeated, rejected, or failed in Kafka.
pub const GATEWAY_EVENTS_TOTAL: &str = "tidewater_gateway_events_total";
/// From the arrival of a request's events to Kafka's acknowledgement of the last, seconds.
pub const GATEWAY_ACKNOWLEDGED_SECONDS: &str = "tidewater_gateway_acknowledged_seconds";
/// Events that wait for Kafka's acknowledgement.
pub const GATEWAY_EVENTS_IN_FLIGHT: &str = "tidewater_gateway_events_in_flight";
/// Open connections of the gateway.
pub const GATEWAY_CONNECTIONS: &str = "tidewater_gateway_connections";
/// Open connections of the console.
pub const CONSOLE_CONNECTIONS: &str = "tidewater_console_connections";

/// Write-ahead log that the source keeps for the slot, bytes.
pub const RETAINED_WAL_BYTES: &str = "tidewater_retained_wal_bytes";
/// End of the source's log minus what the slot has confirmed, bytes.
pub const REPLICATION_LAG_BYTES: &str = "tidewater_replication_lag_bytes";
/// Age of the newest heartbeat in Kafka, seconds.
pub const REPLICATION_LAG_SECONDS: &str = "tidewater_replication_lag_seconds";
/// Records that the consumer group has not applied, over all partitions.
pub const CONSUMER_LAG_RECORDS: &str = "tidewater_consumer_lag_records";
/// Age of the source time up to which everything is applied, seconds.
pub const APPLIED_AGE_SECONDS: &str = "tidewater_applied_age_seconds";
/// Failures of a stage, by its name in the label `stage`.
pub const ERRORS_TOTAL: &str = "tidewater_errors_total";

/// Health of every stage in this process; clones share the same registry.
#[derive(Clone, Debug, Default)]
pub struct Health {
    stages: Arc<Mutex<Vec<Stage>>>,
}

impl Health {
    /// Registers a stage. `stuck_after` is how long an item may stay in it.
    pub fn stage(&self, name: &'static str, stuck_after: Duration) -> Stage {
        let state = Arc::new(Mutex::new(StageState::Starting));
        let stage = Stage {
            name,
            stuck_after,
            state,
        };
        self.stages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(stage.clone());
        stage
    }

    /// Every stage as of `now`, in the order of registration.
    pub fn report(&self, now: Instant) -> Vec<StageReport> {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.iter().map(|stage| stage.report(now)).collect()
    }
}

/// One stage's handle: the stage tells it what it holds.
#[derive(Clone, Debug)]
pub struct Stage {
    name: &'static str,
    stuck_after: Duration,
    state: Arc<Mutex<StageState>>,
}

#[derive(Clone, Debug)]
enum StageState {
    Starting,
    Idle,
    Working { oldest: Instant },
    Draining,
    Failed { reason: String },
}

impl Stage {
    /// Nothing is waiting.
    pub fn idle(&self) {
        self.set(StageState::Idle);
    }

    /// The oldest item that waits here arrived at `oldest`.
    pub fn working_since(&self, oldest: Instant) {
        self.set(StageState::Working { oldest });
    }

    /// It takes nothing new, and ends once what it has is done.
    pub fn draining(&self) {
        self.set(StageState::Draining);
    }

    /// The stage cannot go on, for the reason given (no row values).
    pub fn failed(&self, reason: impl fmt::Display) {
        metrics::counter!(ERRORS_TOTAL, "stage" => self.name).increment(1);
        self.set(StageState::Failed {
            reason: reason.to_string(),
        });
    }

    fn set(&self, state: StageState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn report(&self, now: Instant) -> StageReport {
        let state = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (condition, oldest, reason) = match state {
            StageState::Starting => (Condition::Starting, None, None),
            StageState::Idle => (Condition::Idle, None, None),
            StageState::Working { oldest } => {
                let age = now.saturating_duration_since(oldest);
                let condition = if age > self.stuck_after {
                    Condition::Stuck
                } else {
                    Condition::Working
                };
                (condition, Some(age), None)
            }
            StageState::Draining => (Condition::Draining, None, None),
            StageState::Failed { reason } => (Condition::Failed, None, Some(reason)),
        };
        StageReport {
            name: self.name,
            condition,
            oldest,
            reason,
        }
    }
}

/// What a stage is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It has not processed anything yet.
    Starting,
    /// Nothing waits.
    Idle,
    /// Something waits, and not for too long.
    Working,
    /// Something has waited for longer than the stage's limit.
    Stuck,
    /// It takes nothing new: the process is about to end.
    Draining,
    /// It cannot go on.
    Failed,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Condition::Starting => "starting",
            Condition::Idle => "idle",
            Condition::Working => "working",
            Condition::Stuck => "stuck",
            Condition::Draining => "draining",
            Condition::Failed => "failed",
        })
    }
}

/// One stage as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageReport {
    /// The stage's name, `replicate.publish` for instance.
    pub name: &'static str,
    /// What it is doing.
    pub condition: Condition,
    /// Age of its oldest unprocessed item.
    pub oldest: Option<Duration>,
    /// Why it failed.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_stuck_are_told_apart() {
        let health = Health::default();
        let stage = health.stage("replicate.publish", Duration::from_secs(5));
        let start = Instant::now();
        let condition = |now: Instant| {
            health
                .report(now)
                .first()
                .map(|report| report.condition)
                .unwrap()
        };
        assert_eq!(condition(start), Condition::Starting);
        stage.idle();
        assert_eq!(condition(start + Duration::from_mins(1)), Condition::Idle);
        stage.working_since(start);
        assert_eq!(
            condition(start + Duration::from_secs(5)),
            Condition::Working
        );
        assert_eq!(condition(start + Duration::from_secs(6)), Condition::Stuck);
        stage.draining();
        assert_eq!(condition(start), Condition::Draining);
        stage.failed("fenced");
        assert_eq!(condition(start), Condition::Failed);
    }
}
