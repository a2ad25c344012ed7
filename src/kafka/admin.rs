//! Topics: created, awaited and checked before any producer sees their names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use uuid::Uuid;

use super::client::admin_config;
use super::error::Error;
use super::native;
use crate::config::settings::Kafka;

/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new topic may take to have its leaders.
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two looks at a new topic.
const CREATE_POLL: Duration = Duration::from_millis(20);

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Partitions when it is created.
    pub partitions: i32,
    /// Replicas when it is created; `None` for the broker's default.
    pub replication: Option<i32>,
    /// Settings when it is created.
    pub settings: Vec<(&'static str, String)>,
    /// `cleanup.policy` that it must have, whoever created it; `None` where any will do.
    pub cleanup: Option<&'static str>,
    /// `max.message.bytes` that it must at least have.
    pub message_bytes_max: usize,
    /// Whether it is a history: recreated, it has lost changes.
    pub history: bool,
}

impl TopicSpec {
    /// A topic of change events, kept for ever unless its owner decides otherwise.
    pub fn events(kafka: &Kafka, name: String) -> Self {
        TopicSpec {
            name,
            partitions: kafka.partitions,
            replication: kafka.replication_factor,
            settings: vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", "-1".to_owned()),
                (
                    "max.message.bytes",
                    batch_bytes(kafka.message_bytes_max).to_string(),
                ),
            ],
            cleanup: None,
            message_bytes_max: kafka.message_bytes_max,
            history: true,
        }
    }

    /// The topic of heartbeats: one partition, and a day is enough.
    pub fn heartbeat(kafka: &Kafka, name: String) -> Self {
        let settings = vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", "86400000".to_owned()),
        ];
        TopicSpec {
            partitions: 1,
            settings,
            message_bytes_max: 0,
            history: false,
            ..Self::events(kafka, name)
        }
    }

    /// The topic of schema versions: one partition, so that they have an order, and kept for ever.
    /// Recreated it has lost no change of a row, and gets the versions to come.
    pub fn schema_changes(kafka: &Kafka, name: String) -> Self {
        TopicSpec {
            partitions: 1,
            history: false,
            ..Self::events(kafka, name)
        }
    }

    /// The topic of changes that were passed over: one partition, so that they have an order, and kept for
    /// ever. It may be emptied once they are dealt with.
    pub fn passed_over(kafka: &Kafka, name: String) -> Self {
        Self::schema_changes(kafka, name)
    }

    /// The topic of transactions: one partition, so that they have an order.
    pub fn transactions(kafka: &Kafka, name: String) -> Self {
        TopicSpec {
            partitions: 1,
            ..Self::events(kafka, name)
        }
    }

    /// The topic of promotion codes: kept for ever, since a restored ledger is completed from it.
    pub fn promotions(kafka: &Kafka, name: String) -> Self {
        TopicSpec {
            cleanup: Some("delete"),
            message_bytes_max: 0,
            ..Self::events(kafka, name)
        }
    }

    /// The topic of applications' events: kept for ever, since retail reads it as history. Each event is small.
    pub fn application_events(kafka: &Kafka, name: String) -> Self {
        Self::promotions(kafka, name)
    }

    /// The compacted topic that holds a position.
    pub fn position(kafka: &Kafka, name: String) -> Self {
        TopicSpec {
            partitions: 1,
            settings: vec![
                ("cleanup.policy", "compact".to_owned()),
                ("segment.bytes", "1048576".to_owned()),
                ("max.compaction.lag.ms", "60000".to_owned()),
                ("min.cleanable.dirty.ratio", "0.1".to_owned()),
            ],
            cleanup: Some("compact"),
            message_bytes_max: 0,
            history: false,
            ..Self::events(kafka, name)
        }
    }
}

/// The broker's limit is on a batch of records: one record and the batch's own header.
fn batch_bytes(message_bytes_max: usize) -> usize {
    const OVERHEAD: usize = 1024;
    message_bytes_max.max(1 << 20) + OVERHEAD
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Its id, which a topic of the same name created later does not have; nil where the broker is too
    /// old to tell.
    pub id: Uuid,
    /// Whether this call created it.
    pub created: bool,
}

type Client = AdminClient<DefaultClientContext>;

/// The admin client.
pub struct Admin {
    client: Arc<Client>,
    brokers: Arc<str>,
}

impl Admin {
    /// Opens the client; nothing is asked yet.
    pub fn new(kafka: &Kafka) -> Result<Self, Error> {
        let client: Client = admin_config(kafka).create().map_err(Error::Settings)?;
        Ok(Admin {
            client: Arc::new(client),
            brokers: kafka.brokers.as_str().into(),
        })
    }

