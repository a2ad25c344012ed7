//! The real binary as its users meet it: roles that work, commands that report, and bad input that is
//! refused with an exit code and a remedy.

mod refusals;
mod reports;
mod roles;

use tidewater::connection::{Connection, Database, connect};
use tidewater::kafka::{Admin, TopicSpec};

use crate::support::{self, Ended, Tidewater};

/// The tables of the demo shop, and rows that make one customer eligible at once.
const SHOP: &str = "
    create table stores (store_id bigint primary key, name text not null);
    create table products (product_id bigint primary key, name text not null);
    create table customers (
        customer_id bigint primary key, tier text not null,
        contact_allowed boolean not null default true);
    create table inventory (
        store_id bigint not null, product_id bigint not null, on_hand integer not null,
        target_stock integer not null, updated_at timestamptz not null default now(),
        primary key (store_id, product_id));
    create table orders (
        order_id bigint primary key, customer_id bigint, store_id bigint, product_id bigint,
        quantity integer, unit_price numeric(12, 2), status text, promotion_code text,
        placed_at timestamptz, updated_at timestamptz not null default now());
    insert into stores values (1, 'Harbour');
    insert into products values (7, 'Oilskin');
    insert into customers values (11, 'premium'), (12, 'standard');
    insert into inventory values (1, 7, 40, 60);
    insert into orders values
        (100, 11, 1, 7, 2, 12.50, 'delivered', null, now() - interval '3 days'),
        (101, 11, 1, 7, 1, 12.50, 'delivered', null, now() - interval '5 days')";

/// A shop of a test's own: database, sink, prefix and slot that nobody else uses.
pub(crate) struct Shop {
    /// URL of the source.
    pub(crate) source: String,
    /// URL of the sink, which does not exist yet.
    pub(crate) sink: String,
    /// First part of its topics.
    pub(crate) prefix: String,
    /// Its slot, and the publication.
    pub(crate) slot: String,
    /// The brokers.
    pub(crate) brokers: String,
}

impl Shop {
    /// The shop's tables on the shared server.
    pub(crate) async fn open(name: &str) -> Shop {
        Shop::at(&support::postgres_url(), name).await
    }

    /// The shop's tables on a server of the test's own.
    pub(crate) async fn at(server: &str, name: &str) -> Shop {
        let name = support::unique(name);
        let database = login(server).await;
        let create = format!("create database {name}");
        database.batch_execute(&create).await.unwrap();
        let shop = Shop {
            source: with_database(server, &name),
            sink: with_database(server, &format!("{name}_sink")),
            prefix: name.clone(),
            slot: name,
            brokers: support::kafka_brokers(),
        };
        shop.source().await.batch_execute(SHOP).await.unwrap();
        shop
    }

    /// The whole configuration.
    pub(crate) fn config(&self) -> String {
        format!(
            "{}\n[sink]\nurl = \"{}\"\n",
            self.source_config(),
            self.sink
        )
    }

    /// `[source]` and `[kafka]`, which `replicate` needs.
    pub(crate) fn source_config(&self) -> String {
        let Shop {
            source,
            prefix,
            slot,
            brokers,
            ..
        } = self;
        format!(
            "[source]\nurl = \"{source}\"\nslot = \"{slot}\"\npublication = \"{slot}\"\n\
             heartbeat_interval = \"200ms\"\nstart_timeout = \"1s\"\n\
             [kafka]\nbrokers = \"{brokers}\"\nprefix = \"{prefix}\"\npartitions = 2\n"
        )
    }

    /// A connection to the source.
    pub(crate) async fn source(&self) -> Database {
        login(&self.source).await
    }

    /// A connection to the sink.
    pub(crate) async fn sink(&self) -> Database {
        login(&self.sink).await
    }

    /// The topic of one of its tables.
    pub(crate) fn topic(&self, table: &str) -> String {
        tidewater::kafka::topics::table(&self.prefix, "public", table)
    }

    /// Makes a topic before tidewater does.
    pub(crate) async fn make_topic(&self, table: &str, settings: Vec<(&'static str, String)>) {
        let settings_of = tidewater::config::parse(&self.source_config(), []).unwrap();
        let kafka = settings_of.kafka.unwrap();
        let spec = TopicSpec {
            settings,
            ..TopicSpec::events(&kafka, self.topic(table))
        };
        Admin::new(&kafka)
            .unwrap()
            .ensure_topic(&spec)
            .await
            .unwrap();
    }

    /// Starts `replicate`, waits until it streams, and ends it.
    pub(crate) async fn replicate_once(&self) {
        let replicator = self.replicator().await;
        let ended = replicator.terminate();
        assert_eq!(ended.code(), Some(0), "{}", ended.log);
    }

    /// A replicator that streams.
    pub(crate) async fn replicator(&self) -> Tidewater {
        let mut replicator = Tidewater::start(&["replicate"], &self.source_config());
        streaming(&mut replicator).await;
        replicator
    }
}

/// Waits until a replicator streams.
pub(crate) async fn streaming(replicator: &mut Tidewater) {
    support::until("streaming", async || {
        assert!(replicator.is_running(), "{}", replicator.log());
        replicator.log().contains("streaming resume")
    })
    .await;
}

/// Runs a command that has to fail with this exit code and say each of these.
#[track_caller]
pub(crate) fn refused(arguments: &[&str], config: &str, code: u8, parts: &[&str]) -> Ended {
    let ended = Tidewater::run(arguments, config);
    let error = ended
        .log
        .lines()
        .skip_while(|line| !line.starts_with("error: "))
        .collect::<Vec<_>>()
        .join("\n");
    let error = error.trim_start_matches("error: ");
    assert_eq!(ended.code(), Some(i32::from(code)), "{}", ended.log);
    for part in parts {
        assert!(error.contains(part), "no \"{part}\" in: {error}");
    }
    let first = error.chars().next();
    assert!(
        first.is_some_and(|c| !c.is_uppercase()),
        "an error begins in lower case: {error}"
    );
    ended
}

/// A session on the server of a URL.
pub(crate) async fn login(url: &str) -> Database {
    let connection: Connection = url.parse().unwrap();
    connect(&connection).await.unwrap()
}

/// The URL with another database.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{database}")
}

/// The URL with another role and password.
pub(crate) fn with_user(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, host) = rest.rsplit_once('@').unwrap();
    format!("{scheme}://{user}@{host}")
}
