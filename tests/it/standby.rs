//! Sources that are standbys, and slots that standbys keep a copy of.

use serde_json::Value;
use tidewater::connection::{Database, connect};
use tidewater::exit::ExitCode;
use tidewater::postgres::Failover;

use crate::model::read_topic;
use crate::support::{self, Ended, Postgres, Tidewater, kafka_brokers, until};

/// First versions that stream from a standby, and that copy slots to one.
const STREAMING_SINCE: i32 = 160_000;
const COPYING_SINCE: i32 = 170_000;

/// A primary with a table, and its standby.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    /// Prefix of the topics; slot and publication have the same name.
    prefix: String,
}

impl Pair {
    async fn start(standby: &[&str]) -> Pair {
        let primary = Postgres::start(&["wal_level=logical"]);
        let database = connect(&primary.url().parse().unwrap()).await.unwrap();
        database
            .batch_execute(
                "create table t (id bigint primary key, note text);
                 select pg_create_physical_replication_slot('standby');",
            )
            .await
            .unwrap();
        drop(database);
        let standby = Postgres::standby(&primary, standby);
        Pair {
            primary,
            standby,
            prefix: support::unique("standby"),
        }
    }

    /// A replicator's configuration; `source` ends its first section.
    fn config(&self, url: &str, source: &str) -> String {
        let prefix = &self.prefix;
        format!(
            "[source]\nurl = \"{url}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n{source}\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 2\n",
            kafka_brokers()
        )
    }

    /// The keys of the rows that the topic tells of, ascending.
    fn keys(&self) -> Vec<i64> {
        let records = read_topic(&kafka_brokers(), &format!("{}.public.t", self.prefix));
        let values = records.iter().filter_map(|record| record.value.as_deref());
        let values = values.map(|value| serde_json::from_slice::<Value>(value).unwrap());
        let mut keys: Vec<i64> = values
            .filter_map(|value| value["after"]["id"].as_i64())
            .collect();
        keys.sort_unstable();
        keys
    }

    /// Waits until the topic tells of each key below `count`, once.
    async fn published(&self, replicator: &mut Tidewater, count: i64) {
        until("the rows", async || {
            assert!(replicator.is_running(), "{}", replicator.log());
            replicator.log().contains("streaming") && self.keys().len() as i64 >= count
        })
        .await;
        assert_eq!(self.keys(), (0..count).collect::<Vec<_>>());
    }
}

async fn insert(server: &Postgres, ids: std::ops::Range<i64>) {
    let database: Database = connect(&server.url().parse().unwrap()).await.unwrap();
    let sql = "insert into t select id, 'x' from generate_series($1::bigint, $2::bigint - 1) as id";
    let inserted = database.execute(sql, &[&ids.start, &ids.end]).await;
    inserted.unwrap();
}

/// When the newest published heartbeat was written; 0 before the first.
fn heartbeat_us(config: &str) -> i64 {
    let settings = tidewater::config::parse(config, []).unwrap();
    let (source, kafka) = (settings.source.unwrap(), settings.kafka.unwrap());
    let topics = tidewater::lag::topics(&source, &kafka).unwrap();
    topics.heartbeat_us.unwrap_or(0)
}

fn refused(ended: &Ended, words: &str) {
    let settings = Some(ExitCode::SourceSettings as i32);
    assert_eq!(ended.code(), settings, "{}", ended.log);
    assert!(ended.log.contains(words), "{}", ended.log);
}

