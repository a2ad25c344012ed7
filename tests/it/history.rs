//! A start meets topics or a source that are not the ones it has recorded.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tidewater::connection::{Connection, Database, connect};
use tidewater::exit::ExitCode;

use crate::model::read_topic;
use crate::support::{self, Ended, Postgres, Tidewater, kafka_brokers, until};

/// A source with one table, its prefix, and its configuration.
struct Shop {
    database: Database,
    topic: String,
    config: String,
}

impl Shop {
    async fn new(source: &Connection, url: &str) -> Shop {
        let database = connect(source).await.unwrap();
        database
            .batch_execute("create table t (id bigint primary key, note text)")
            .await
            .unwrap();
        let prefix = support::unique("history");
        let config = format!(
            "[source]\nurl = \"{url}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 2\n",
            kafka_brokers()
        );
        let topic = format!("{prefix}.public.t");
        Shop {
            database,
            topic,
            config,
        }
    }

    async fn insert(&self, ids: std::ops::Range<i64>) {
        let sql =
            "insert into t select id, 'x' from generate_series($1::bigint, $2::bigint - 1) as id";
        self.database
            .execute(sql, &[&ids.start, &ids.end])
            .await
            .unwrap();
    }

    /// Replicates until the topic holds that many records, and drains.
    async fn replicate(&self, records: usize) -> Ended {
        let replicator = Tidewater::start(&["replicate"], &self.config);
        until("the records", async || {
            // The topic appears a moment after the start.
            replicator.log().contains("streaming")
                && read_topic(&kafka_brokers(), &self.topic).len() >= records
        })
        .await;
        replicator.terminate()
    }
}

async fn shared() -> Shop {
    let source = support::postgres_database("history").await;
    Shop::new(&source, &support::database_url(source.database())).await
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", kafka_brokers())
        .create()
        .unwrap()
}

async fn create(topic: &str) {
    let topic = NewTopic::new(topic, 2, TopicReplication::Fixed(1));
    // A deletion takes a moment to be everywhere.
    until("the topic to be created again", async || {
        let created = admin().create_topics([&topic], &AdminOptions::new()).await;
        created.unwrap()[0].is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_is_gone_or_recreated_is_refused() {
    let shop = shared().await;
    shop.insert(0..10).await;
    // Ten rows and the end of the snapshot in each partition.
    assert_eq!(shop.replicate(12).await.code(), Some(0));

    admin()
        .delete_topics(&[&shop.topic], &AdminOptions::new())
        .await
        .unwrap();
    let refused = |ended: &Ended, words: &str| {
        assert_eq!(
            ended.code(),
            Some(ExitCode::TopicUnusable as i32),
            "{}",
            ended.log
        );
        assert!(ended.log.contains(words), "{}", ended.log);
    };
    let gone = Tidewater::run(&["replicate"], &shop.config);
    refused(&gone, "held events and is gone");
    create(&shop.topic).await;
    let recreated = Tidewater::run(&["replicate"], &shop.config);
    refused(&recreated, "it was recreated or repartitioned");
}

#[tokio::test]
async fn a_repartitioned_topic_is_refused() {
    let shop = shared().await;
    shop.insert(0..10).await;
    assert_eq!(shop.replicate(12).await.code(), Some(0));
    admin()
        .create_partitions(&[NewPartitions::new(&shop.topic, 3)], &AdminOptions::new())
        .await
        .unwrap();
    let ended = Tidewater::run(&["replicate"], &shop.config);
    assert_eq!(
        ended.code(),
        Some(ExitCode::TopicUnusable as i32),
        "{}",
        ended.log
    );
    assert!(
        ended.log.contains("was 2 partitions") && ended.log.contains("is 3 partitions"),
        "{}",
        ended.log
    );
}

#[tokio::test]
async fn a_timeline_that_holds_the_position_is_followed() {
    let server = Postgres::start(&["wal_level=logical"]);
    let source: Connection = server.url().parse().unwrap();
    let shop = Shop::new(&source, &server.url()).await;
    shop.insert(0..10).await;
    assert_eq!(shop.replicate(12).await.code(), Some(0));
    server.restart_promoted();
    let shop = Shop {
        database: connect(&source).await.unwrap(),
        ..shop
    };
    shop.insert(10..20).await;
    let ended = shop.replicate(22).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    assert!(ended.log.contains("on another timeline"), "{}", ended.log);
    assert_eq!(read_topic(&kafka_brokers(), &shop.topic).len(), 22);
}

#[tokio::test]
async fn options_are_kept_inside_a_split_transaction() {
    let shop = shared().await;
    assert_eq!(shop.replicate(2).await.code(), Some(0));
    shop.insert(0..50_000).await;
    // Dies after the first part of the transaction is committed.
    let crashing = format!(
        "{}[debug]\ncrash_at = \"publish.committed:1\"\n",
        shop.config
    );
    let crashed = Tidewater::start(&["replicate"], &crashing).wait(Duration::from_mins(1));
    assert_eq!(crashed.code(), None, "{}", crashed.log);
    let other = support::unique("other");
    let sql = format!("create publication {other} for all tables");
    shop.database.batch_execute(&sql).await.unwrap();
    let prefix = shop.topic.split('.').next().unwrap();
    let changed = shop.config.replace(
        &format!("publication = \"{prefix}\""),
        &format!("publication = \"{other}\"\ntables = [\"*.*\"]"),
    );
    let ended = Tidewater::run(&["replicate"], &changed);
    assert_eq!(
        ended.code(),
        Some(ExitCode::SourceTables as i32),
        "{}",
        ended.log
    );
    assert!(ended.log.contains("published in part"), "{}", ended.log);
    assert_eq!(shop.replicate(50_002).await.code(), Some(0));
    assert_eq!(read_topic(&kafka_brokers(), &shop.topic).len(), 50_002);
}
