//! The replicator under faults, on real servers: whatever dies, the topics hold every change once.

mod delivery;
mod full;
mod kills;
mod outages;
mod rivals;
mod steps;
mod volume;

use std::time::Duration;

use tidewater::connection::{Connection, Database, connect};

use crate::model::Beginning;
use crate::support::load::{self, Load, create_tables};
use crate::support::{self, Tidewater};

/// A source under load, and how it is replicated.
struct Scene {
    source: Connection,
    database: Database,
    brokers: String,
    /// Prefix of the topics; slot and publication have the same name.
    prefix: String,
    config: String,
}

impl Scene {
    /// A database of its own on the shared servers.
    async fn shared(name: &str) -> Scene {
        Scene::on(name, &support::kafka_brokers(), "").await
    }

    /// A database of its own on the shared server, and any broker.
    async fn on(name: &str, brokers: &str, more: &str) -> Scene {
        let source = support::postgres_database(name).await;
        let url = support::database_url(source.database());
        Scene::new(name, source, &url, brokers, more).await
    }

    /// Any servers; `more` is added to `[kafka]`.
    async fn new(name: &str, source: Connection, url: &str, brokers: &str, more: &str) -> Scene {
        let database = connect(&source).await.unwrap();
        create_tables(&database, "default").await;
        let prefix = support::unique(name);
        let config = format!(
            "[source]\nurl = \"{url}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n\
             tables = [\"public.*\"]\n\
             [kafka]\nbrokers = \"{brokers}\"\nprefix = \"{prefix}\"\npartitions = 3\n{more}\n"
        );
        Scene {
            source,
            database,
            brokers: brokers.to_owned(),
            prefix,
            config,
        }
    }

    /// A modest load, about a thousand changes a second.
    fn load(&self) -> Load {
        Load::start(&self.source, 3, Duration::from_millis(15))
    }

    fn replicate(&self) -> Tidewater {
        Tidewater::start(&["replicate"], &self.config)
    }

    /// As [`Scene::replicate`], and dies at that arrival at that step.
    fn replicate_until(&self, step: &str, arrival: u64) -> Tidewater {
        let crash = format!("{}[debug]\ncrash_at = \"{step}:{arrival}\"\n", self.config);
        Tidewater::start(&["replicate"], &crash)
    }

    /// Waits until everything that the source has committed by now is in Kafka and confirmed.
    async fn caught_up(&self) {
        support::caught_up(&self.database, &self.prefix).await;
    }

    /// Catches up with a last replicator, and compares source and topics.
    async fn assert_exactly_once(&self) {
        let last = self.replicate();
        // A slot that a snapshot has just made is confirmed up to now, and nothing is read yet.
        last.streaming().await;
        self.caught_up().await;
        let ended = last.terminate();
        assert_eq!(ended.code(), Some(0), "{}", ended.log);
        let from = Beginning::Snapshot;
        let changes = load::assert_exactly_once(&self.database, &self.brokers, &self.prefix, from);
        println!("{} changes, each once", changes.await);
    }
}
