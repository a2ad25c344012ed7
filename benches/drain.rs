//! How fast a filled slot is drained: `tidewater replicate` into a real Kafka, exactly once, beside
//! pg_recvlogical into nothing.
//!
//! The slot is filled once and copied for each run, so that all drain the same contents; the two take
//! turns, and a ratio is one of two runs that followed each other. The clock runs from the first change
//! that arrives to the committed position that covers the last row (pg_recvlogical: to its end).

#![allow(
    clippy::indexing_slicing,
    reason = "a JSON value answers an unknown name with null, and a benchmark may end"
)]

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use rdkafka::consumer::Consumer;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::{Value, json};
use support::process::{self, LOOK};
use support::replicator::Replicator;
use support::servers::{Servers, Transport};
use support::source::{PUBLICATION, Source};
use support::{Fallible, machine, median, report};
use tidewater::event::Lsn;
use tidewater::kafka::PositionRecord;

/// Both contenders' `logical_decoding_work_mem`: tidewater's default.
const DECODING_MEMORY: &str = "256MB";
/// A run that takes longer than this has failed.
const RUN_TIMEOUT: Duration = Duration::from_mins(10);

/// Drains a filled slot, in turns with pg_recvlogical.
#[derive(Debug, Parser)]
struct Options {
    /// Rows in the slot
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// Alternating pairs of runs, after one that only warms
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Rows of a source transaction; each in turn, the first is the headline
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 1_000_000])]
    transaction_rows: Vec<u32>,
    /// How both reach PostgreSQL; each in turn
    #[arg(long, value_delimiter = ',', default_value = "tcp")]
    transport: Vec<Transport>,
    /// Update every row once, all in one transaction
    #[arg(long)]
    updates: bool,
    /// Keep the rows in a row store, which knows none before
    #[arg(long)]
    row_store: bool,
    /// A librdkafka setting, name=value
    #[arg(long)]
    producer: Vec<String>,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one run cost.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    seconds: f64,
    cpu: f64,
    walsender_cpu: f64,
    broker_cpu: f64,
    /// Of tidewater's CPU that of librdkafka's own threads.
    librdkafka_cpu: f64,
    resident_peak: u64,
    /// The row store's file on disk.
    store_bytes: u64,
}

struct Bench {
    servers: Servers,
    source: Source,
    transport: Transport,
    /// After everything but the commit of the last row.
    end: Lsn,
    producer: String,
    row_store: bool,
    runs: u32,
}

fn main() -> Fallible<()> {
    let options = Options::parse();
    support::run(measure(&options))
}

async fn measure(options: &Options) -> Fallible<()> {
    let mut servers = Servers::find()?;
    let load_before = machine::load();
    let mut results = Vec::new();
    let mut versions = Value::Null;
    for (index, transaction_rows) in options.transaction_rows.iter().enumerate() {
        let transaction_rows = *transaction_rows.min(&options.rows);
        let name = format!("drain_{index}");
        let source = Source::create(&servers.postgres, &name).await?;
        versions = machine::versions(&source.database, &servers).await?;
        report::line(&format!(
            "filling a slot: {} rows, {transaction_rows} a transaction",
            options.rows
        ));
        let end = source
            .fill(options.rows, transaction_rows, options.updates)
            .await?;
        let mut bench = Bench {
            servers,
            source,
            transport: Transport::Tcp,
            end: end.parse()?,
            producer: producer_settings(&options.producer),
            row_store: options.row_store,
            runs: 0,
        };
        for transport in &options.transport {
            bench.transport = *transport;
            let changes = options.rows * (1 + u32::from(options.updates)) + 1;
            let mut result = bench.pairs(changes, options.pairs).await?;
            if options.row_store {
                let bytes = result["store_bytes"].as_f64().unwrap_or_default();
                let per_row = bytes / f64::from(options.rows);
                report::line(&format!("row store: {per_row:.0} bytes on disk a row"));
            }
            result["transaction_rows"] = json!(transaction_rows);
            results.push(result);
        }
        bench.source.remove().await?;
        servers = bench.servers;
    }
    let mut report = results.first().cloned().unwrap_or_default();
    let rest = json!({
        "name": "drain",
        "machine": machine::machine(),
        "versions": versions,
        "settings": {
            "table": "ten columns, benches/orders.sql",
            "partitions": 6,
            "delivery": "exactly-once",
            "compression": "lz4",
            "producer": options.producer,
            "updates": options.updates,
            "row_store": options.row_store,
            "logical_decoding_work_mem": DECODING_MEMORY,
            "fsync": servers.fsync,
            "pairs": options.pairs,
        },
        "load_before": load_before,
        "load_after": machine::load(),
        "results": results,
    });
    merge(&mut report, rest);
    report::write("drain", &report)?;
    report::surroundings(&report);
    print(&results);
    Ok(())
}

fn producer_settings(settings: &[String]) -> String {
    let lines = settings.iter().filter_map(|setting| {
        let (name, value) = setting.split_once('=')?;
        Some(format!("\"{name}\" = \"{value}\"\n"))
    });
    lines.collect()
}

