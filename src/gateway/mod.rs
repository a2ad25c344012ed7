//! The gateway: applications send events and read what became of them, over HTTP.
//!
//! ```text
//! server ─▶ routes ─▶ access (keys, rates) ─▶ events ─▶ body, event ─▶ publisher ═▶ <prefix>.events
//!                                     └────▶ read ─▶ sink
//! ```
//!
//! An event is accepted when every in-sync replica of its partition has it, and no answer says so before. Pure are
//! `event`, `recent`, `flights`, `problem` and the parts of `body` that take texts apart.

mod access;
mod body;
mod error;
mod event;
mod events;
mod flights;
mod key;
mod key_table;
mod publisher;
mod read;
mod recent;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::publisher::Publisher;
use self::routes::Api;
use crate::config::settings::{Gateway, Settings};
use crate::http::{Listener, ListenerLimits, SinkLimits, SinkReader};
use crate::kafka::{Admin, TopicSpec, topics};
use crate::retail::check_schema;
use crate::step::{Role, Steps};
use crate::telemetry::{self, Health};

pub(crate) use access::{Access, Caller};
pub use error::Error;
pub use key::{NewKey, Scope};
pub use key_table::{KeyError, ListedKey, create, list, open, revoke};
pub(crate) use read::Parameters;

/// How long an event may wait for Kafka's word before the stage counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Serves until `stop` or a definite error; then answers what is under way.
pub async fn run(
    settings: &Settings,
    health: &Health,
    stop: CancellationToken,
) -> Result<(), Error> {
    let missing = |section| Error::Missing { section };
    let kafka = settings.kafka.as_ref().ok_or(missing("kafka"))?;
    let sink = settings.sink.as_ref().ok_or(missing("sink"))?;
    let gateway = Arc::new(settings.gateway.clone());
    let accept = health.stage("gateway.accept", STUCK_AFTER);
    let publish = health.stage("gateway.publish", STUCK_AFTER);
    let server = Listener::bind(listener(&gateway))
        .await
        .map_err(Error::Listen)?;
    check_schema(sink).await.map_err(KeyError::from)?;
    let topic = topics::events(&kafka.prefix);
    let spec = TopicSpec::application_events(kafka, topic.clone());
    Admin::new(kafka)?.ensure_topic(&spec).await?;
    let steps = Steps::open(&settings.steps, Role::Gateway).map_err(Error::Steps)?;
    let publisher = Publisher::open(kafka.clone(), topic, &gateway, publish, steps)?;
    let access = Access::open(sink, &gateway).await?;
    let api = Api {
        access: access.clone(),
        publisher: publisher.clone(),
        reader: SinkReader::new(&sink.connection, reads(&gateway)).map_err(Error::Reads)?,
        bytes: Arc::new(Semaphore::new(gateway.bytes_in_flight_max)),
        gateway,
    };
    // These outlive the last request.
    let ended = CancellationToken::new();
    let mut watches = JoinSet::new();
    watches.spawn(access.watch(ended.clone()));
    watches.spawn(publisher.clone().watch(ended.clone()));
    accept.idle();
    tracing::info!(address = %server.address(), "serving applications");
    server.run(routes::router(api), stop, &accept).await;
    ended.cancel();
    watches.join_all().await;
    publisher.close().await;
    tracing::info!("gateway drained");
    Ok(())
}

fn listener(gateway: &Gateway) -> ListenerLimits {
    ListenerLimits {
        section: "gateway",
        address: gateway.listen,
        identity: gateway.identity.clone(),
        header_bytes_max: gateway.header_bytes_max,
        header_timeout: gateway.header_timeout,
        connections_max: gateway.connections_max,
        drain_key: "gateway.drain_timeout",
        drain_timeout: gateway.drain_timeout,
        connections: telemetry::GATEWAY_CONNECTIONS,
    }
}

fn reads(gateway: &Gateway) -> SinkLimits {
    SinkLimits {
        connections_key: "gateway.read_connections",
        connections: gateway.read_connections,
        timeout_key: "gateway.request_timeout",
        timeout: gateway.request_timeout,
    }
}
