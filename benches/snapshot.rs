//! How fast a table is read into Kafka: a snapshot by `tidewater replicate`, exactly once, beside a plain
//! SELECT of the same rows into nothing, and a snapshot by Debezium, which is set up to be fast.
//!
//! They take turns, and a ratio is one of runs that followed each other. tidewater's clock runs from
//! the decision to read to the commit of the last chunk, the SELECT's from the query to its last row; the
//! latter reads with tidewater's own client, on one connection. Debezium's runs from its first query of rows to
//! the last record in Kafka, at least once; its virtual machine is warm.

#![allow(
    clippy::indexing_slicing,
    reason = "a JSON value answers an unknown name with null, and a benchmark may end"
)]

mod support;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use support::debezium::Worker;
use support::process::{self, LOOK};
use support::replicator::Replicator;
use support::servers::{self, Servers, Transport};
use support::source::{PUBLICATION, Source};
use support::{Fallible, machine, median, report};
use tidewater::connection::Connection;
use tidewater::postgres::{Session, SessionKind};

/// For Debezium to read the table.
const DEBEZIUM_PATIENCE: Duration = Duration::from_mins(10);

/// Reads a table, in turns with a plain SELECT and with Debezium.
#[derive(Debug, Parser)]
struct Options {
    /// Rows of the table
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// Alternating pairs of runs, after one that only warms
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// `source.snapshot_workers`, and Debezium's `snapshot.max.threads`
    #[arg(long, default_value_t = 2)]
    workers: u16,
    /// Leaves Debezium out
    #[arg(long)]
    without_debezium: bool,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one run cost.
#[derive(Clone, Copy, Debug)]
struct Run {
    seconds: f64,
    cpu: f64,
    resident_peak: u64,
}

fn main() -> Fallible<()> {
    let options = Options::parse();
    support::run(measure(&options))
}

async fn measure(options: &Options) -> Fallible<()> {
    let servers = Servers::find()?;
    let load_before = machine::load();
    let source = Source::create(&servers.postgres, "snapshot").await?;
    let versions = machine::versions(&source.database, &servers).await?;
    report::line(&format!("filling a table: {} rows", options.rows));
    source
        .fill(options.rows, options.rows.min(10_000), false)
        .await?;
    source
        .database
        .batch_execute("vacuum analyze orders")
        .await?;
    let count = "select count(*) from orders";
    let rows: i64 = source.database.query_one(count, &[]).await?.get(0);
    let mut worker = None;
    if !options.without_debezium {
        worker = Some(Worker::start(&servers).await?);
    }
    let (mut tidewaters, mut selects, mut debeziums) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=options.pairs {
        let tidewater = tidewater(&servers, &source, options.workers, pair).await?;
        let select = select(&servers, &source).await?;
        tell("tidewater", pair, rows, tidewater);
        tell("select", pair, rows, select);
        let mut debezium = None;
        if let Some(worker) = &mut worker {
            let run = self::debezium(&servers, &source, worker, options, pair).await?;
            tell("debezium", pair, rows, run);
            debezium = Some(run);
        }
        if pair > 0 {
            tidewaters.push(tidewater);
            selects.push(select);
            debeziums.extend(debezium);
        }
    }
    drop(worker);
    let ratio_to = |others: &[Run]| {
        let pairs = tidewaters.iter().zip(others);
        median(pairs.map(|(one, other)| other.seconds / one.seconds))
    };
    let report = json!({
        "name": "snapshot",
        "machine": machine::machine(),
        "versions": versions,
        "settings": {
            "table": "ten columns, benches/orders.sql",
            "partitions": 6,
            "delivery": "exactly-once",
            "workers": options.workers,
            "fsync": servers.fsync,
            "pairs": options.pairs,
        },
        "load_before": load_before,
        "load_after": machine::load(),
        "ratio_to_select": ratio_to(&selects),
        "ratio_to_debezium": (!debeziums.is_empty()).then(|| ratio_to(&debeziums)),
        "tidewater": of_runs(rows, &tidewaters),
        "select": of_runs(rows, &selects),
        "debezium": (!debeziums.is_empty()).then(|| of_runs(rows, &debeziums)),
    });
    source.remove().await?;
    report::write("snapshot", &report)?;
    report::surroundings(&report);
    print(&report);
    Ok(())
}

/// One snapshot, with a prefix of its own.
async fn tidewater(servers: &Servers, source: &Source, workers: u16, run: usize) -> Fallible<Run> {
    let prefix = format!("{}_{run}", source.name);
    let config = format!(
        "[source]\nurl = \"{}\"\nslot = \"{prefix}\"\npublication = \"{PUBLICATION}\"\n\
         snapshot = \"only\"\nsnapshot_workers = {workers}\n\
         [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\n",
        servers.url(&source.name, Transport::Tcp),
        servers.brokers,
    );
    let children_cpu = process::children_cpu_seconds();
    let mut replicator = Replicator::start(&config)?;
    let mut resident_peak = 0;
    let (began, ended) = loop {
        resident_peak = process::resident_peak_bytes(replicator.pid()).max(resident_peak);
        let log = replicator.log();
        match (
            logged(&log, "start decided")?,
            logged(&log, "snapshot read")?,
        ) {
            (Some(began), Some(ended)) => break (began, ended),
            _ => std::thread::sleep(LOOK * 10),
        }
        // It ends by itself once all is read; anything else is a failure.
        if logged(&replicator.log(), "snapshot read")?.is_none() {
            replicator.check()?;
        }
    };
    replicator.wait()?;
    servers.delete_topics(&prefix).await?;
    Ok(Run {
        seconds: ended - began,
        cpu: process::children_cpu_seconds() - children_cpu,
        resident_peak,
    })
}

/// When a message was logged.
fn logged(log: &str, message: &str) -> Fallible<Option<f64>> {
    let Some(line) = log.lines().find(|line| line.contains(message)) else {
        return Ok(None);
    };
    let line: Value = serde_json::from_str(line)?;
    let time: jiff::Timestamp = line["timestamp"].as_str().unwrap_or_default().parse()?;
    Ok(Some(time.as_microsecond() as f64 / 1e6))
}

/// Every row, thrown away.
async fn select(servers: &Servers, source: &Source) -> Fallible<Run> {
    let connection: Connection = servers.url(&source.name, Transport::Tcp).parse()?;
    let mut session = Session::connect(&connection, SessionKind::Ordinary, &[]).await?;
    let (began, cpu) = (Instant::now(), process::cpu_seconds(std::process::id()));
    session.select("select * from orders").await?;
    while session.next_rows(|_| Ok::<(), Infallible>(())).await? {}
    Ok(Run {
        seconds: began.elapsed().as_secs_f64(),
        cpu: process::cpu_seconds(std::process::id()) - cpu,
        resident_peak: process::resident_peak_bytes(std::process::id()),
    })
}

/// One snapshot by Debezium, with a prefix of its own.
async fn debezium(
    servers: &Servers,
    source: &Source,
    worker: &mut Worker,
    options: &Options,
    run: usize,
) -> Fallible<Run> {
    let prefix = format!("{}_debezium_{run}", source.name);
    let topic = format!("{prefix}.public.orders");
    let count = "select count(*) from orders";
    let rows: i64 = source.database.query_one(count, &[]).await?.get(0);
    let consumer = servers.consumer()?;
    worker
        .snapshot(servers, &source.name, &prefix, options.workers)
        .await?;
    let (began, cpu) = (Instant::now(), process::cpu_seconds(worker.pid()));
    let until = began + DEBEZIUM_PATIENCE;
    // A topic that is being created has partitions without a leader.
    while servers::records(&consumer, &topic).unwrap_or(0) < rows {
        worker.check(until)?;
        std::thread::sleep(LOOK * 20);
    }
    let ended = Run {
        seconds: began.elapsed().as_secs_f64(),
        cpu: process::cpu_seconds(worker.pid()) - cpu,
        resident_peak: process::resident_peak_bytes(worker.pid()),
    };
    worker.remove(&prefix).await?;
    servers.delete_topics(&prefix).await?;
    Ok(ended)
}

fn tell(name: &str, pair: usize, rows: i64, run: Run) {
    let note = if pair == 0 { " (warms)" } else { "" };
    report::line(&format!(
        "{name} {:.2} s, {:.2} us CPU/row; load {}{note}",
        run.seconds,
        run.cpu * 1e6 / rows as f64,
        machine::load(),
    ));
}

/// The medians of one contender's runs.
fn of_runs(rows: i64, runs: &[Run]) -> Value {
    let middle = |of: fn(&Run) -> f64| median(runs.iter().map(of));
    let (seconds, cpu) = (middle(|run| run.seconds), middle(|run| run.cpu));
    json!({
        "rows": rows,
        "seconds": seconds,
        "rows_per_second": rows as f64 / seconds,
        "cpu_us_per_row": cpu * 1e6 / rows as f64,
        "rss_peak_bytes": runs.iter().map(|run| run.resident_peak).max(),
        "runs_seconds": runs.iter().map(|run| run.seconds).collect::<Vec<_>>(),
    })
}

fn print(report: &Value) {
    let heads = [
        "snapshot",
        "rows",
        "seconds",
        "rows/s",
        "tidewater ÷",
        "CPU us/row",
        "peak MB",
    ];
    let row = |name: &str, ratio: &str| {
        let number = |field: &str| report[name][field].as_f64().unwrap_or_default();
        vec![
            name.to_owned(),
            format!("{:.0}", number("rows")),
            format!("{:.2}", number("seconds")),
            format!("{:.0}", number("rows_per_second")),
            ratio.to_owned(),
            format!("{:.2}", number("cpu_us_per_row")),
            format!("{:.1}", number("rss_peak_bytes") / 1e6),
        ]
    };
    let ratio = |other: &str| {
        let ratio = report[format!("ratio_to_{other}")].as_f64();
        ratio.map(|ratio| format!("{ratio:.2}"))
    };
    let mut rows = vec![row("tidewater", "")];
    for other in ["select", "debezium"] {
        rows.extend(ratio(other).map(|ratio| row(other, &ratio)));
    }
    report::table(&heads, &rows);
}
