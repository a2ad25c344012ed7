//! Random histories through real topics, the real consumer and the real SQL.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tidewater::connection::connect;
use tidewater::telemetry::Health;
use tidewater::{config, retail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Servers, sink};
use crate::histories::CASES;
use crate::model::{Aggregates, History, Record, random};
use crate::support::{self, until};

const HISTORIES: u64 = 100;
/// Consumers at a time.
const PARALLEL: usize = 4;
const EVENTS: usize = 240;
const PARTITIONS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_equals_the_naive_model() {
    let seed = random::seed();
    let counts = futures_util::stream::iter(0..HISTORIES)
        .map(|index| one(seed.wrapping_add(index)))
        .buffer_unordered(PARALLEL)
        .collect::<Vec<_>>()
        .await;
    let mut cases: BTreeMap<&str, u64> = CASES.iter().map(|case| (*case, 0)).collect();
    for (case, count) in counts.into_iter().flatten() {
        *cases.entry(case).or_default() += count;
    }
    for (case, count) in &cases {
        println!("{count:>8}  {case}");
        assert!(*count > 0, "seed {seed}: never met {case}");
    }
}

/// Folds one history of stock and one of orders, and compares. Says how often it met which case.
async fn one(seed: u64) -> BTreeMap<&'static str, u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let inventory = random::inventory(&mut rng, PARTITIONS, EVENTS);
    let orders = random::orders(&mut rng, PARTITIONS, EVENTS);
    let (mut levels, mut sold) = (History::of(&inventory), History::of(&orders));
    let naive = Aggregates::of(&mut levels, &mut sold);

    let prefix = support::unique("history");
    let servers = Servers::shared();
    publish(
        &servers.brokers,
        &prefix,
        &[("inventory", &inventory), ("orders", &orders)],
    )
    .await;
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\n[sink]\nurl = \"{}/sink_{prefix}\"\n\
         [retail]\ngroup = \"{prefix}\"\nbatch_records_max = 50\n",
        servers.brokers, servers.sink_url
    );
    let settings = config::parse(&text, []).unwrap();
    let sink = settings.sink.clone().unwrap();
    retail::migrate(&sink).await.unwrap();
    let stop = CancellationToken::new();
    let mut role = JoinSet::new();
    let (stopped, folded) = (stop.clone(), settings.clone());
    role.spawn(async move { retail::run(&folded, &Health::default(), stopped).await });

    let database = connect(&sink.connection).await.unwrap();
    let records = i64::try_from(inventory.len() + orders.len()).unwrap();
    until("every record to be folded", async || {
        assert!(
            role.try_join_next().is_none(),
            "seed {seed}: the consumer has ended"
        );
        let done = "select coalesce(sum(next_offset), 0)::bigint from consumer_offset";
        database
            .query_one(done, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            >= records
    })
    .await;
    stop.cancel();
    role.join_next().await.unwrap().unwrap().unwrap();
    sink::assert_same(
        &format!("seed {seed}"),
        &naive,
        &sink::aggregates(&database).await,
    );
    let mut cases = levels.cases;
    for (case, count) in sold.cases {
        *cases.entry(case).or_default() += count;
    }
    cases
}

/// Creates the topics and writes the records, each to its own partition and offset.
async fn publish(brokers: &str, prefix: &str, tables: &[(&str, &[Record])]) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().unwrap();
    let table = |name: &str| format!("{prefix}.public.{name}");
    let names = ["inventory", "orders", "customers"].map(table);
    let heartbeat = format!("{prefix}.heartbeat");
    let partitions = i32::try_from(PARTITIONS).unwrap();
    let mut topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(1)))
        .collect();
    topics.push(NewTopic::new(&heartbeat, 1, TopicReplication::Fixed(1)));
    for created in admin
        .create_topics(&topics, &AdminOptions::new())
        .await
        .unwrap()
    {
        created.unwrap();
    }
    let producer: BaseProducer = client(brokers).create().unwrap();
    for (name, records) in tables {
        let topic = table(name);
        for record in *records {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                headers = headers.insert(Header {
                    key,
                    value: Some(value),
                });
            }
            let mut message = BaseRecord::<[u8], [u8]>::to(&topic)
                .partition(record.partition)
                .headers(headers);
            if let Some(key) = &record.key {
                message = message.key(key);
            }
            if let Some(value) = &record.value {
                message = message.payload(value);
            }
            producer.send(message).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(Duration::from_mins(1)).unwrap();
}

fn client(brokers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true");
    client
}
