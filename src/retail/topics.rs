//! Waiting for the topics: the replicator creates them.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio_util::sync::CancellationToken;

use super::change::Table;
use super::error::Error;
use super::partition::Topics;
use crate::config::settings::Kafka;

const ANSWER: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
/// How long no broker may answer before it counts as unreachable.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(30);

/// Partitions of the three topics, as soon as all exist; `None` when stopped before.
pub(super) async fn await_topics(
    kafka: &Kafka,
    topics: &Topics,
    stop: &CancellationToken,
) -> Result<Option<Vec<(Table, i32)>>, Error> {
    let client: BaseConsumer = crate::kafka::consumer_config(kafka)
        .create()
        .map_err(|source| Error::Kafka {
            doing: "make a client",
            source,
        })?;
    let (topics, stop, brokers) = (topics.clone(), stop.clone(), kafka.brokers.clone());
    let wait = move || {
        let mut counts = Vec::new();
        for table in Table::ALL {
            match await_topic(&client, topics.name(table), &brokers, &stop)? {
                Some(partitions) => counts.push((table, partitions)),
                None => return Ok(None),
            }
        }
        Ok(Some(counts))
    };
    tokio::task::spawn_blocking(wait)
        .await
        .map_err(|_| Error::Thread { name: "metadata" })?
}

fn await_topic(
    client: &BaseConsumer,
    topic: &str,
    brokers: &str,
    stop: &CancellationToken,
) -> Result<Option<i32>, Error> {
    let mut silent_since = std::time::Instant::now();
    let mut told = false;
    while !stop.is_cancelled() {
        match count_partitions(client, topic) {
            Ok(0) => {
                silent_since = std::time::Instant::now();
                if !told {
                    tracing::info!(topic, "waiting for the topic");
                    told = true;
                }
            }
            Ok(count) => return Ok(Some(count)),
            Err(source) if silent_since.elapsed() > UNREACHABLE_AFTER => {
                return Err(Error::KafkaUnreachable {
                    brokers: brokers.to_owned(),
                    source,
                });
            }
            Err(error) => tracing::debug!(%error, "no metadata"),
        }
        std::thread::sleep(PAUSE);
    }
    Ok(None)
}

/// Partitions of a topic; zero when it does not exist.
pub(super) fn count_partitions<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
) -> Result<i32, KafkaError> {
    let metadata = match client.fetch_metadata(Some(topic), ANSWER) {
        Err(KafkaError::MetadataFetch(
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
        )) => return Ok(0),
        metadata => metadata?,
    };
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let count = found.map_or(0, |found| found.partitions().len());
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

/// Partitions of every topic that exists, asked once.
pub(super) fn existing(
    client: &BaseConsumer,
    topics: &Topics,
) -> Result<Vec<(Table, i32)>, KafkaError> {
    Table::ALL
        .into_iter()
        .map(|table| Ok((table, count_partitions(client, topics.name(table))?)))
        .collect()
}
