//! The servers that `scripts/with-servers` has started.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataTopic;
use tidewater::connection::Connection;

use super::Fallible;

/// For Kafka to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How they are reached.
pub(crate) struct Servers {
    /// The superuser's URL, over TCP.
    pub(crate) postgres: Connection,
    /// Directory of PostgreSQL's Unix socket.
    pub(crate) socket: String,
    /// Its port.
    pub(crate) port: String,
    pub(crate) brokers: String,
    /// Process of the broker.
    pub(crate) broker_pid: u32,
    /// Whether PostgreSQL is durable.
    pub(crate) fsync: String,
}

/// How a client reaches PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Unix => "unix",
        }
    }
}

#[allow(clippy::disallowed_methods)] // benchmarks have no configuration
fn variable(name: &str) -> Fallible<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: run scripts/bench").into())
}

impl Servers {
    pub(crate) fn find() -> Fallible<Servers> {
        let url = variable("TIDEWATER_TEST_POSTGRES_URL")?;
        let port = url::Url::parse(&url)?.port().unwrap_or(5432).to_string();
        Ok(Servers {
            postgres: url.parse()?,
            port,
            socket: variable("TIDEWATER_TEST_POSTGRES_SOCKET")?,
            brokers: variable("TIDEWATER_TEST_KAFKA_BROKERS")?,
            broker_pid: variable("TIDEWATER_TEST_KAFKA_PID")?.parse()?,
            fsync: variable("TIDEWATER_TEST_FSYNC")?,
        })
    }

    /// URL of a database over a transport; libpq reads it too.
    pub(crate) fn url(&self, database: &str, transport: Transport) -> String {
        let (socket, port) = (&self.socket, &self.port);
        match transport {
            Transport::Tcp => {
                format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable")
            }
            Transport::Unix => {
                format!("postgres://postgres@/{database}?host={socket}&port={port}")
            }
        }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// A read_committed consumer without a group, which answers as soon as there is one record.
    pub(crate) fn consumer(&self) -> Fallible<BaseConsumer> {
        Ok(self
            .client()
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "100")
            .set("topic.metadata.refresh.fast.interval.ms", "20")
            .create()?)
    }

    /// Deletes every topic whose name begins with `prefix` or with the position topics' part before it.
    pub(crate) async fn delete_topics(&self, prefix: &str) -> Fallible<()> {
        let metadata = self.consumer()?.fetch_metadata(None, PATIENCE)?;
        let position = format!("__tidewater.{prefix}");
        let names: Vec<&str> = metadata
            .topics()
            .iter()
            .map(MetadataTopic::name)
            .filter(|name| name.starts_with(prefix) || name.starts_with(&position))
            .collect();
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        admin.delete_topics(&names, &AdminOptions::new()).await?;
        Ok(())
    }
}

/// Records of a topic without transactions; none before it is there.
pub(crate) fn records(consumer: &BaseConsumer, topic: &str) -> Fallible<i64> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    partitions
        .map(|partition| {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            Ok(high - low)
        })
        .sum()
}
