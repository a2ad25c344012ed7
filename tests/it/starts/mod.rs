//! How a stream begins, on real servers: what each mode reads, and that it is the tables' content.

mod altered;
pub(crate) mod content;
mod idle;
mod modes;
mod pace;
mod resumed;
mod shapes;
mod soak;
mod truncates;

use tidewater::config::settings::Kafka;
use tidewater::connection::{Database, connect};
use tidewater::kafka::{PositionRecord, read_last_committed, topics};

use crate::model::{Record, read_topic};
use crate::support::{self, Postgres, Tidewater, caught_up, until};

/// A source with tables of a test's own, and how it is replicated.
pub(crate) struct Scene {
    pub(crate) database: Database,
    /// Database, prefix of the topics, slot and publication.
    pub(crate) name: String,
    url: String,
    pub(crate) partitions: i32,
}

impl Scene {
    /// A database on the shared server, with tables made by `sql`.
    pub(crate) async fn new(name: &str, sql: &str) -> Scene {
        let source = support::postgres_database(name).await;
        let url = support::database_url(source.database());
        let database = connect(&source).await.unwrap();
        database.batch_execute(sql).await.unwrap();
        Scene {
            database,
            name: source.database().to_owned(),
            url,
            partitions: 3,
        }
    }

    /// The database of a server of one's own.
    pub(crate) async fn at(server: &Postgres, name: &str, sql: &str) -> Scene {
        let url = server.url();
        let database = connect(&url.parse().unwrap()).await.unwrap();
        database.batch_execute(sql).await.unwrap();
        Scene {
            database,
            name: support::unique(name),
            url,
            partitions: 3,
        }
    }

    /// The configuration with another value of `source.snapshot`; `more` ends it.
    pub(crate) fn config(&self, mode: &str, more: &str) -> String {
        let Scene {
            name,
            url,
            partitions,
            ..
        } = self;
        format!(
            "[source]\nurl = \"{url}\"\nslot = \"{name}\"\npublication = \"{name}\"\n\
             snapshot = \"{mode}\"\nheartbeat_interval = \"100ms\"\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{name}\"\npartitions = {partitions}\n{more}",
            support::kafka_brokers()
        )
    }

    /// Runs statements on the source.
    pub(crate) async fn sql(&self, sql: &str) {
        self.database.batch_execute(sql).await.unwrap();
    }

    /// Starts a replicator and waits until it streams.
    pub(crate) async fn stream(&self, config: &str) -> Tidewater {
        let mut replicator = Tidewater::start(&["replicate"], config);
        until("streaming", async || {
            assert!(replicator.is_running(), "{}", replicator.log());
            replicator.log().contains("streaming resume")
        })
        .await;
        replicator
    }

    /// Waits until all that is committed by now is published, and ends the replicator.
    pub(crate) async fn drain(&self, replicator: Tidewater) {
        caught_up(&self.database, &self.name).await;
        let ended = replicator.terminate();
        assert_eq!(ended.code(), Some(0), "{}", ended.log);
    }

    /// Streams from where it stands until all that is committed by now is published.
    pub(crate) async fn replicate(&self, mode: &str) {
        let replicator = self.stream(&self.config(mode, "")).await;
        self.drain(replicator).await;
    }

    /// A table's topic.
    pub(crate) fn topic(&self, table: &str) -> String {
        topics::table(&self.name, "public", table)
    }

    /// What a table's topic holds.
    pub(crate) fn records(&self, table: &str) -> Vec<Record> {
        read_topic(&support::kafka_brokers(), &self.topic(table))
    }

    /// The recorded position.
    pub(crate) fn position(&self) -> PositionRecord {
        let topic = topics::position(&self.name, &self.name);
        read_last_committed(&self.kafka(), &topic).unwrap().unwrap()
    }

    pub(crate) fn kafka(&self) -> Kafka {
        let settings = tidewater::config::parse(&self.config("initial", ""), []).unwrap();
        settings.kafka.unwrap()
    }

    pub(crate) async fn drop_slot(&self) {
        let drop = "select pg_drop_replication_slot($1)";
        self.database.execute(drop, &[&self.name]).await.unwrap();
    }

    /// Every slot of the database.
    pub(crate) async fn slots(&self) -> Vec<String> {
        let sql = "select slot_name::text from pg_replication_slots
                    where database = current_database() order by 1";
        let rows = self.database.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}
