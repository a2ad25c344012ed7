//! How many events a second the gateway takes in, in lists and singly, over connections that stay open, and what
//! one costs: each is acknowledged by Kafka (acks=all) before its request is answered.
//!
//! Generator, gateway and broker share the machine. Each connection sends its next request when the one before is
//! answered, or, with a rate, when it is due; then latency counts from when it was due.

#![allow(
    clippy::indexing_slicing,
    reason = "two figures of two processes, and a benchmark may end"
)]

mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use clap::Parser;
use hdrhistogram::Histogram;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use support::replicator::Replicator;
use support::servers::{Servers, Transport, records};
use support::source::Source;
use support::{Fallible, machine, process, report};
use tidewater::gateway::Scope;
use tokio::task::JoinSet;
use uuid::Uuid;

const TOPIC: &str = "gateway.events";
const PARTITIONS: i32 = 6;
/// The gateway reads its keys every second.
const KEY_KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// Measures events taken in a second, the latency of their requests, and the CPU of each.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// Events of one list
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Connections that send lists
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Connections that send single events
    #[arg(long, default_value_t = 64)]
    single_connections: u32,
    /// Events a second in lists, where latency is measured at a steady rate
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// Measured seconds of each
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Seconds before anything is measured: they warm the broker
    #[arg(long, default_value_t = 10)]
    warm_seconds: u64,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// One kind of load.
#[derive(Clone, Copy, Debug)]
struct Load {
    name: &'static str,
    batch: usize,
    connections: u32,
    /// Time between two requests of one connection; `None`: as soon as the one before is answered.
    interval: Option<Duration>,
}

/// Where events go, and by which key.
#[derive(Clone, Debug)]
struct Target {
    address: SocketAddr,
    key: String,
}

struct Measured {
    events: u64,
    latency: Histogram<u64>,
}

fn main() -> Fallible<()> {
    let options = Options::parse();
    support::run(measure(&options))
}

async fn measure(options: &Options) -> Fallible<()> {
    let servers = Servers::find()?;
    let load_before = machine::load();
    let source = Source::create(&servers.postgres, "gateway").await?;
    let versions = machine::versions(&source.database, &servers).await?;
    let (mut gateway, target) = start(&servers, &source).await?;
    let [lists, steady, singles] = Load::all(options);
    let known = Instant::now() + KEY_KNOWN_WITHIN;
    while singles.run(&target, 0).await.is_err() {
        if Instant::now() > known {
            return Err("the gateway does not know the key".into());
        }
        tokio::time::sleep(process::LOOK).await;
    }
    report::line(&format!("warming for {} s", options.warm_seconds));
    lists.run(&target, options.warm_seconds).await?;
    let mut results = Vec::new();
    for load in [lists, steady, singles] {
        let pids = (gateway.pid(), servers.broker_pid);
        results.push(load.measure(&target, options.seconds, pids).await?);
        gateway.check()?;
    }
    let sent = records(&servers.consumer()?, TOPIC)?;
    let load_after = machine::load();
    gateway.stop()?;
    source.remove().await?;
    let mut report = results.first().cloned().unwrap_or_default();
    let surroundings = json!({
        "name": "gateway",
        "machine": machine::machine(),
        "versions": versions,
        "settings": {
            "partitions": PARTITIONS, "acks": "all", "batch": options.batch,
            "connections": options.connections, "single_connections": options.single_connections,
        },
        "load_before": load_before,
        "load_after": load_after,
        "records": sent,
        "results": results,
    });
    if let (Value::Object(report), Value::Object(more)) = (&mut report, surroundings) {
        report.extend(more);
    }
    report::write("gateway", &report)?;
    report::surroundings(&report);
    print(&results);
    Ok(())
}