/// Publication and heartbeats are the primary's; tables, slot and stream the standby's, which is then
/// promoted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_captured_and_followed_when_it_is_promoted() {
    let pair = Pair::start(&["hot_standby_feedback=on"]).await;
    let primary = format!(
        "primary_url = \"{}\"\nheartbeat_interval = \"100ms\"\npublication_interval = \"100ms\"",
        pair.primary.url()
    );
    let config = pair.config(&pair.standby.url(), &primary);
    if support::server_version().await < STREAMING_SINCE {
        let ended = Tidewater::run(&["replicate"], &config);
        return refused(&ended, "name its primary in source.url");
    }
    let mute = pair.config(&pair.standby.url(), "");
    let ended = Tidewater::run(&["replicate"], &mute);
    refused(&ended, "source.primary_url");
    let itself = format!("primary_url = \"{}\"", pair.standby.url());
    let itself = pair.config(&pair.standby.url(), &itself);
    let ended = Tidewater::run(&["replicate"], &itself);
    refused(&ended, "leads to a standby");

    insert(&pair.primary, 0..100).await;
    let mut replicator = Tidewater::start(&["replicate"], &config);
    pair.published(&mut replicator, 100).await;
    insert(&pair.primary, 100..200).await;
    pair.published(&mut replicator, 200).await;
    replicator.kill();

    insert(&pair.primary, 200..300).await;
    let mut replicator = Tidewater::start(&["replicate"], &config);
    pair.published(&mut replicator, 300).await;
    until("heartbeats from the primary", async || {
        heartbeat_us(&config) > 0
    })
    .await;
    let database = connect(&pair.primary.url().parse().unwrap()).await.unwrap();
    let late = format!(
        "create table late as select id from generate_series(0, 49) as id;
         alter table late add primary key (id);
         alter publication {} add table late",
        pair.prefix
    );
    database.batch_execute(&late).await.unwrap();
    let told = "a table has joined the publication, and its changes are published; the rows";
    until("the table to be told of", async || {
        replicator.log().contains(told)
    })
    .await;
    insert(&pair.primary, 300..301).await;
    pair.published(&mut replicator, 301).await;
    assert_eq!(replicator.log().matches(told).count(), 1);

    pair.primary.stop("immediate");
    let before = heartbeat_us(&config);
    pair.standby.promote();
    insert(&pair.standby, 301..400).await;
    pair.published(&mut replicator, 400).await;
    until("the table that joined to be read", async || {
        replicator.log().contains("a table is read again")
    })
    .await;
    until("heartbeats of the promoted server", async || {
        heartbeat_us(&config) > before
    })
    .await;
    assert_eq!(replicator.terminate().code(), Some(0));
}

/// The slot lives on at the standby that takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_with_a_copy_survives_its_primary() {
    let copying = [
        "hot_standby_feedback=on",
        "sync_replication_slots=on",
        "synchronized_standby_slots=",
    ];
    let has_copies = support::server_version().await >= COPYING_SINCE;
    let pair = Pair::start(if has_copies { &copying } else { &[] }).await;
    let (first, second) = (pair.primary.port(), pair.standby.port());
    let url = format!(
        "postgres://postgres@127.0.0.1:{first},127.0.0.1:{second}/postgres?target_session_attrs=primary"
    );
    let failover = "slot_failover = true\nheartbeat_interval = \"100ms\"";
    let config = pair.config(&url, failover);
    if !has_copies {
        let ended = Tidewater::run(&["replicate"], &config);
        return refused(&ended, "17 or later");
    }
    insert(&pair.primary, 0..100).await;
    let mut replicator = Tidewater::start(&["replicate"], &config);
    pair.published(&mut replicator, 100).await;
    let standby = connect(&pair.standby.url().parse().unwrap()).await.unwrap();
    until("a copy of the slot", async || {
        let slot = tidewater::postgres::read_slot(&standby, &pair.prefix).await;
        slot.unwrap()
            .is_some_and(|slot| slot.failover == Failover::Copy && !slot.temporary)
    })
    .await;
    let onto_copy = pair.config(&pair.standby.url(), "heartbeat_interval = \"0s\"");
    let ended = Tidewater::run(&["replicate"], &onto_copy);
    let unusable = Some(ExitCode::SlotUnusable as i32);
    assert_eq!(ended.code(), unusable, "{}", ended.log);
    assert!(
        ended.log.contains("capture from the primary"),
        "{}",
        ended.log
    );

    insert(&pair.primary, 100..200).await;
    pair.published(&mut replicator, 200).await;
    until("the standby to have it all", async || {
        let count = standby.query_one("select count(*) from t", &[]).await;
        count.unwrap().get::<_, i64>(0) == 200
    })
    .await;
    pair.primary.stop("immediate");
    pair.standby.promote();
    insert(&pair.standby, 200..300).await;
    pair.published(&mut replicator, 300).await;
    assert_eq!(replicator.terminate().code(), Some(0));
}
