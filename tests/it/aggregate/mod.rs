//! The retail consumer on real servers, beside a real replicator: whatever dies, at rest every aggregate
//! is what the source and the topics amount to.

mod content;
mod continuous;
mod full;
mod group;
mod histories;
mod kills;
mod outages;
mod rebuild;
mod repair;
mod shop;
mod sink;
mod topics;

use std::time::Duration;

use tidewater::connection::{Connection, Database, connect};

use crate::model::{Aggregates, History, read_topic};
use crate::support::load::Load;
use crate::support::{self, Tidewater, until};

/// A small shop, its pipeline's configuration, and its sink.
struct Scene {
    source: Connection,
    database: Database,
    sink: Connection,
    brokers: String,
    /// Prefix of the topics; slot, publication and group have the same name.
    prefix: String,
    config: String,
}

/// Where a scene's servers are.
struct Servers {
    sink_url: String,
    brokers: String,
}

impl Servers {
    /// The shared ones.
    fn shared() -> Servers {
        Servers {
            sink_url: server_url(),
            brokers: support::kafka_brokers(),
        }
    }
}

/// The shared server's URL without a database.
fn server_url() -> String {
    let url = support::postgres_url();
    url.rsplit_once('/').unwrap().0.to_owned()
}

impl Scene {
    /// A new shop; `identity` is its tables' replica identity, `more` is added to the configuration.
    async fn new(name: &str, servers: &Servers, identity: &str, more: &str) -> Scene {
        let source = support::postgres_database(name).await;
        let database = connect(&source).await.unwrap();
        database
            .batch_execute(&shop::tables(identity))
            .await
            .unwrap();
        let prefix = support::unique(name);
        let sink_url = format!("{}/sink_{prefix}", servers.sink_url);
        let config = format!(
            "[source]\nurl = \"{}/{}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 3\n\
             [sink]\nurl = \"{sink_url}\"\n\
             [retail]\ngroup = \"{prefix}\"\n{more}\n",
            server_url(),
            source.database(),
            servers.brokers,
        );
        Scene {
            source,
            database,
            sink: sink_url.parse().unwrap(),
            brokers: servers.brokers.clone(),
            prefix,
            config,
        }
    }

    fn load(&self) -> Load {
        Load::of(shop::statement, &self.source, 3, Duration::from_millis(15))
    }

    fn replicate(&self) -> Tidewater {
        Tidewater::start(&["replicate"], &self.config)
    }

    fn aggregate(&self) -> Tidewater {
        Tidewater::start(&["aggregate"], &self.config)
    }

    fn topic(&self, table: &str) -> String {
        format!("{}.public.{table}", self.prefix)
    }

    async fn sink(&self) -> Database {
        connect(&self.sink).await.unwrap()
    }

    /// Waits until everything that the source has committed by now is in the aggregates.
    async fn applied(&self) {
        let clock = "select clock_timestamp()::text";
        let now: String = self.database.query_one(clock, &[]).await.unwrap().get(0);
        until("the sink to have applied everything", async || {
            let Ok(sink) = connect(&self.sink).await else {
                return false;
            };
            let applied = "select coalesce(applied_until() >= $1::text::timestamptz, false)";
            sink.query_one(applied, &[&now])
                .await
                .is_ok_and(|row| row.get(0))
        })
        .await;
    }

    /// Panics unless the sink holds what the topics and the source amount to. Both roles may run, and
    /// nobody writes.
    async fn assert_right(&self) {
        self.applied().await;
        let sink = self.sink().await;
        let inventory = read_topic(&self.brokers, &self.topic("inventory"));
        let orders = read_topic(&self.brokers, &self.topic("orders"));
        let naive = Aggregates::of(&mut History::of(&inventory), &mut History::of(&orders));
        let found = sink::aggregates(&sink).await;
        sink::assert_same(&self.prefix, &naive, &found);
        assert_eq!(shop::sales(&self.database).await, found.sales_hourly);
        let verified = Tidewater::run(&["verify", "--json"], &self.config);
        assert_eq!(
            verified.code(),
            Some(0),
            "{} {}",
            verified.output,
            verified.log
        );
        let report: serde_json::Value = serde_json::from_str(&verified.output).unwrap();
        for table in report["tables"].as_array().unwrap() {
            assert_eq!(table["rows"], table["compared"], "{table}");
        }
        println!(
            "{} records of stock and {} of orders: {} hours of stock, {} of sales, {} habits",
            inventory.len(),
            orders.len(),
            found.inventory_hourly.len(),
            found.sales_hourly.len(),
            found.purchase_habit.len()
        );
    }
}
