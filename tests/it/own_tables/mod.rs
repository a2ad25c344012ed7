//! The second example schema, end to end: nothing in it is called as in the demo shop.

mod changed;
mod refusals;
mod shop;
mod whole;

use tidewater::connection::{Connection, Database, connect};

use crate::commands::with_database;
use crate::support::{self, Ended, Tidewater, until};

const SCHEMA: &str = include_str!("../../../examples/wholesale/schema.sql");
const CONFIG: &str = include_str!("../../../examples/wholesale/tidewater.toml");

/// The example on real servers, under names that no other test uses.
struct Wholesale {
    source_url: String,
    sink_url: String,
    name: String,
}

impl Wholesale {
    /// Its tables, and a few rows that only a snapshot can find.
    async fn open(name: &str) -> Wholesale {
        let source = support::postgres_database(name).await;
        let server = support::postgres_url();
        let wholesale = Wholesale {
            source_url: with_database(&server, source.database()),
            sink_url: with_database(&server, &format!("{}_sink", source.database())),
            name: source.database().to_owned(),
        };
        let database = wholesale.source().await;
        database.batch_execute(SCHEMA).await.unwrap();
        database.batch_execute(shop::ROWS).await.unwrap();
        wholesale
    }

    /// The example's configuration, with these servers and names in place of its own.
    fn config(&self) -> String {
        let Wholesale {
            source_url,
            sink_url,
            name,
        } = self;
        let brokers = support::kafka_brokers();
        let mut config = CONFIG.to_owned();
        for (from, to) in [
            (
                "url = \"postgres://postgres@127.0.0.1:5432/wholesale\"",
                format!(
                    "url = \"{source_url}\"\nslot = \"{name}\"\npublication = \"{name}\"\n\
                     heartbeat_interval = \"200ms\""
                ),
            ),
            (
                "url = \"postgres://postgres@127.0.0.1:5432/wholesale_tidewater\"",
                format!("url = \"{sink_url}\"\n[retail]\ngroup = \"{name}\""),
            ),
            (
                "brokers = \"127.0.0.1:9092\"",
                format!("brokers = \"{brokers}\"\npartitions = 3"),
            ),
            ("prefix = \"wholesale\"", format!("prefix = \"{name}\"")),
        ] {
            assert_eq!(config.matches(from).count(), 1, "{from}");
            config = config.replace(from, &to);
        }
        config
    }

    /// The same, with one line of the example changed.
    fn config_with(&self, from: &str, to: &str) -> String {
        let config = self.config();
        assert_eq!(config.matches(from).count(), 1, "{from}");
        config.replace(from, to)
    }

    async fn source(&self) -> Database {
        connect(&self.source_url.parse().unwrap()).await.unwrap()
    }

    async fn sink(&self) -> Database {
        let sink: Connection = self.sink_url.parse().unwrap();
        connect(&sink).await.unwrap()
    }

    /// Waits until everything that the source has committed by now is in the aggregates.
    async fn applied(&self) {
        let clock = "select clock_timestamp()::text";
        let source = self.source().await;
        let now: String = source.query_one(clock, &[]).await.unwrap().get(0);
        let sink = self.sink().await;
        until("the sink to have applied everything", async || {
            let applied = "select coalesce(applied_until() >= $1::text::timestamptz, false)";
            sink.query_one(applied, &[&now]).await.unwrap().get(0)
        })
        .await;
    }
}

/// Runs a command that has to succeed.
#[track_caller]
fn succeeds(arguments: &[&str], config: &str) -> Ended {
    let ended = Tidewater::run(arguments, config);
    assert_eq!(ended.code(), Some(0), "{}{}", ended.output, ended.log);
    ended
}

/// Compares source, topics and sink, every row of each.
#[track_caller]
fn verified(config: &str) {
    let ended = succeeds(&["verify", "--json"], config);
    let report: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    let tables = report["tables"].as_array().unwrap();
    for table in tables {
        assert_eq!(table["rows"], table["compared"], "{table}");
    }
    assert!(ended.output.contains("erp.Stock"), "{}", ended.output);
}

/// Rows of one text column, in the order of their bytes.
async fn texts(database: &Database, sql: &str) -> Vec<String> {
    let rows = database.query(sql, &[]).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let mut texts: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    texts.sort_unstable();
    texts
}
