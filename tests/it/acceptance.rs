//! The whole shop under load: nothing lingers, nothing differs, and whoever is killed loses nothing.
//!
//! `make test` has a short run at the rates of a small shop; `make acceptance` the long ones at those of a busy
//! one. Times are printed, and decide nothing but that no item is ever older than five minutes.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tidewater::config::settings::Settings;
use tidewater::connection::Database;
use tidewater::exit::ExitCode;
use tidewater::kafka::topics;
use tidewater::retail::evaluation::{Evaluation, Policy};
use tidewater::retail::statements::Statements;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::commands::{login, with_database};
use crate::model::{random, read_topic};
use crate::support::http::{Client, after, key_file};
use crate::support::{Tidewater, free_port, kafka_brokers, postgres_url, unique, until_within};

/// What is at rest is so within this time.
const PATIENCE: Duration = Duration::from_mins(5);
/// Nothing may ever be older.
const OLDEST: Duration = Duration::from_mins(5);
/// Between two events that a test sends itself.
const SEND_PAUSE: Duration = Duration::from_millis(20);
const EVALUATED: &str = "select count(*) from sink_identity where evaluated_at is not null";
/// An intent rule that many events meet: what it issues is what the latency is told by.
const INTENT: &str = "
    insert into promotion_rule (name, trigger, cooldown, codes_max, rest_after_order, daily_limit, valid_for)
    values ('intent', 'intent', '1 hour', 1000, '0', 1000000, '1 hour')";

/// How much happens, in how large a shop.
#[derive(Clone, Copy, Debug)]
struct Load {
    changes: u64,
    events: u64,
    seconds: u64,
    shop: Size,
}

/// Stores, products of each, customers.
type Size = [u64; 3];

/// Few pairs, each of which changes more than once a second.
const SMALL: Size = [4, 100, 2_000];
/// Ten thousand pairs, as in the benchmark of the consumer.
const LARGE: Size = [20, 500, 20_000];

impl Load {
    /// The long one for `make acceptance`, with its seconds if they are named.
    fn of(short: Load, long: Load) -> Load {
        #[allow(clippy::disallowed_methods)] // a test has no configuration
        let seconds = std::env::var("TIDEWATER_TEST_ACCEPTANCE_SECONDS").ok();
        let long = seconds.map(|seconds| Load {
            seconds: seconds.parse().unwrap(),
            ..long
        });
        long.unwrap_or(short)
    }
}

const fn load([changes, events, seconds]: [u64; 3], shop: Size) -> Load {
    Load {
        changes,
        events,
        seconds,
        shop,
    }
}

/// A shop with a past, its sink with an intent rule, and where its gateway listens.
struct Scene {
    config: String,
    settings: Settings,
    source: String,
    sink: Database,
    gateway: String,
    key: NamedTempFile,
}

impl Scene {
    async fn open(name: &str, shop: Size) -> Scene {
        let name = unique(name);
        let create = format!("create database {name}");
        login(&postgres_url())
            .await
            .batch_execute(&create)
            .await
            .unwrap();
        let (source, sink) = (
            with_database(&postgres_url(), &name),
            with_database(&postgres_url(), &format!("{name}_sink")),
        );
        let gateway = format!("127.0.0.1:{}", free_port());
        let config = format!(
            "[source]\nurl = \"{source}\"\nslot = \"{name}\"\npublication = \"{name}\"\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{name}\"\npartitions = 3\n\
             [sink]\nurl = \"{sink}\"\n[retail]\ngroup = \"{name}\"\ncustomer_limit = 1000\n\
             [gateway]\nlisten = \"{gateway}\"\nevents_per_second = 100000\nevents_burst = 100000\n",
            kafka_brokers()
        );
        let [stores, products, customers] = shop.map(|number| number.to_string());
        let fill = [
            "simulate",
            "--setup-only",
            "--stores",
            &stores,
            "--products",
            &products,
            "--customers",
            &customers,
        ];
        Tidewater::run(&fill, &config).expect(ExitCode::Success);
        Tidewater::run(&["migrate"], &config).expect(ExitCode::Success);
        let sink = login(&sink).await;
        sink.batch_execute(INTENT).await.unwrap();
        let key = key_file("events:write", &config);
        Scene {
            settings: tidewater::config::parse(&config, []).unwrap(),
            config,
            source,
            sink,
            gateway: format!("http://{gateway}"),
            key,
        }
    }

