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

use super::error::Error;
use super::partition::{PartitionId, Topics};
use super::store::Sink;
use super::topics::existing;
use crate::config::settings::{Kafka, Settings};
use crate::telemetry::Health;

const ANSWER: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// End offsets by partition.
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
    Sink::connect(&sink.connection).await?.wipe().await?;
    tracing::info!(
        partitions = ends.len(),
        "derived tables wiped; folding the topics again"
    );
    let finished = stop.child_token();
    let health = Health::default();
    let role = super::run(settings, &health, finished.clone());
    let watch = async {
        let watched = watch(sink, &topics, &ends, &finished).await;
        finished.cancel();
        watched
    };
    let (folded, watched) = tokio::join!(Box::pin(role), watch);
    folded.and(watched)?;
    Ok(ends.values().sum())
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

/// Waits until every partition has reached its end, or somebody stops it.
async fn watch(
    sink: &crate::config::settings::Sink,
    topics: &Topics,
    ends: &Ends,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let mut connection = Sink::connect(&sink.connection).await?;
    loop {
        let stands = connection.stands(topics).await?;
        let behind = ends
            .iter()
            .filter(|(id, end)| stands.get(id).is_none_or(|at| at < *end));
        if behind.count() == 0 {
            return Ok(());
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
