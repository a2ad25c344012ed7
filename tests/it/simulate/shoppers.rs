//! Simulated shoppers' events: through a real gateway into a real topic, each that was accepted once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::NamedTempFile;
use tidewater::config::settings::Kafka;
use tidewater::connection::Database;
use tidewater::exit::ExitCode;

use super::{SMALL, number, shop, simulate};
use crate::model::read_topic;
use crate::support::http::{after, key_file};
use crate::support::{Tidewater, free_port, until};

/// A small shop, and a gateway.
struct Scene {
    database: Database,
    config: String,
    gateway: Tidewater,
}

impl Scene {
    /// `more` is added to `[gateway]`.
    async fn start(name: &str, more: &str) -> Scene {
        let (database, config) = shop(name).await;
        let config = format!("{config}[gateway]\nlisten = \"127.0.0.1:0\"\n{more}\n");
        simulate(&[&["--setup-only"][..], &SMALL].concat(), &config);
        Scene {
            gateway: Tidewater::start(&["gateway"], &config),
            database,
            config,
        }
    }

    /// Where the gateway listens, as soon as it does.
    async fn url(&self) -> String {
        until("the gateway to serve", async || {
            self.gateway.log().contains("serving applications")
        })
        .await;
        let address = after(&self.gateway.log(), "serving applications address=");
        format!("http://{address}")
    }

    /// The events in the topic, in the order of partitions and offsets.
    fn events(&self) -> Vec<Value> {
        let settings = tidewater::config::parse(&self.config, []).unwrap();
        let Kafka {
            brokers, prefix, ..
        } = settings.kafka.unwrap();
        let records = read_topic(&brokers, &format!("{prefix}.events"));
        let value = |value: Option<Vec<u8>>| serde_json::from_slice(&value.unwrap()).unwrap();
        let events = records.into_iter().map(|record| value(record.value));
        events.collect()
    }
}

fn arguments<'a>(url: &'a str, key: &'a NamedTempFile, more: &[&'a str]) -> Vec<&'a str> {
    let key = key.path().to_str().unwrap();
    let where_to = ["--gateway", url, "--gateway-key-file", key];
    [&where_to[..], more].concat()
}

fn ids(events: &[Value]) -> BTreeSet<&str> {
    let ids = events
        .iter()
        .map(|event| event["event_id"].as_str().unwrap());
    ids.collect()
}

fn count(summary: &Value, name: &str) -> u64 {
    let count = summary["events"][name].as_u64();
    count.unwrap_or_else(|| panic!("no {name} in {summary}"))
}

