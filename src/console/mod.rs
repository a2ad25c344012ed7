//! The console: one live page of what flows, what it says, what was done about it, and why.
//!
//! ```text
//! source, Kafka, roles ─▶ pipeline ─┐
//! sink ─▶ cover, codes, worth ──────┴─▶ live (one poll for all pages) ═ server-sent events ═▶ page
//! sink, Kafka ─▶ series, why, rules, topics ── answers to the page's requests
//! ```
//!
//! It reads, and nothing depends on it: it may be away, or twice. The one thing that it writes are rules, and
//! that takes a key. While no page is open nothing is asked.

#[macro_use]
mod sql;

mod codes;
mod cover;
mod error;
mod figures;
mod histogram;
mod live;
mod pipeline;
mod routes;
mod rules;
mod series;
mod stages;
mod topics;
mod why;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::routes::Api;
use crate::config::settings::{Console, Settings};
use crate::gateway::Access;
use crate::http::{Listener, ListenerLimits, SinkLimits, SinkReader};
use crate::retail::check_schema;
use crate::telemetry::{self, Health};

pub use error::Error;

/// A page that is open holds nothing that could be stuck; the stage is there to tell of the drain.
const STUCK_AFTER: Duration = Duration::from_mins(1);
/// Longest head of a request, bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// How long a head may take, and a connection be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers may take once the process is to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections to the sink, and how long a statement may take there.
const READS: SinkLimits = SinkLimits {
    connections_key: "four, in the console",
    connections: 4,
    timeout_key: "ten seconds, in the console",
    timeout: Duration::from_secs(10),
};

/// Serves until `stop`.
pub async fn run(
    settings: &Settings,
    health: &Health,
    stop: CancellationToken,
) -> Result<(), Error> {
    let missing = |section| Error::Missing { section };
    let sink = settings.sink.as_ref().ok_or(missing("sink"))?;
    let kafka = settings.kafka.as_ref().ok_or(missing("kafka"))?;
    let stage = health.stage("console.serve", STUCK_AFTER);
    let listener = Listener::bind(limits(&settings.console))
        .await
        .map_err(Error::Listen)?;
    check_schema(sink).await.map_err(Error::Schema)?;
    let access = Access::open(sink, &settings.gateway).await?;
    let reader = SinkReader::new(&sink.connection, READS).map_err(Error::Reads)?;
    let (live, feed) = live::live();
    let api = Api {
        kafka: kafka.clone(),
        sink: sink.clone(),
        registry: settings.registry.clone(),
        retail: settings.retail.clone(),
        access: access.clone(),
        reader: reader.clone(),
        live,
        stop: stop.clone(),
    };
    let ended = CancellationToken::new();
    let mut background = JoinSet::new();
    background.spawn(access.watch(ended.clone()));
    feed.spawn(settings, &reader, &mut background);
    stage.idle();
    tracing::info!(address = %listener.address(), "serving the console");
    listener.run(routes::router(api), stop, &stage).await;
    ended.cancel();
    background.shutdown().await;
    Ok(())
}

fn limits(console: &Console) -> ListenerLimits {
    ListenerLimits {
        section: "console",
        address: console.listen,
        identity: console.identity.clone(),
        header_bytes_max: HEADER_BYTES_MAX,
        header_timeout: HEADER_TIMEOUT,
        connections_max: console.connections_max,
        drain_key: "five seconds, in the console",
        drain_timeout: DRAIN_TIMEOUT,
        connections: telemetry::CONSOLE_CONNECTIONS,
    }
}
