//! A source that is a standby: what cannot be done there is done on its primary.
//!
//! Streams and reads leave the primary alone. Three things have to be written where the log is:
//! heartbeats, a publication that is missing or lacks tables, and, for a new slot, the list of running transactions that
//! its decoding begins at, which the primary logs every 15 s by itself, and only if it writes at all.

use std::convert::Infallible;
use std::future::Future;
use std::time::{Duration, Instant};

use super::Error;
use crate::config::settings::Source;
use crate::connection::{self, Connection, Database};
use crate::postgres::{self, Patterns, Publication, Server};
use crate::telemetry;

/// How often the primary is asked to log its running transactions while a slot is created.
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// How long a publication may take from the primary to the standby.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often that is looked at.
const REPLAY_POLL: Duration = Duration::from_millis(50);

/// The primary to write to, if the source is a standby and has one configured.
pub(super) fn of<'s>(source: &'s Source, server: &Server) -> Option<&'s Connection> {
    source.primary.as_ref().filter(|_| server.in_recovery)
}

/// Connects to a standby's primary.
pub(super) async fn connect(primary: &Connection, source: &Database) -> Result<Database, Error> {
    const WHO: &str = "
        select pg_is_in_recovery(), system_identifier from pg_control_system()";
    let found = connection::connect(primary).await?;
    let there = found.query_one(WHO, &[]).await.map_err(Error::Catalog)?;
    let here = source.query_one(WHO, &[]).await.map_err(Error::Catalog)?;
    let wrong = |found| Err(postgres::Error::NotPrimary { found }.into());
    if there.get::<_, i64>(1) != here.get::<_, i64>(1) {
        return wrong("another server");
    }
    if there.get(0) {
        return wrong("a standby");
    }
    Ok(found)
}

/// Connects to where the source takes writes now: to itself, or to its primary.
pub(super) async fn writer(source: &Source) -> Result<Database, Error> {
    let found = connection::connect(&source.connection).await?;
    let Some(primary) = &source.primary else {
        return Ok(found);
    };
    if postgres::is_in_recovery(&found).await? {
        connect(primary, &found).await
    } else {
        Ok(found)
    }
}

/// Creates the publication if it is missing, adds what it lacks if it is managed, and checks it as the source sees it.
pub(super) async fn ensure_publication(
    primary: Option<&Connection>,
    source: &Database,
    name: &str,
    patterns: &Patterns,
) -> Result<Publication, Error> {
    let Some(primary) = primary else {
        return Ok(postgres::ensure_publication(source, name, patterns).await?);
    };
    let missing = match postgres::check_publication(source, name, patterns).await {
        Err(error) if error.lacks_tables() => error,
        checked => return Ok(checked?),
    };
    let writer = connect(primary, source).await?;
    let created = postgres::ensure_publication(&writer, name, patterns)
        .await?
        .created;
    let deadline = Instant::now() + REPLAY_TIMEOUT;
    loop {
        match postgres::check_publication(source, name, patterns).await {
            Err(error) if error.lacks_tables() && Instant::now() < deadline => {
                tokio::time::sleep(REPLAY_POLL).await;
            }
            Err(error) if error.lacks_tables() => return Err(missing.into()),
            checked => {
                return Ok(Publication {
                    created,
                    ..checked?
                });
            }
        }
    }
}

/// Runs `creation` of a slot, while the primary logs what it waits for.
pub(super) async fn logging<T>(
    primary: Option<&Connection>,
    source: &Database,
    creation: impl Future<Output = T>,
) -> T {
    let Some(primary) = primary else {
        return creation.await;
    };
    tokio::select! {
        created = creation => created,
        never = log(primary, source) => match never {},
    }
}

/// Has the primary log its running transactions until dropped. Without the right to it, its own checkpoints do.
async fn log(primary: &Connection, source: &Database) -> Infallible {
    loop {
        let Err(error) = log_on(primary, source).await;
        tracing::warn!(
                error = %telemetry::chain(&error),
                "the primary does not log its running transactions for the new slot, which waits until it \
                 does so by itself: grant execute on function pg_log_standby_snapshot() to the role"
        );
        tokio::time::sleep(LOG_INTERVAL * 10).await;
    }
}

async fn log_on(primary: &Connection, source: &Database) -> Result<Infallible, Error> {
    let primary = connect(primary, source).await?;
    loop {
        let logged = primary
            .execute("select pg_log_standby_snapshot()", &[])
            .await;
        logged.map_err(Error::Catalog)?;
        tokio::time::sleep(LOG_INTERVAL).await;
    }
}