fn merge(report: &mut Value, rest: Value) {
    if let (Value::Object(report), Value::Object(rest)) = (report, rest) {
        report.extend(rest);
    }
}

impl Bench {
    /// Alternating pairs, the first of which only warms; their medians.
    async fn pairs(&mut self, rows: u32, count: usize) -> Fallible<Value> {
        let mut pairs = Vec::new();
        for pair in 0..=count {
            let tidewater = self.tidewater().await?;
            let receiver = self.pg_recvlogical().await?;
            let note = if pair == 0 { " (warms)" } else { "" };
            report::line(&format!(
                "{} tidewater {:.2} s, {:.2} us CPU/row; pg_recvlogical {:.2} s, {:.2} us; load {}{note}",
                self.transport.name(),
                tidewater.seconds,
                tidewater.cpu * 1e6 / f64::from(rows),
                receiver.seconds,
                receiver.cpu * 1e6 / f64::from(rows),
                machine::load(),
            ));
            if pair > 0 {
                pairs.push((tidewater, receiver));
            }
        }
        let ratio =
            |of: fn(&Run) -> f64| median(pairs.iter().map(|(one, other)| of(one) / of(other)));
        let tidewater = of_runs(rows, pairs.iter().map(|(run, _)| *run).collect());
        let receiver = of_runs(rows, pairs.iter().map(|(_, run)| *run).collect());
        let mut result = tidewater;
        merge(
            &mut result,
            json!({
                "transport": self.transport.name(),
                "ratio_to_pg_recvlogical": 1.0 / ratio(|run| run.seconds),
                "cpu_ratio_to_pg_recvlogical": ratio(|run| run.cpu),
                "pg_recvlogical": receiver,
            }),
        );
        Ok(result)
    }

    /// tidewater, with a prefix and a slot of its own.
    async fn tidewater(&mut self) -> Fallible<Run> {
        self.runs += 1;
        let prefix = format!("{}_{}", self.source.name, self.runs);
        let slot = &prefix;
        self.source.copy_slot(slot).await?;
        let directory = tempfile::TempDir::new()?;
        let row_store = if self.row_store {
            let path = directory.path().display();
            format!("[row_store]\npath = \"{path}\"\nmissing = \"as-sent\"\n")
        } else {
            String::new()
        };
        let config = format!(
            "{row_store}[source]\nurl = \"{}\"\nslot = \"{slot}\"\npublication = \"{PUBLICATION}\"\n\
             snapshot = \"never\"\n[kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\n\
             [kafka.producer]\n{}",
            self.servers.url(&self.source.name, self.transport),
            self.servers.brokers,
            self.producer,
        );
        let broker_cpu = process::cpu_seconds(self.servers.broker_pid);
        let mut replicator = Replicator::start(&config)?;
        let began = first_change(&mut replicator)?;
        let walsender = self.source.walsender(slot).await?;
        let walsender = walsender.ok_or("nobody reads the slot")?;
        let ended =
            self.wait_for_position(&format!("__tidewater.{prefix}.{slot}"), &mut replicator)?;
        let pid = replicator.pid();
        let librdkafka = process::threads(pid)
            .into_iter()
            .filter(|(name, _)| name.starts_with("rdk:"))
            .map(|(_, seconds)| seconds)
            .sum();
        let mut run = Run {
            store_bytes: 0,
            seconds: ended - began,
            cpu: process::cpu_seconds(pid),
            walsender_cpu: walsender_cpu(walsender).unwrap_or_default(),
            broker_cpu: process::cpu_seconds(self.servers.broker_pid) - broker_cpu,
            librdkafka_cpu: librdkafka,
            resident_peak: process::resident_peak_bytes(pid),
        };
        replicator.stop()?;
        if let Ok(file) = std::fs::metadata(directory.path().join("rows.redb")) {
            run.store_bytes = std::os::unix::fs::MetadataExt::blocks(&file) * 512;
        }
        self.source.drop_slot(slot).await?;
        self.servers.delete_topics(&prefix).await?;
        Ok(run)
    }