    /// Checks that a broker answers.
    pub fn reach(&self, timeout: Duration) -> Result<(), Error> {
        match self.client.inner().fetch_metadata(None, timeout) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Unreachable {
                brokers: self.brokers.to_string(),
                timeout,
            }),
        }
    }

    /// Every topic with its partitions. Blocks until the broker answers.
    pub fn topics(&self, timeout: Duration) -> Result<Vec<(String, i32)>, Error> {
        let metadata = self.client.inner().fetch_metadata(None, timeout);
        let metadata = metadata.map_err(|_| Error::Unreachable {
            brokers: self.brokers.to_string(),
            timeout,
        })?;
        let topic = |topic: &MetadataTopic| {
            let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            (topic.name().to_owned(), partitions)
        };
        Ok(metadata.topics().iter().map(topic).collect())
    }

    /// Partitions of a topic; `None` when it does not exist. Blocks until the broker answers.
    pub fn partitions(&self, name: &str) -> Result<Option<i32>, Error> {
        partitions(&self.client, &self.brokers, name)
    }

    /// As [`Admin::partitions`], without blocking: a broker that is stalled must not keep the caller's
    /// thread from answering the source.
    pub async fn await_partitions(&self, name: &str) -> Result<Option<i32>, Error> {
        let (brokers, name) = (Arc::clone(&self.brokers), name.to_owned());
        self.aside(move |client| partitions(client, &brokers, &name))
            .await
    }

    /// Asks on a thread that may block.
    async fn aside<T: Send + 'static>(&self, ask: impl FnOnce(&Client) -> T + Send + 'static) -> T {
        let client = Arc::clone(&self.client);
        match tokio::task::spawn_blocking(move || ask(&client)).await {
            Ok(answer) => answer,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// Creates the topic when missing, and waits for its leaders; checks its settings when present.
    pub async fn ensure_topic(&self, spec: &TopicSpec) -> Result<Topic, Error> {
        let name = spec.name.clone();
        if let Some(partitions) = self.await_partitions(&spec.name).await? {
            self.check_settings(spec).await?;
            return self.topic(name, partitions, false).await;
        }
        self.create(spec).await?;
        let deadline = Instant::now() + CREATE_TIMEOUT;
        loop {
            if let Some(partitions) = self.await_partitions(&spec.name).await? {
                return self.topic(name, partitions, true).await;
            }
            if Instant::now() >= deadline {
                let reason = format!("it has no leaders after {} s", CREATE_TIMEOUT.as_secs());
                return Err(Error::CreateTopic {
                    topic: name,
                    reason,
                });
            }
            tokio::time::sleep(CREATE_POLL).await;
        }
    }

    async fn topic(&self, name: String, partitions: i32, created: bool) -> Result<Topic, Error> {
        let topic = name.clone();
        let id = self
            .aside(move |client| native::topic_id(client.inner(), &topic, ANSWER_TIMEOUT))
            .await
            .map_err(|source| Error::of("describe topics", source))?;
        Ok(Topic {
            name,
            partitions,
            id: Uuid::from_u128(id),
            created,
        })
    }

    async fn create(&self, spec: &TopicSpec) -> Result<(), Error> {
        let replication = TopicReplication::Fixed(spec.replication.unwrap_or(-1));
        let mut topic = NewTopic::new(&spec.name, spec.partitions, replication);
        for (setting, value) in &spec.settings {
            topic = topic.set(setting, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(CREATE_TIMEOUT));
        let results = self.client.create_topics([&topic], &options).await;
        let results = results.map_err(|source| Error::Metadata {
            what: format!("the creation of topic {}", spec.name),
            source,
        })?;
        match results.into_iter().next() {
            Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                Err(Error::CreateTopic {
                    topic: spec.name.clone(),
                    reason: code.to_string(),
                })
            }
            _ => Ok(()),
        }
    }

    /// A topic's setting; `None` when the broker does not name it.
    pub async fn setting(&self, topic: &str, name: &str) -> Result<Option<String>, Error> {
        let resource = ResourceSpecifier::Topic(topic);
        let failed = |source| Error::Metadata {
            what: format!("the settings of {topic}"),
            source,
        };
        let found = self
            .client
            .describe_configs([&resource], &AdminOptions::new())
            .await
            .map_err(failed)?;
        let entry = found
            .into_iter()
            .filter_map(Result::ok)
            .flat_map(|resource| resource.entries)
            .find(|entry| entry.name == name);
        Ok(entry.and_then(|entry| entry.value))
    }

    async fn check_settings(&self, spec: &TopicSpec) -> Result<(), Error> {
        let unusable = |problem: String, remedy: String| {
            Err(Error::TopicUnusable {
                topic: spec.name.clone(),
                problem,
                remedy,
            })
        };
        if let Some(expected) = spec.cleanup {
            let found = self
                .setting(&spec.name, "cleanup.policy")
                .await?
                .unwrap_or_default();
            if found != expected {
                return unusable(
                    format!("cleanup.policy is {found}, not {expected}"),
                    format!("set cleanup.policy={expected} on it"),
                );
            }
        }
        let limit = self.setting(&spec.name, "max.message.bytes").await?;
        let limit: usize = limit
            .and_then(|text| text.parse().ok())
            .unwrap_or(usize::MAX);
        if limit < spec.message_bytes_max {
            let wanted = spec.message_bytes_max;
            return unusable(
                format!("max.message.bytes is {limit}, less than kafka.message_bytes_max {wanted}"),
                format!(
                    "set max.message.bytes={} on it, or lower kafka.message_bytes_max",
                    batch_bytes(wanted)
                ),
            );
        }
        Ok(())
    }
}

fn partitions(client: &Client, brokers: &str, name: &str) -> Result<Option<i32>, Error> {
    let metadata = client
        .inner()
        .fetch_metadata(Some(name), ANSWER_TIMEOUT)
        .map_err(|_| Error::Unreachable {
            brokers: brokers.to_owned(),
            timeout: ANSWER_TIMEOUT,
        })?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return Ok(None);
    };
    let led = topic
        .partitions()
        .iter()
        .all(|partition| partition.leader() >= 0);
    if topic.error().is_some() || topic.partitions().is_empty() || !led {
        return Ok(None);
    }
    Ok(i32::try_from(topic.partitions().len()).ok())
}