    fn simulate(&self, load: Load) -> Tidewater {
        let [changes, events, seconds] =
            [load.changes, load.events, load.seconds].map(|number| number.to_string());
        let key = self.key.path().to_str().unwrap();
        let arguments = [
            "simulate",
            "--json",
            // The fewer, the more changes share a transaction, and the more of two processors is left.
            "--connections",
            "2",
            "--rate",
            &changes,
            "--shoppers",
            &events,
            "--seconds",
            &seconds,
            "--gateway",
            &self.gateway,
            "--gateway-key-file",
            key,
        ];
        Tidewater::start(&arguments, &self.config)
    }

    /// A client of the gateway that may send events.
    fn client(&self) -> Client {
        let key = std::fs::read_to_string(self.key.path()).unwrap();
        let address = self.gateway.strip_prefix("http://").unwrap();
        Client::new(address, Some(key.trim().to_owned()))
    }

    async fn number(&self, sql: &str) -> i64 {
        self.sink.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until all that is committed now is applied, swept over and sent.
    async fn rest(&self) {
        let source = login(&self.source).await;
        let row = source
            .query_one("select clock_timestamp()::text", &[])
            .await;
        let mark: String = row.unwrap().get(0);
        let quiet = format!(
            "select coalesce(applied_until() > '{mark}', false)
                    and evaluated_at > '{mark}'
                    and not exists (select from promotion_outbox)
             from sink_identity"
        );
        until_within(PATIENCE, "the shop to be at rest", async || {
            self.sink.query_one(&quiet, &[]).await.unwrap().get(0)
        })
        .await;
    }

    /// Lives for the length of the load, and does something at every pause. Nothing may get too old meanwhile.
    async fn live(&self, load: Load, pause: Duration, mut beside: impl FnMut()) -> Value {
        const AGE: &str =
            "select coalesce(extract(epoch from clock_timestamp() - applied_until()), 0)::float8";
        let mut simulator = self.simulate(load);
        let mut oldest = 0.0_f64;
        while simulator.is_running() {
            beside();
            tokio::time::sleep(pause).await;
            oldest = oldest.max(self.sink.query_one(AGE, &[]).await.unwrap().get(0));
            assert!(oldest < OLDEST.as_secs_f64(), "{oldest} s old");
        }
        println!("nothing was older than {oldest:.1} s");
        let ended = simulator.wait(Duration::from_secs(1));
        serde_json::from_str(&ended.output).unwrap()
    }

    /// How long changes and events have taken so far.
    async fn times(&self, process: &Tidewater) -> String {
        // An event may wait for what makes its tuple eligible: that time is not the pipeline's.
        const INTENT: &str = "
            select format('%s codes, p50 %s ms, p99 %s ms', count(*),
                          round(percentile_cont(0.5) within group (order by ms)),
                          round(percentile_cont(0.99) within group (order by ms)))
            from (select (1000 * extract(epoch from p.dispatched_at - s.received_at))::numeric as ms
                  from promotion p join promotion_rule r using (rule_id)
                  join promotion_eligibility e using (rule_id, customer_id, store_id, product_id)
                  join shopper_event s on s.occurred_at = p.caused_at
                   and (s.customer_id, s.store_id) = (p.customer_id, p.store_id)
                   and coalesce(s.product_id, p.product_id) = p.product_id
                  where r.trigger = 'intent' and p.dispatched_at is not null
                    and e.since <= s.received_at) code";
        let listen = after(&process.log(), "serving metrics and health address=");
        let metrics = Client::new(&listen, None).get("/metrics").await.text;
        let applied = within(&metrics, "tidewater_commit_to_applied_seconds", 0.99);
        let intent: String = self.sink.query_one(INTENT, &[]).await.unwrap().get(0);
        format!("commit to applied: 99 % within {applied} s; POST to dispatched code: {intent}")
    }

    fn verify(&self) {
        let ended = Tidewater::run(&["verify"], &self.config);
        assert_eq!(ended.code(), Some(0), "{}{}", ended.output, ended.log);
    }

    /// The one field of every record of a topic.
    fn field(&self, topic: &str, name: &str) -> BTreeSet<String> {
        let records = read_topic(&self.settings.kafka.as_ref().unwrap().brokers, topic);
        let values = records.into_iter().filter_map(|record| record.value);
        let field = |value: Vec<u8>| {
            let value: Value = serde_json::from_slice(&value).unwrap();
            value[name].as_str().unwrap().to_owned()
        };
        values.map(field).collect()
    }

    /// Tuples that have every condition of a code, and none.
    async fn forgotten(&self) -> usize {
        let retail = &self.settings.retail;
        let mut database = login(&format!("{}_sink", self.source)).await;
        let transaction = database.transaction().await.unwrap();
        let (statements, policy) = (Statements::default(), Policy::new(retail));
        let evaluation = Evaluation::begin(&transaction, &statements, &policy)
            .await
            .unwrap();
        evaluation.issuable(1_000).await.unwrap().len()
    }
}

/// Sends one event after the other, each once, until it is told to end; returns those that were accepted.
async fn send(client: Client, done: CancellationToken) -> BTreeSet<String> {
    let mut accepted = BTreeSet::new();
    for customer in (1..=2_000).cycle().take_while(|_| !done.is_cancelled()) {
        tokio::time::sleep(SEND_PAUSE).await;
        let id = Uuid::new_v4().to_string();
        let event = json!({
            "event_id": id, "type": "store_entered", "customer_id": customer, "store_id": 1,
            "occurred_at": jiff::Timestamp::now().to_string()
        });
        // A gateway that was killed answers nothing: whether the event is there is then nobody's promise.
        let posted = client.try_post("/v1/events", "application/json", event.to_string().into());
        match posted.await {
            Ok(answer) if answer.status.as_u16() == 202 => drop(accepted.insert(id)),
            Ok(answer) => assert!(answer.status.is_server_error(), "{answer:?}"),
            Err(_) => {}
        }
    }
    accepted
}

/// The bound of a histogram's bucket that `share` of its values are in or below.
fn within(metrics: &str, name: &str, share: f64) -> String {
    let bucket = format!("{name}_bucket{{");
    let buckets = metrics.lines().filter_map(|line| {
        let (labels, count) = line.strip_prefix(&bucket)?.split_once("} ")?;
        let bound = labels.split("le=\"").nth(1)?.split('"').next()?;
        Some((bound.to_owned(), count.parse::<f64>().ok()?))
    });
    let buckets: Vec<(String, f64)> = buckets.collect();
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let bucket = buckets.into_iter().find(|(_, count)| *count >= share * all);
    bucket.map_or("?".to_owned(), |(bound, _)| bound)
}

/// First the load alone, by which times are told; then the same while `verify` compares again and again, online.
#[tokio::test]
async fn a_busy_shop_stays_fresh_and_verify_finds_no_difference() {
    let load = Load::of(load([500, 100, 25], SMALL), load([2_000, 500, 300], LARGE));
    let scene = Scene::open("busy", load.shop).await;
    let process = Tidewater::start(&["run"], &scene.config);
    until_within(PATIENCE, "the first evaluation", async || {
        scene.number(EVALUATED).await == 1
    })
    .await;
    let alone = scene.live(load, Duration::from_secs(1), || {}).await;
    println!("{load:?}: {alone}");
    println!("{}", scene.times(&process).await);
    let mut verified = 0;
    let beside = scene
        .live(load, Duration::ZERO, || {
            scene.verify();
            verified += 1;
        })
        .await;
    println!("verified {verified} times beside {beside}");
    scene.rest().await;
    scene.verify();

    assert!(verified > 0);
    assert!(
        scene
            .number("select count(*) from promotion where state <> 'withdrawn'")
            .await
            > 0
    );
    let accepted = |summary: &Value| summary["events"]["accepted"].as_i64().unwrap();
    let stored = scene.number("select count(*) from shopper_event").await;
    assert!(
        stored >= accepted(&alone) + accepted(&beside),
        "{stored} events stored"
    );
    assert_eq!(process.terminate().code(), Some(0));
}

/// Every role is killed in turn at random moments, and goes on where it was.
#[tokio::test]
async fn whoever_is_killed_loses_nothing() {
    let load = Load::of(load([200, 50, 45], SMALL), load([500, 100, 300], LARGE));
    let scene = Scene::open("killed", load.shop).await;
    let roles = ["replicate", "aggregate", "gateway"];
    let start = |role: &str| Tidewater::start(&[role], &scene.config);
    let mut processes: Vec<Tidewater> = roles.iter().map(|role| start(role)).collect();
    until_within(PATIENCE, "the first evaluation", async || {
        scene
            .number("select count(*) from sink_identity where evaluated_at is not null")
            .await
            == 1
    })
    .await;
    let simulator = scene.simulate(load);
    let done = CancellationToken::new();
    let mut sender = JoinSet::new();
    sender.spawn(send(scene.client(), done.clone()));
    let seed = random::seed();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Ten kills of each role in five minutes, as many for each second of a shorter run.
    let rounds = (load.seconds / 30).max(1);
    let pause = Duration::from_secs(load.seconds) / u32::try_from(rounds * 4).unwrap();
    let mut kills = 0;
    for _ in 0..rounds {
        for (role, process) in roles.iter().zip(&mut processes) {
            tokio::time::sleep(pause.mul_f64(rng.random_range(0.5..1.5))).await;
            std::mem::replace(process, start(role)).kill();
            kills += 1;
        }
    }
    let ended = simulator.wait(PATIENCE);
    let summary: Value = serde_json::from_str(&ended.output).unwrap();
    done.cancel();
    let sent = sender.join_next().await.unwrap().unwrap();
    scene.rest().await;
    println!(
        "seed {seed}: {kills} kills; {} events of the test; {summary}",
        sent.len()
    );

    let prefix = &scene.settings.kafka.as_ref().unwrap().prefix;
    let events = scene.field(&topics::events(prefix), "event_id");
    let lost: Vec<&String> = sent.difference(&events).collect();
    assert!(!sent.is_empty() && lost.is_empty(), "lost: {lost:?}");
    let accepted = usize::try_from(summary["events"]["accepted"].as_u64().unwrap()).unwrap();
    assert!(
        accepted > 0 && events.len() >= accepted + sent.len(),
        "{} in the topic, {accepted} accepted",
        events.len()
    );
    // Time makes tuples due at any moment; the next sweep sees them.
    until_within(
        PATIENCE,
        "everybody who is due to have a code",
        async || scene.forgotten().await == 0,
    )
    .await;
    let twice = "
        select count(*) from (
            select from promotion where state in ('issued', 'dispatched') and valid_until >= now()
            group by rule_id, customer_id, store_id, product_id having count(*) > 1) twice";
    assert_eq!(scene.number(twice).await, 0);
    let dispatched = "select promotion_id::text from promotion where dispatched_at is not null";
    let rows = scene.sink.query(dispatched, &[]).await.unwrap();
    let dispatched: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(!dispatched.is_empty());
    assert_eq!(
        scene.field(&topics::promotions(prefix), "promotion_id"),
        dispatched
    );
    scene.verify();
    for process in processes {
        assert_eq!(process.terminate().code(), Some(0));
    }
}
