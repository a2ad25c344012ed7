//! The gateway as a process of its own, on real servers, met over real sockets.

mod access;
mod events;
mod faults;
mod hostile;
mod keys;
mod reads;
mod roles;
mod schema;
mod tls;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tidewater::connection::{Connection, Database, connect};
use tidewater::exit::ExitCode;
use uuid::Uuid;

use crate::model::{Record, read_topic};
use crate::support::http::{Answer, Client, after};
use crate::support::{self, Tidewater, until};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// A gateway, its sink and its topic.
struct Scene {
    process: Tidewater,
    config: String,
    sink: Connection,
    brokers: String,
    topic: String,
}

impl Scene {
    /// A gateway on the shared servers; `more` is added to `[gateway]`.
    async fn start(name: &str, more: &str) -> Scene {
        Scene::at(name, &support::kafka_brokers(), more).await
    }

    /// A gateway on a broker of the test's own.
    async fn at(name: &str, brokers: &str, more: &str) -> Scene {
        let name = support::unique(name);
        let sink = support::database_url(&format!("{name}_sink"));
        Scene::with(config(&name, brokers, &sink, more)).await
    }

    /// A gateway with a whole configuration.
    async fn with(config: String) -> Scene {
        let settings = tidewater::config::parse(&config, []).unwrap();
        let kafka = settings.kafka.unwrap();
        let mut scene = Scene {
            process: Tidewater::start(&["gateway"], &config),
            config,
            sink: settings.sink.unwrap().connection,
            topic: format!("{}.events", kafka.prefix),
            brokers: kafka.brokers,
        };
        scene.serving().await;
        scene
    }

    async fn serving(&mut self) {
        until("the gateway to serve", async || {
            assert!(self.process.is_running(), "{}", self.process.log());
            self.process.log().contains("serving applications")
        })
        .await;
    }

    /// Where it listens.
    fn address(&self) -> String {
        after(&self.process.log(), "serving applications address=")
    }

    /// Where its metrics and its health are.
    fn health(&self) -> Client {
        let address = after(&self.process.log(), "serving metrics and health address=");
        Client::new(&address, None)
    }

    /// Makes a key with these scopes, and a client that has it, once the gateway knows it.
    async fn client(&self, scopes: &[&str]) -> Client {
        let client = Client::new(
            &self.address(),
            Some(self.key(&support::unique("key"), scopes)),
        );
        until("the key to be known", async || {
            client.get("/v1/levels").await.status != StatusCode::UNAUTHORIZED
        })
        .await;
        client
    }

    fn key(&self, name: &str, scopes: &[&str]) -> String {
        let mut arguments = vec!["keys", "create", "--json", "--name", name];
        for scope in scopes {
            arguments.extend(["--scope", scope]);
        }
        let made = Tidewater::run(&arguments, &self.config).expect(ExitCode::Success);
        let made: Value = serde_json::from_str(&made.output).unwrap();
        made["key"].as_str().unwrap().to_owned()
    }

    /// A client that may send events.
    async fn sender(&self) -> Client {
        self.client(&["events:write"]).await
    }

    async fn sink(&self) -> Database {
        connect(&self.sink).await.unwrap()
    }

    /// What is in the topic, in the order of partitions and offsets.
    fn records(&self) -> Vec<Record> {
        read_topic(&self.brokers, &self.topic)
    }

    /// How many records the topic has of each of these events.
    fn copies(&self, ids: &[Uuid]) -> Vec<usize> {
        let records = self.records();
        let values: Vec<Value> = records.iter().map(value).collect();
        let of = |id: &Uuid| {
            let id = id.to_string();
            values
                .iter()
                .filter(|value| value["event_id"] == id.as_str())
                .count()
        };
        ids.iter().map(of).collect()
    }

    /// The sum of a metric over its labels that contain this.
    async fn metric(&self, name: &str, label: &str) -> f64 {
        let metrics = self.health().get("/metrics").await.text;
        let lines = metrics.lines().filter(|line| {
            let of = line.strip_prefix(name);
            of.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        });
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum()
    }

    /// The condition of a stage.
    async fn condition(&self, stage: &str) -> String {
        let readiness = self.health().get("/readyz").await.json();
        let stages = readiness["stages"].as_array().unwrap();
        let found = stages.iter().find(|found| found["name"] == stage);
        found.unwrap()["condition"].as_str().unwrap().to_owned()
    }
}

/// A configuration; `more` is added to `[gateway]`.
fn config(prefix: &str, brokers: &str, sink: &str, more: &str) -> String {
    format!(
        "[kafka]\nbrokers = \"{brokers}\"\nprefix = \"{prefix}\"\npartitions = 2\n\
         [sink]\nurl = \"{sink}\"\n\
         [gateway]\nlisten = \"127.0.0.1:0\"\n{more}\n"
    )
}

fn value(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()
}

impl Client {
    /// Sends one event or a list of them.
    async fn events(&self, events: &Value) -> Answer {
        self.post("/v1/events", JSON, events.to_string()).await
    }
}

/// An event of its own id.
fn event(id: Uuid) -> Value {
    json!({
        "event_id": id, "type": "product_viewed", "customer_id": 7, "store_id": 1, "product_id": 2,
        "occurred_at": "2026-11-28T04:06:02.5+01:00"
    })
}

/// New ids.
fn ids(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::new_v4()).collect()
}

/// Events of these ids, as one list.
fn list(ids: &[Uuid]) -> Value {
    ids.iter().map(|id| event(*id)).collect()
}
