//! The replicator's half: slot, log, recorded position, heartbeat.

use serde::Serialize;
use tokio_postgres::Client;

use super::{Error, RequestLag};
use crate::config::settings::{Kafka, Source};
use crate::event::{Envelope, Lsn, Position};
use crate::kafka::{
    self, Admin, Isolation, Reader, SnapshotProgress, SnapshotRecords, topics as names,
};
use crate::postgres;

/// The slot and the log it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceLag {
    /// The slot's name.
    pub slot: String,
    /// Whether there is one.
    pub exists: bool,
    /// Whether a replicator reads it now.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Everything that commits before this has been confirmed.
    pub confirmed: Option<Lsn>,
    /// End of the log.
    pub log_end: Lsn,
    /// Log that is kept for the slot, bytes.
    pub retained_bytes: Option<i64>,
    /// Log that may still be written before the slot may be lost, bytes; none: no limit.
    pub safe_bytes: Option<i64>,
    /// From what was confirmed to the end of the log, bytes.
    pub lag_bytes: Option<u64>,
}

/// Asks the source.
pub async fn source(client: &Client, slot: &str) -> Result<SourceLag, Error> {
    let state = postgres::read_slot(client, slot).await?;
    let log_end = postgres::log_end(client).await?;
    let confirmed = state.as_ref().and_then(|state| state.confirmed_flush_lsn);
    let retained_bytes = state.as_ref().and_then(|state| state.retained_bytes);
    let safe_bytes = state.as_ref().and_then(|state| state.safe_wal_bytes);
    Ok(SourceLag {
        slot: slot.to_owned(),
        exists: state.is_some(),
        active: state
            .as_ref()
            .is_some_and(|state| state.active_pid.is_some()),
        wal_status: state.and_then(|state| state.wal_status),
        confirmed,
        log_end,
        retained_bytes,
        safe_bytes,
        lag_bytes: confirmed.map(|confirmed| log_end.bytes_since(confirmed)),
    })
}

/// What Kafka holds of the replicator's progress.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopicsLag {
    /// The recorded position.
    pub position: Option<Position>,
    /// Where streaming would resume.
    pub resume: Option<Lsn>,
    /// A snapshot was begun and has not ended.
    pub snapshot_unfinished: bool,
    /// How far it is; none when there is none.
    pub snapshot: Option<SnapshotLag>,
    /// Requests to read tables again that have not ended.
    pub ad_hoc: Vec<RequestLag>,
    /// Source commit time of the newest heartbeat, microseconds since 1970.
    pub heartbeat_us: Option<i64>,
}

/// How far a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotLag {
    /// Tables that it reads.
    pub tables: usize,
    /// Those that are in their topics.
    pub tables_finished: usize,
    /// Rows that are in their topics.
    pub rows: u64,
    /// Rows that there are, by the planner's estimate.
    pub rows_estimate: u64,
}

impl SnapshotLag {
    fn of(records: &SnapshotRecords) -> SnapshotLag {
        let finished = |table: &&u32| kafka::are_whole(records.ranges_of(**table));
        let ranges = records.ranges.values().flatten();
        SnapshotLag {
            tables: records.tables.len(),
            tables_finished: records.tables.keys().filter(finished).count(),
            rows: ranges.map(|range| range.rows).sum(),
            rows_estimate: records
                .tables
                .values()
                .map(|table| table.rows_estimate)
                .sum(),
        }
    }
}

/// Asks Kafka; blocks.
pub fn topics(source: &Source, kafka: &Kafka) -> Result<TopicsLag, Error> {
    let admin = Admin::new(kafka)?;
    let topic = names::position(&kafka.prefix, &source.slot);
    let recorded = match admin.partitions(&topic)? {
        None => kafka::Recorded::default(),
        // What can be seen now: a snapshot's workers commit all the time.
        Some(_) => kafka::read_recorded_now(kafka, &topic)?,
    };
    let record = recorded.position.as_ref();
    let reading = record.filter(|record| record.snapshot == SnapshotProgress::Reading);
    let heartbeat = names::heartbeat(&kafka.prefix);
    let heartbeat_us = match admin.partitions(&heartbeat)? {
        None => None,
        Some(_) => heartbeat_us(&mut Reader::open(kafka, Isolation::Committed)?, &heartbeat)?,
    };
    Ok(TopicsLag {
        position: record.map(kafka::PositionRecord::position),
        resume: record.map(|record| record.resume_lsn),
        snapshot_unfinished: record.is_some_and(|record| record.snapshot != SnapshotProgress::Done),
        snapshot: reading.map(|_| SnapshotLag::of(&recorded.progress)),
        ad_hoc: RequestLag::open(&recorded.ad_hoc),
        heartbeat_us,
    })
}

/// Source commit time of the newest heartbeat.
pub(super) fn heartbeat_us(reader: &mut Reader, topic: &str) -> Result<Option<i64>, kafka::Error> {
    let value = reader.last_value(topic, 0)?;
    let envelope = value.and_then(|value| {
        Some(
            serde_json::from_slice::<Envelope<'_>>(&value)
                .ok()?
                .source
                .ts_us,
        )
    });
    Ok(envelope)
}
