//! The heartbeat: a transactional logical message written to the source, or to its primary, at an interval.
//!
//! It comes back through the whole pipeline, so that idle and stuck differ, it lets the slot move on in
//! a quiet database, and its commit time tells the consumers how fresh they are. No table is needed.

use std::time::Duration;

use super::Error;
use super::{primary, stream::unix_time_us};
use crate::config::settings::Source;
use crate::event::HEARTBEAT_PREFIX;

/// Pause after a failed connection.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Writes heartbeats until dropped. Failures are logged and tried again: the stream itself notices when
/// the source is gone. Switched off, it does nothing.
pub(crate) async fn run(source: &Source) -> Error {
    if source.heartbeat_interval.is_zero() {
        return std::future::pending().await;
    }
    loop {
        if let Err(error) = beat(source).await {
            tracing::warn!(error = %error, "heartbeat failed: trying again");
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

async fn beat(source: &Source) -> Result<(), Error> {
    let database = primary::writer(source).await?;
    let write = database
        .prepare("select pg_catalog.pg_logical_emit_message(true, $1, $2::text)")
        .await
        .map_err(Error::Heartbeat)?;
    let mut ticks = tokio::time::interval(source.heartbeat_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let content = unix_time_us().to_string();
        database
            .execute(&write, &[&HEARTBEAT_PREFIX, &content])
            .await
            .map_err(Error::Heartbeat)?;
    }
}