/// Starts the gateway, and makes a key.
async fn start(servers: &Servers, source: &Source) -> Fallible<(Replicator, Target)> {
    let sink = servers.url(&source.name, Transport::Tcp);
    let mut gateway = Replicator::start_as(
        "gateway",
        &format!(
            "[kafka]\nbrokers = \"{}\"\nprefix = \"gateway\"\npartitions = {PARTITIONS}\n\
             [sink]\nurl = \"{sink}\"\n\
             [gateway]\nlisten = \"127.0.0.1:0\"\nevents_per_second = 1000000\nevents_burst = 1000000\n",
            servers.brokers,
        ),
    )?;
    let address = loop {
        if let Some(address) = address(&gateway.log()) {
            break address;
        }
        gateway.check()?;
        tokio::time::sleep(process::LOOK).await;
    };
    let database = tidewater::connection::connect(&sink.parse()?).await?;
    let key = tidewater::gateway::create(&database, "bench", &[Scope::EventsWrite]).await?;
    let key = key.text;
    Ok((gateway, Target { address, key }))
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Where it serves applications, by its log.
fn address(log: &str) -> Option<SocketAddr> {
    let line = log
        .lines()
        .find(|line| line.contains("serving applications"))?;
    let line: Value = serde_json::from_str(line).ok()?;
    line.pointer("/fields/address")?.as_str()?.parse().ok()
}

impl Load {
    /// Lists as fast as they are answered, lists at a steady rate, single events.
    fn all(options: &Options) -> [Load; 3] {
        let events = options.batch as f64 * f64::from(options.connections);
        let lists = Load {
            name: "lists",
            batch: options.batch,
            connections: options.connections,
            interval: None,
        };
        let steady = Load {
            name: "lists, steady",
            interval: Some(Duration::from_secs_f64(events / f64::from(options.rate))),
            ..lists
        };
        let singles = Load {
            name: "singly",
            batch: 1,
            connections: options.single_connections,
            interval: None,
        };
        [lists, steady, singles]
    }

    /// Runs it, and watches the gateway and the broker, which have these process ids.
    async fn measure(
        self,
        target: &Target,
        seconds: u64,
        (gateway, broker): (u32, u32),
    ) -> Fallible<Value> {
        let cpu = || [gateway, broker].map(process::cpu_seconds);
        let before = cpu();
        let began = Instant::now();
        let measured = self.run(target, seconds).await?;
        let seconds = began.elapsed().as_secs_f64();
        let events = measured.events as f64;
        let after = cpu();
        let [cpu, broker_cpu] = [after[0] - before[0], after[1] - before[1]];
        let ms = |quantile: f64| measured.latency.value_at_quantile(quantile) as f64 / 1e3;
        Ok(json!({
            "load": self.name,
            "events": measured.events,
            "events_per_second": (events / seconds).round(),
            "requests_per_second": (events / self.batch as f64 / seconds).round(),
            "p50_ms": ms(0.5),
            "p99_ms": ms(0.99),
            "cpu_us_per_event": rounded(cpu * 1e6 / events),
            "broker_cpu_us_per_event": rounded(broker_cpu * 1e6 / events),
            "rss_peak_bytes": process::resident_peak_bytes(gateway),
        }))
    }

    async fn run(self, target: &Target, seconds: u64) -> Fallible<Measured> {
        let mut tasks = JoinSet::new();
        let until = Instant::now() + Duration::from_secs(seconds);
        for connection in 0..self.connections {
            let target = target.clone();
            tasks.spawn(async move { self.send(connection, &target, until).await });
        }
        let mut measured = Measured {
            events: 0,
            latency: Histogram::new(3)?,
        };
        while let Some(ended) = tasks.join_next().await {
            let ended = ended??;
            measured.events += ended.events;
            measured.latency.add(ended.latency)?;
        }
        Ok(measured)
    }

    /// Sends over one connection; the requests of all are spread over the interval.
    async fn send(self, number: u32, target: &Target, until: Instant) -> Fallible<Measured> {
        let stream = tokio::net::TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let mut measured = Measured {
            events: 0,
            latency: Histogram::new(3)?,
        };
        let interval = self.interval.unwrap_or_default();
        let mut next = Instant::now() + interval * number / self.connections;
        loop {
            let due = if self.interval.is_some() {
                next
            } else {
                Instant::now()
            };
            if self.interval.is_some() {
                tokio::time::sleep_until(due.into()).await;
            }
            next += interval;
            self.request(&mut sender, &target.key).await?;
            measured.events += self.batch as u64;
            let taken = u64::try_from(due.elapsed().as_micros())?;
            measured.latency.record(taken)?;
            if Instant::now() >= until {
                return Ok(measured);
            }
        }
    }

    async fn request(&self, sender: &mut SendRequest<Body>, key: &str) -> Fallible<()> {
        let request = Request::post("/v1/events")
            .header("host", "gateway")
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .body(Body::from(self.body()))?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.as_u16() == 202 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&body);
        Err(format!("answered {status}: {text}").into())
    }

    fn body(&self) -> String {
        let mut body = String::with_capacity(200 * self.batch + 2);
        for index in 0..self.batch {
            let id = Uuid::new_v4();
            let customer = id.as_u128() % 100_000;
            body.push(if index == 0 { '[' } else { ',' });
            let _ = write!(
                body,
                "{{\"event_id\":\"{id}\",\"type\":\"product_viewed\",\"customer_id\":{customer},\
                 \"store_id\":1,\"product_id\":{},\"occurred_at\":\"2026-11-28T04:06:02.125+01:00\"}}",
                customer % 500
            );
        }
        if self.batch == 1 {
            body.remove(0);
        } else {
            body.push(']');
        }
        body
    }
}

fn print(results: &[Value]) {
    let columns = [
        "load",
        "events_per_second",
        "requests_per_second",
        "p50_ms",
        "p99_ms",
        "cpu_us_per_event",
        "broker_cpu_us_per_event",
    ];
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let row = |result: &Value| {
        columns
            .iter()
            .map(|column| text(result.get(column)))
            .collect()
    };
    let rows: Vec<Vec<String>> = results.iter().map(row).collect();
    report::table(&columns, &rows);
}
