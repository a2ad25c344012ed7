//! The lags as gauges, asked for every few seconds beside the roles, on connections of their own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::gauge;

use super::source::heartbeat_us;
use super::{Error, sink, source};
use crate::config::settings::{Kafka, Settings};
use crate::connection::{self, Database};
use crate::kafka::{Isolation, Reader, topics};
use crate::telemetry;

/// How often the servers are asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// Which halves run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The replicator.
    pub replicate: bool,
    /// The consumer.
    pub aggregate: bool,
}

/// Exports the lags until dropped. A server that does not answer leaves its gauges as they are, except
/// the ages, which go on growing.
pub async fn watch(settings: Settings, watched: Watched) {
    let mut watch = Watch::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut results = Vec::new();
        if watched.replicate {
            results.push(watch.source(&settings).await);
            results.push(watch.heartbeat(&settings).await);
        }
        if watched.aggregate {
            results.push(watch.sink(&settings).await);
        }
        for error in results.into_iter().filter_map(Result::err) {
            tracing::debug!(error = %telemetry::chain(&error), "a lag is not known");
        }
        watch.export_ages();
    }
}

#[derive(Default)]
struct Watch {
    source: Option<Database>,
    sink: Option<Database>,
    heartbeats: Option<Reader>,
    heartbeat_us: Option<i64>,
    applied_us: Option<i64>,
}

impl Watch {
    async fn source(&mut self, settings: &Settings) -> Result<(), Error> {
        let Some(settings) = &settings.source else {
            return Ok(());
        };
        // Taken, so that a connection that failed is not used again.
        let database = match self.source.take() {
            Some(database) => database,
            None => connection::connect(&settings.connection)
                .await
                .map_err(Error::SourceConnection)?,
        };
        let lag = source(&database, &settings.slot).await?;
        self.source = Some(database);
        if let Some(bytes) = lag.retained_bytes {
            gauge!(telemetry::RETAINED_WAL_BYTES).set(bytes as f64);
        }
        if let Some(bytes) = lag.lag_bytes {
            gauge!(telemetry::REPLICATION_LAG_BYTES).set(bytes as f64);
        }
        Ok(())
    }

    async fn heartbeat(&mut self, settings: &Settings) -> Result<(), Error> {
        let Some(kafka) = settings.kafka.clone() else {
            return Ok(());
        };
        let reader = self.heartbeats.take();
        let asked = tokio::task::spawn_blocking(move || last_heartbeat(&kafka, reader)).await;
        let (reader, at) = asked.map_err(|_| Error::Thread)??;
        self.heartbeats = Some(reader);
        self.heartbeat_us = at.or(self.heartbeat_us);
        Ok(())
    }

    async fn sink(&mut self, settings: &Settings) -> Result<(), Error> {
        let (Some(settings_of), Some(kafka)) = (&settings.sink, settings.kafka.clone()) else {
            return Ok(());
        };
        let database = match self.sink.take() {
            Some(database) => database,
            None => connection::connect(&settings_of.connection)
                .await
                .map_err(Error::SinkConnection)?,
        };
        let mut lag = sink(&database, &settings.retail).await?;
        self.sink = Some(database);
        if let Some(age) = lag.applied_age_seconds {
            // Seconds of a lag fit by far.
            #[expect(clippy::cast_possible_truncation, reason = "a lag in microseconds")]
            let age_us = (age * 1e6) as i64;
            self.applied_us = Some(now_us() - age_us);
        }
        let asked = tokio::task::spawn_blocking(move || lag.ask_ends(&kafka).map(|()| lag)).await;
        let lag = asked.map_err(|_| Error::Thread)??;
        gauge!(telemetry::CONSUMER_LAG_RECORDS).set(lag.lag_records() as f64);
        Ok(())
    }

    fn export_ages(&self) {
        let age = |at_us: i64| (now_us() - at_us).max(0) as f64 / 1e6;
        if let Some(at) = self.heartbeat_us {
            gauge!(telemetry::REPLICATION_LAG_SECONDS).set(age(at));
        }
        if let Some(at) = self.applied_us {
            gauge!(telemetry::APPLIED_AGE_SECONDS).set(age(at));
        }
    }
}

fn last_heartbeat(kafka: &Kafka, reader: Option<Reader>) -> Result<(Reader, Option<i64>), Error> {
    let mut reader = match reader {
        Some(reader) => reader,
        None => Reader::open(kafka, Isolation::Committed)?,
    };
    let at = heartbeat_us(&mut reader, &topics::heartbeat(&kafka.prefix))?;
    Ok((reader, at))
}

fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
