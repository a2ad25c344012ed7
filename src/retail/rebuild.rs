//! Rebuild: what is derived is wiped, and the topics are folded again from their start.
//!
//! Wiping also takes the partitions from every consumer that runs: it is fenced at its next batch,
//! joins again and continues from the start. So a rebuild is one more member of the group that leaves
//! when every partition has reached the end it had when the rebuild began. The ledger, the rules and
//! the outbox are kept: their cycles are why no second code is issued.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::error::Error;
use super::partition::{PartitionId, Topics};
use super::store::Sink;
use super::topics::existing;
use crate::config::settings::{Kafka, Settings};
use crate::telemetry::Health;

const ANSWER: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// Offsets by partition.
type Ends = BTreeMap<PartitionId, i64>;

/// Wipes what is derived and folds the topics again, up to where they end now. Says how many records
/// lay there, transaction markers included.
pub async fn rebuild(settings: &Settings, stop: CancellationToken) -> Result<i64, Error> {
    let kafka = settings
        .kafka
        .clone()
        .ok_or(Error::Missing { section: "kafka" })?;
    let sink = settings
        .sink
        .as_ref()
        .ok_or(Error::Missing { section: "sink" })?;
    super::migrate::check(sink).await?;
    let topics = Topics::new(&kafka, &settings.retail);
    let names = topics.clone();
    let ends = tokio::task::spawn_blocking(move || ends(&kafka, &names))
        .await
        .map_err(|_| Error::Thread { name: "metadata" })??;
    let mapping = &settings.retail.mapping;
    Sink::connect(&sink.connection).await?.wipe(mapping).await?;
    tracing::info!(
        partitions = ends.len(),
        "derived tables wiped; folding the topics again"
    );
    let finished = stop.child_token();
    // One that ends, ends the other.
    let role = async {
        let folded = fold(settings, &finished).await;
        finished.cancel();
        folded
    };
    let watch = async {
        let watched = watch(sink, &topics, &ends, &finished).await;
        finished.cancel();
        watched
    };
    let (folded, watched) = tokio::join!(role, watch);
    folded.and(watched)?;
    Ok(ends.values().sum())
}

/// Consumes until `stop`. The role gets over passing faults by itself once it has started; here its
/// start does too, since everything is wiped by now.
async fn fold(settings: &Settings, stop: &CancellationToken) -> Result<(), Error> {
    let mut backoff = Backoff::default();
    loop {
        let health = Health::default();
        match Box::pin(super::run(settings, &health, stop.clone())).await {
            Err(error) if error.is_transient() && !stop.is_cancelled() => {
                let delay = backoff.next();
                tracing::warn!(%error, ?delay, "cannot begin to fold; trying again");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(delay) => {}
                }
            }
            ended => return ended,
        }
    }
}

/// Where the partitions end; an error when the start of one is gone.
fn ends(kafka: &Kafka, topics: &Topics) -> Result<Ends, Error> {
    let client: BaseConsumer = crate::kafka::consumer_config(kafka)
        .set("isolation.level", "read_uncommitted")
        .create()
        .map_err(|source| Error::Kafka {
            doing: "make a client",
            source,
        })?;
    let unreachable = |source| Error::KafkaUnreachable {
        brokers: kafka.brokers.clone(),
        source,
    };
    let mut ends = Ends::new();
    for (table, partitions) in existing(&client, topics).map_err(unreachable)? {
        let topic = topics.name(table);
        for partition in 0..partitions {
            let (low, high) = client
                .fetch_watermarks(topic, partition, ANSWER)
                .map_err(unreachable)?;
            super::check_range(topic, partition, 0, (low, high))?;
            ends.insert(PartitionId { table, partition }, high);
        }
    }
    Ok(ends)
}

/// Waits until every partition has reached its end, or somebody stops it. As the consumer does, it
/// waits for a sink that is away for a moment.
async fn watch(
    sink: &crate::config::settings::Sink,
    topics: &Topics,
    ends: &Ends,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let (mut connection, mut backoff) = (None, Backoff::default());
    loop {
        let pause = match stands(&mut connection, sink, topics).await {
            Ok(stands) if has_reached(&stands, ends) => return Ok(()),
            Ok(_) => {
                backoff = Backoff::default();
                PAUSE
            }
            Err(error) if error.is_transient() => {
                // The next attempt begins on a new connection.
                connection = None;
                let delay = backoff.next();
                tracing::warn!(%error, ?delay, "the sink cannot say where it stands; asking again");
                delay
            }
            Err(error) => return Err(error),
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn stands(
    connection: &mut Option<Sink>,
    sink: &crate::config::settings::Sink,
    topics: &Topics,
) -> Result<Ends, Error> {
    let open = match connection.take() {
        Some(open) => open,
        None => Sink::connect(&sink.connection).await?,
    };
    connection.insert(open).stands(topics).await
}

fn has_reached(stands: &Ends, ends: &Ends) -> bool {
    let reached = |(id, end)| stands.get(id).is_some_and(|at| at >= end);
    ends.iter().all(reached)
}