#[tokio::test]
async fn every_accepted_event_is_in_the_topic_once() {
    let scene = Scene::start("visits", "").await;
    let url = scene.url().await;
    // The key is new: the gateway need not know it yet.
    let key = key_file("events:write", &scene.config);
    let more = ["--shoppers", "200", "--rate", "50", "--seconds", "6"];
    let summary = simulate(&arguments(&url, &key, &more), &scene.config);
    println!("{summary}");
    assert_eq!(count(&summary, "accepted"), 1_200, "{summary}");
    for none in ["refused", "unanswered", "repeated"] {
        assert_eq!(count(&summary, none), 0, "{summary}");
    }
    assert!(count(&summary, "requests") < 600, "{summary}");
    assert!(summary["events"]["late_p50_ms"].as_f64().unwrap() > 0.0);
    assert!(summary["placed"].as_u64().unwrap() > 0, "{summary}");

    let events = scene.events();
    assert_eq!(events.len(), 1_200);
    assert_eq!(ids(&events).len(), 1_200);
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for event in &events {
        *kinds.entry(event["type"].as_str().unwrap()).or_default() += 1;
        assert!((1..=3).contains(&event["store_id"].as_i64().unwrap()));
        assert!((1..=300).contains(&event["customer_id"].as_i64().unwrap()));
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    // Shoppers of the tier that earns codes come for what they buy again and again.
    let favourites = "
        select concat_ws(' ', o.customer_id, o.store_id, o.product_id)
        from orders o join customers c using (customer_id)
        where c.tier = 'premium' and o.placed_at < now() - interval '1 minute'
        group by o.customer_id, o.store_id, o.product_id having count(*) > 1";
    let rows = scene.database.query(favourites, &[]).await.unwrap();
    let favourites: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let of = |event: &Value| {
        let number = |name: &str| event[name].as_i64();
        let (customer, store) = (number("customer_id").unwrap(), number("store_id").unwrap());
        Some(format!("{customer} {store} {}", number("product_id")?))
    };
    let meant = events.iter().filter_map(of);
    let meant = meant.filter(|tuple| favourites.contains(tuple)).count();
    assert!(meant > 50, "{meant} of {} favourites", favourites.len());
    assert_eq!(scene.gateway.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_key_that_has_used_up_its_rate_is_sent_later() {
    let limits = "events_per_second = 50\nbatch_events_max = 100\nevents_burst = 100";
    let scene = Scene::start("limited", limits).await;
    let url = scene.url().await;
    let key = key_file("events:write", &scene.config);
    let more = ["--shoppers", "400", "--rate", "50", "--seconds", "4"];
    let summary = simulate(&arguments(&url, &key, &more), &scene.config);
    println!("{summary}");
    assert!(count(&summary, "put_off") > 0, "{summary}");
    // What is late waits where it is drawn: no more is in hand than the posters hold.
    assert!(count(&summary, "unanswered") <= 400, "{summary}");
    let accepted = count(&summary, "accepted");
    assert!((100..=600).contains(&accepted), "{summary}");
    let events = scene.events();
    assert_eq!(events.len() as u64, accepted);
    assert_eq!(ids(&events).len() as u64, accepted);
    assert_eq!(scene.gateway.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_gateway_that_goes_away_is_waited_for() {
    let mut scene = Scene::start("away", "").await;
    let fixed = format!("listen = \"127.0.0.1:{}\"", free_port());
    scene.config = scene.config.replace("listen = \"127.0.0.1:0\"", &fixed);
    scene.gateway = Tidewater::start(&["gateway"], &scene.config);
    let url = scene.url().await;
    let key = key_file("events:write", &scene.config);
    let more = ["--shoppers", "200", "--rate", "50"];
    let more = arguments(&url, &key, &more);
    let simulator = Tidewater::start(
        &[&["simulate", "--json"], &more[..]].concat(),
        &scene.config,
    );
    until("events", async || scene.events().len() > 100).await;
    scene.gateway.signal(Signal::SIGKILL);
    until("the simulator to notice", async || {
        simulator
            .log()
            .contains("the gateway does not take events: trying again")
    })
    .await;
    // The shop lives on meanwhile.
    let highest = "select max(order_id) from orders where order_id < 1000000000";
    let before = number(&scene.database, highest).await;
    until("orders", async || {
        number(&scene.database, highest).await > before + 20
    })
    .await;
    scene.gateway = Tidewater::start(&["gateway"], &scene.config);
    until("the simulator to go on", async || {
        simulator.log().contains("the gateway takes events again")
    })
    .await;
    let before = scene.events().len();
    until("more events", async || scene.events().len() > before + 100).await;
    let ended = simulator.terminate().expect(ExitCode::Success);
    let summary: Value = serde_json::from_str(&ended.output).unwrap();
    println!("{summary}");
    // The topic may have an event twice whose answer was lost; it has every one that was accepted.
    let distinct = ids(&scene.events()).len() as u64;
    let accepted = count(&summary, "accepted");
    let at_most = accepted + count(&summary, "unanswered");
    assert!(
        (accepted..=at_most).contains(&distinct),
        "{distinct}: {summary}"
    );
    assert_eq!(scene.gateway.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_gateway_that_never_answers_leaves_the_shop_alone() {
    let (_database, config) = shop("nobody").await;
    let url = format!("http://127.0.0.1:{}", free_port());
    let more = ["--shoppers", "50", "--rate", "100", "--seconds", "2"];
    let config =
        format!("{config}[simulate]\ngateway_url = \"{url}\"\ngateway_key = \"tw_none\"\n");
    let arguments = [&["simulate", "--json"], &more[..], &SMALL].concat();
    let ended = Tidewater::run(&arguments, &config).expect(ExitCode::Success);
    let summary: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(count(&summary, "accepted"), 0, "{summary}");
    assert!(count(&summary, "unanswered") > 0, "{summary}");
    assert!(summary["changes"].as_u64().unwrap() > 150, "{summary}");
    let lines = ended
        .log
        .matches("the gateway does not take events")
        .count();
    assert_eq!(lines, 1, "{}", ended.log);
    assert!(ended.log.contains("Connection refused"), "{}", ended.log);
}

#[tokio::test]
async fn a_key_that_does_not_do_ends_it() {
    let scene = Scene::start("keys", "").await;
    let url = scene.url().await;
    let reads = key_file("read", &scene.config);
    let unknown = NamedTempFile::new().unwrap();
    let text = format!("tw_{}_{}", "0".repeat(16), "A".repeat(43));
    std::fs::write(&unknown, text).unwrap();
    let more = ["--shoppers", "50", "--rate", "50"];
    for (key, parts) in [
        (
            &unknown,
            "does not know the key: make one with tidewater keys create",
        ),
        (&reads, "answers 403"),
    ] {
        let arguments = [&["simulate"], &arguments(&url, key, &more)[..]].concat();
        let ended = Tidewater::start(&arguments, &scene.config).wait(Duration::from_mins(1));
        let ended = ended.expect(ExitCode::Configuration);
        assert!(ended.log.contains(parts), "{}", ended.log);
        assert!(
            !ended.log.contains("AAAA"),
            "the key is shown: {}",
            ended.log
        );
    }
    let refused = |more: &[&str], part: &str| {
        let arguments = [&["simulate", "--shoppers", "1"], more].concat();
        let ended = Tidewater::run(&arguments, &scene.config).expect(ExitCode::Configuration);
        assert!(ended.log.contains(part), "{}", ended.log);
    };
    refused(&[], "shoppers need a key of the gateway");
    refused(
        &["--gateway-key-file", "/nowhere"],
        "cannot be read from /nowhere",
    );
    refused(
        &["--gateway", "shop.example.com"],
        "http:// or https:// URL",
    );
    assert_eq!(scene.gateway.terminate().code(), Some(0));
}
