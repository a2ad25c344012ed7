//! How long a row takes from before its insert to its receipt by a read_committed consumer, exactly
//! once, at a steady rate.
//!
//! Generator and consumer are in this process, so both read one clock. Each insert is due at its own
//! time; a generator that is late measures a different load, so a late run is void and is repeated.

#![allow(
    clippy::indexing_slicing,
    reason = "a JSON value answers an unknown name with null, and a benchmark may end"
)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::{Value, json};
use support::process;
use support::replicator::Replicator;
use support::servers::{Servers, Transport};
use support::source::{PUBLICATION, Source};
use support::{Fallible, machine, report};

const PARTITIONS: i32 = 6;
/// Half of the rows may not be later than this for a run to count, nor may one in a hundred be later
/// than [`LATE_P99_MS_MAX`].
const LATE_P50_MS_MAX: f64 = 1.0;
const LATE_P99_MS_MAX: f64 = 10.0;
/// Void runs that are repeated before the measurement fails.
const ATTEMPTS: u32 = 5;
/// After the last insert its row arrives within this, or the run has failed.
const STRAGGLER_TIMEOUT: Duration = Duration::from_secs(30);

/// Measures latency from before the insert to read_committed receipt.
#[derive(Debug, Parser)]
struct Options {
    /// Rows a second; each in turn, the last is the headline
    #[arg(long, value_delimiter = ',', default_values_t = [500, 5_000])]
    rate: Vec<u32>,
    /// Rows of one insert, which is a transaction
    #[arg(long, default_value_t = 10)]
    rows_per_insert: u32,
    /// Measured seconds of each rate
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Seconds at the highest rate before anything is measured: they warm the broker
    #[arg(long, default_value_t = 30)]
    warm_seconds: u32,
    /// Connections that insert in turn
    #[arg(long, default_value_t = 4)]
    connections: u32,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// One steady stretch: rows `first ..` are due one insert after the other.
struct Load {
    first: u32,
    inserts: u32,
    rows_per_insert: u32,
    connections: u32,
    interval: Duration,
    began: Instant,
    /// When each insert was sent, nanoseconds after `began`; zero before.
    sent: Vec<AtomicU64>,
}

struct Measured {
    latency: Histogram<u64>,
    lateness: Histogram<u64>,
    seconds: f64,
}

fn main() -> Fallible<()> {
    let options = Options::parse();
    support::run(measure(&options))
}

async fn measure(options: &Options) -> Fallible<()> {
    let servers = Servers::find()?;
    let load_before = machine::load();
    let source = Source::create(&servers.postgres, "latency").await?;
    let versions = machine::versions(&source.database, &servers).await?;
    let url = servers.url(&source.name, Transport::Tcp);
    let mut replicator = Replicator::start(&format!(
        "[source]\nurl = \"{url}\"\npublication = \"{PUBLICATION}\"\nsnapshot = \"never\"\n\
         [kafka]\nbrokers = \"{}\"\nprefix = \"latency\"\npartitions = {PARTITIONS}\n",
        servers.brokers,
    ))?;
    while !replicator.log().contains("\"streaming\"") {
        replicator.check()?;
        tokio::time::sleep(process::LOOK).await;
    }
    let consumer = servers.consumer()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset("latency.public.orders", partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let mut next = 1;
    let fastest = options.rate.iter().copied().max().unwrap_or_default();
    let mut stretch = |rate: u32, seconds: u32| {
        let load = Load::new(options, next, rate, seconds);
        next += load.inserts * load.rows_per_insert;
        load.run(&url, &consumer)
    };
    report::line(&format!("warming for {} s", options.warm_seconds));
    stretch(fastest, options.warm_seconds)?;
    let mut results = Vec::new();
    for rate in &options.rate {
        let pid = replicator.pid();
        results.push(steady(options, *rate, pid, &mut stretch)?);
        replicator.check()?;
    }
    let load_after = machine::load();
    replicator.stop()?;
    source.remove().await?;
    let mut report = results.last().cloned().unwrap_or_default();
    report["name"] = json!("latency");
    report["machine"] = machine::machine();
    report["versions"] = versions;
    report["settings"] = json!({
        "table": "ten columns, benches/orders.sql",
        "partitions": PARTITIONS,
        "delivery": "exactly-once",
        "rows_per_insert": options.rows_per_insert,
        "connections": options.connections,
        "fsync": servers.fsync,
    });
    report["load_before"] = json!(load_before);
    report["load_after"] = json!(load_after);
    report["results"] = json!(results);
    report::write("latency", &report)?;
    report::surroundings(&report);
    print(&results);
    Ok(())
}

/// Measures one rate, again when the generator was late.
fn steady(
    options: &Options,
    rate: u32,
    pid: u32,
    stretch: &mut impl FnMut(u32, u32) -> Fallible<Measured>,
) -> Fallible<Value> {
    for _ in 0..ATTEMPTS {
        let cpu = process::cpu_seconds(pid);
        let measured = stretch(rate, options.seconds)?;
        let cpu = process::cpu_seconds(pid) - cpu;
        let result = result(options, rate, &measured, cpu, pid);
        if result["void"] == false {
            return Ok(result);
        }
        report::line(&format!(
            "void, the generator was late: p99 {} ms; latency p50 {} ms, p99 {} ms; load {}",
            result["lateness"]["p99_ms"],
            result["p50_ms"],
            result["p99_ms"],
            machine::load(),
        ));
    }
    Err("the generator was late in every attempt: the machine is too busy".into())
}

impl Load {
    fn new(options: &Options, first: u32, rate: u32, seconds: u32) -> Load {
        let inserts = rate * seconds / options.rows_per_insert;
        Load {
            first,
            inserts,
            rows_per_insert: options.rows_per_insert,
            connections: options.connections,
            interval: Duration::from_secs(1) * options.rows_per_insert / rate,
            began: Instant::now() + Duration::from_millis(100),
            sent: (0..inserts).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Inserts on threads of their own, receives on this one.
    fn run(&self, url: &str, consumer: &BaseConsumer) -> Fallible<Measured> {
        std::thread::scope(|scope| {
            let generators: Vec<_> = (0..self.connections)
                .map(|connection| scope.spawn(move || self.insert(url, connection)))
                .collect();
            let latency = self.receive(consumer)?;
            let seconds = self.began.elapsed().as_secs_f64();
            let mut lateness = Histogram::new(3)?;
            for generator in generators {
                lateness.add(generator.join().map_err(|_| "a generator panicked")??)?;
            }
            Ok(Measured {
                latency,
                lateness,
                seconds,
            })
        })
    }

    /// Sends every `connections`-th insert when it is due; how late each was, microseconds.
    fn insert(&self, url: &str, connection: u32) -> Fallible<Histogram<u64>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let database = runtime.block_on(tidewater::connection::connect(&url.parse()?))?;
        let insert = runtime.block_on(database.prepare(INSERT))?;
        let rows = i64::from(self.rows_per_insert);
        let mut lateness = Histogram::new(3)?;
        for index in (connection..self.inserts).step_by(self.connections as usize) {
            let due = self.began + self.interval * index;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let first = i64::from(self.first) + i64::from(index) * rows;
            let now = Instant::now();
            let sent = u64::try_from((now - self.began).as_nanos())?;
            self.sent[index as usize].store(sent, Ordering::Release);
            lateness.record(u64::try_from((now - due).as_micros())?)?;
            runtime.block_on(database.execute(&insert, &[&first, &(first + rows - 1)]))?;
        }
        Ok(lateness)
    }

    /// Receives every row of the load once; the latency of each, microseconds.
    fn receive(&self, consumer: &BaseConsumer) -> Fallible<Histogram<u64>> {
        let rows = self.inserts * self.rows_per_insert;
        let mut seen = vec![false; rows as usize];
        let mut latency = Histogram::new(3)?;
        let deadline = self.began + self.interval * self.inserts + STRAGGLER_TIMEOUT;
        while latency.len() < u64::from(rows) {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                if Instant::now() > deadline {
                    return Err(format!("{} of {rows} rows arrived", latency.len()).into());
                }
                continue;
            };
            let message = message?;
            let now = u64::try_from(self.began.elapsed().as_nanos())?;
            let Some(key) = message.key() else {
                // A mark of the replicator's own.
                continue;
            };
            let row = order_id(key)? - self.first;
            let seen = seen.get_mut(row as usize).ok_or("a row of another load")?;
            if std::mem::replace(seen, true) {
                return Err(format!("row {row} arrived twice").into());
            }
            let sent = self.sent[(row / self.rows_per_insert) as usize].load(Ordering::Acquire);
            latency.record((now - sent) / 1_000)?;
        }
        Ok(latency)
    }
}

/// Ten columns, as `orders.sql` fills them.
const INSERT: &str = "insert into orders select n, 1000000 + n * 7919 % 100000, \
    (100 + n * 104729 % 99900) / 100.0, 1 + n % 9, 'SKU-' || lpad((n * 31 % 1000000)::text, 6, '0'), \
    now(), now()::timestamp + interval '2 days', n % 2 = 0, \
    rpad('order ' || n || ' is packed at the counter, wrapped, and left with the neighbour', 70, '.'), \
    md5(n::text)::uuid from generate_series($1::bigint, $2::bigint) as n";

/// `{"order_id":7}`
fn order_id(key: &[u8]) -> Fallible<u32> {
    let key: Value = serde_json::from_slice(key)?;
    let id = key["order_id"].as_u64().ok_or("a key without order_id")?;
    Ok(u32::try_from(id)?)
}

fn result(options: &Options, rate: u32, measured: &Measured, cpu: f64, pid: u32) -> Value {
    let at = |of: &Histogram<u64>, quantile: f64| of.value_at_quantile(quantile) as f64 / 1e3;
    let (latency, lateness) = (&measured.latency, &measured.lateness);
    let (late_p50, late_p99) = (at(lateness, 0.5), at(lateness, 0.99));
    let rows = rate * options.seconds;
    json!({
        "rate": rate,
        "rows": rows,
        "seconds": measured.seconds,
        "rows_per_second": f64::from(rows) / measured.seconds,
        "p50_ms": at(latency, 0.5),
        "p99_ms": at(latency, 0.99),
        "max_ms": latency.max() as f64 / 1e3,
        "lateness": { "p50_ms": late_p50, "p99_ms": late_p99, "max_ms": lateness.max() as f64 / 1e3 },
        "void": late_p50 > LATE_P50_MS_MAX || late_p99 > LATE_P99_MS_MAX,
        "cpu_seconds": cpu,
        "cpu_us_per_row": cpu * 1e6 / f64::from(rows),
        "rss_peak_bytes": process::resident_peak_bytes(pid),
    })
}

fn print(results: &[Value]) {
    let heads = [
        "latency",
        "rows",
        "p50 ms",
        "p99 ms",
        "max ms",
        "late p50",
        "late p99",
        "CPU us/row",
        "peak MB",
    ];
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|result| {
            let number = |value: &Value| value.as_f64().unwrap_or_default();
            vec![
                format!("{} rows/s", result["rate"]),
                result["rows"].to_string(),
                format!("{:.1}", number(&result["p50_ms"])),
                format!("{:.1}", number(&result["p99_ms"])),
                format!("{:.1}", number(&result["max_ms"])),
                format!("{:.2}", number(&result["lateness"]["p50_ms"])),
                format!("{:.2}", number(&result["lateness"]["p99_ms"])),
                format!("{:.2}", number(&result["cpu_us_per_row"])),
                format!("{:.1}", number(&result["rss_peak_bytes"]) / 1e6),
            ]
        })
        .collect();
    report::table(&heads, &rows);
}