    /// Reads positions until one covers the last row; when that was.
    fn wait_for_position(&self, topic: &str, replicator: &mut Replicator) -> Fallible<f64> {
        let consumer = self.servers.consumer()?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&partitions)?;
        let deadline = unix_seconds() + RUN_TIMEOUT.as_secs_f64();
        while unix_seconds() < deadline {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                replicator.check()?;
                continue;
            };
            let message = message?;
            if message.key() != Some(b"stream") {
                continue;
            }
            let record: PositionRecord =
                serde_json::from_slice(message.payload().unwrap_or_default())?;
            if record.commit_lsn >= self.end && record.resume_lsn > record.commit_lsn {
                return Ok(unix_seconds());
            }
        }
        Err(format!("not done in time:\n{}", replicator.log()).into())
    }

    /// pg_recvlogical into nothing, with the same options.
    async fn pg_recvlogical(&mut self) -> Fallible<Run> {
        self.runs += 1;
        let slot = format!("{}_{}", self.source.name, self.runs);
        self.source.copy_slot(&slot).await?;
        let children_cpu = process::children_cpu_seconds();
        let mut child = Command::new("pg_recvlogical")
            .args(["--start", "--no-loop", "-f", "/dev/null", "-S", &slot, "-d"])
            .arg(self.servers.url(&self.source.name, self.transport))
            .arg(format!("--endpos={}", self.end))
            .args(["-o", "proto_version=1", "-o", "messages=true", "-o"])
            .arg(format!("publication_names={PUBLICATION}"))
            .env(
                "PGOPTIONS",
                format!("-c logical_decoding_work_mem={DECODING_MEMORY}"),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let walsender = loop {
            if let Some(pid) = self.source.walsender(&slot).await? {
                break pid;
            }
            std::thread::sleep(LOOK);
        };
        while process::bytes_written(child.id()) == 0 && child.try_wait()?.is_none() {
            std::thread::sleep(LOOK);
        }
        let began = unix_seconds();
        let mut run = Run::default();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            run.walsender_cpu = walsender_cpu(walsender).unwrap_or(run.walsender_cpu);
            run.resident_peak = process::resident_peak_bytes(child.id()).max(run.resident_peak);
            std::thread::sleep(LOOK);
        };
        run.seconds = unix_seconds() - began;
        run.cpu = process::children_cpu_seconds() - children_cpu;
        if !status.success() {
            return Err(format!("pg_recvlogical ended, {status}").into());
        }
        self.source.drop_slot(&slot).await?;
        Ok(run)
    }
}

fn walsender_cpu(pid: u32) -> Option<f64> {
    process::thread_cpu_seconds(&format!("/proc/{pid}"))
}

/// When the replicator has logged its first change.
fn first_change(replicator: &mut Replicator) -> Fallible<f64> {
    loop {
        let log = replicator.log();
        if let Some(line) = log
            .lines()
            .find(|line| line.contains("first change arrived"))
        {
            let line: Value = serde_json::from_str(line)?;
            let time = line["timestamp"].as_str().unwrap_or_default();
            let time: jiff::Timestamp = time.parse()?;
            return Ok(time.as_microsecond() as f64 / 1e6);
        }
        replicator.check()?;
        std::thread::sleep(LOOK);
    }
}

fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// The medians of one contender's runs.
fn of_runs(rows: u32, runs: Vec<Run>) -> Value {
    let middle = |of: fn(&Run) -> f64| median(runs.iter().map(of));
    let per_row = |seconds: f64| seconds * 1e6 / f64::from(rows);
    let (seconds, cpu) = (middle(|run| run.seconds), middle(|run| run.cpu));
    json!({
        "rows": rows,
        "seconds": seconds,
        "rows_per_second": f64::from(rows) / seconds,
        "cpu_seconds": cpu,
        "cpu_us_per_row": per_row(cpu),
        "cpu_us_per_row_librdkafka": per_row(middle(|run| run.librdkafka_cpu)),
        "walsender_cpu_seconds": middle(|run| run.walsender_cpu),
        "broker_cpu_seconds": middle(|run| run.broker_cpu),
        "store_bytes": runs.iter().map(|run| run.store_bytes).max(),
        "rss_peak_bytes": runs.iter().map(|run| run.resident_peak).max(),
        "runs_seconds": runs.iter().map(|run| run.seconds).collect::<Vec<_>>(),
    })
}

fn print(results: &[Value]) {
    let heads = [
        "drain",
        "rows",
        "rows/tx",
        "seconds",
        "rows/s",
        "ratio",
        "CPU us/row",
        "of it librdkafka",
        "walsender us",
        "broker us",
        "peak MB",
    ];
    let mut rows = Vec::new();
    for result in results {
        for (name, run) in [
            ("tidewater", result),
            ("pg_recvlogical", &result["pg_recvlogical"]),
        ] {
            let number = |field: &str| run[field].as_f64().unwrap_or_default();
            let per_row = |field: &str| number(field) * 1e6 / number("rows");
            rows.push(vec![
                format!(
                    "{name} {}",
                    result["transport"].as_str().unwrap_or_default()
                ),
                format!("{:.0}", number("rows")),
                result["transaction_rows"].to_string(),
                format!("{:.2}", number("seconds")),
                format!("{:.0}", number("rows_per_second")),
                format!(
                    "{:.2}",
                    run["ratio_to_pg_recvlogical"].as_f64().unwrap_or(1.0)
                ),
                format!("{:.2}", number("cpu_us_per_row")),
                format!("{:.2}", number("cpu_us_per_row_librdkafka")),
                format!("{:.2}", per_row("walsender_cpu_seconds")),
                format!("{:.2}", per_row("broker_cpu_seconds")),
                format!("{:.1}", number("rss_peak_bytes") / 1e6),
            ]);
        }
    }
    report::table(&heads, &rows);
}
