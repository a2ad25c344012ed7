//! How many changes a second `tidewater aggregate` applies to every aggregate, with eligibility and codes, and
//! what one costs it and the sink.
//!
//! A shop is changed while only the replicator runs; then the consumer starts behind topics that hold all of it.
//! The clock runs from its first committed batch to the heartbeat that came after the last change.

mod support;

use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use support::replicator::Replicator;
use support::servers::{Servers, Transport};
use support::source::Source;
use support::{Fallible, machine, median, process, report};
use tidewater::connection::{Connection, Database, connect};

const SOURCE: &str = "aggregate";
const SINK: &str = "aggregate_sink";
/// Between two questions to the sink.
const LOOK: Duration = Duration::from_millis(5);

/// Measures changes applied in a second, and the CPU of each.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// Keys (store, product), one shop for each count
    #[arg(long, value_delimiter = ',', default_values_t = [10_000])]
    keys: Vec<i64>,
    /// Tuples with a habit
    #[arg(long, default_value_t = 100_000)]
    habits: i64,
    /// Changes of one run
    #[arg(long, default_value_t = 400_000)]
    events: i32,
    /// How keys are drawn
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Draw::Zipf, Draw::Uniform])]
    draw: Vec<Draw>,
    /// Runs of each
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// How keys are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Draw {
    Zipf,
    Uniform,
}

impl Draw {
    fn name(self) -> &'static str {
        match self {
            Draw::Zipf => "zipf 1.0",
            Draw::Uniform => "uniform",
        }
    }
}

/// One shop, its replicator and its sink.
struct Shop {
    source: Source,
    replicator: Replicator,
    config: String,
    sink: Connection,
    keys: i64,
}

/// What has happened in the sink so far.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    rows: f64,
    wal_bytes: f64,
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
struct Run {
    seconds: f64,
    cpu_us: f64,
    sink_cpu_us: f64,
    sink_rows: f64,
    wal_bytes: f64,
    peak_bytes: u64,
}

fn main() -> Fallible<()> {
    let options = Options::parse();
    support::run(measure(&options))
}

async fn measure(options: &Options) -> Fallible<()> {
    let servers = Servers::find()?;
    let load_before = machine::load();
    let mut results = Vec::new();
    let mut versions = Value::Null;
    for keys in &options.keys {
        let mut shop = Shop::open(&servers, *keys, options.habits).await?;
        versions = machine::versions(&shop.source.database, &servers).await?;
        for draw in &options.draw {
            let mut runs = Vec::new();
            for _ in 0..options.runs {
                let run = shop.run(options.events, *draw).await?;
                let name = draw.name();
                let rate = f64::from(options.events) / run.seconds;
                report::line(&format!(
                    "{keys} keys, {name}: {rate:.0} changes/s, load {}",
                    machine::load()
                ));
                runs.push(run);
            }
            results.push(summary(*keys, *draw, options.events, &runs));
        }
        shop.close(&servers).await?;
    }
    let report = json!({
        "name": "aggregate",
        "machine": machine::machine(),
        "versions": versions,
        "settings": {
            "events": options.events, "habits": options.habits, "runs": options.runs, "partitions": 6,
            "fsync": servers.fsync, "mix": "80 % stock, 14 % new orders, 4 % further, 2 % cancelled",
        },
        "load_before": load_before,
        "load_after": machine::load(),
        "results": results,
    });
    report::write("aggregate", &report)?;
    report::surroundings(&report);
    print(&results);
    Ok(())
}

impl Shop {
    /// Fills a source, and has all of it applied once: topics are warm and rules evaluated.
    async fn open(servers: &Servers, keys: i64, habits: i64) -> Fallible<Shop> {
        report::line(&format!("filling a shop: {keys} keys"));
        let script = include_str!("shop.sql");
        let source = Source::create_with(&servers.postgres, SOURCE, script).await?;
        let fill = format!("call open_shop({keys}, {habits}); vacuum analyze");
        for statement in fill.split("; ") {
            source.database.batch_execute(statement).await?;
        }
        let config = format!(
            "[source]\nurl = \"{}\"\nslot = \"{SOURCE}\"\npublication = \"{SOURCE}\"\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{SOURCE}\"\n[sink]\nurl = \"{}\"\n",
            servers.url(SOURCE, Transport::Tcp),
            servers.brokers,
            servers.url(SINK, Transport::Tcp),
        );
        let replicator = Replicator::start(&config)?;
        let mut shop = Shop {
            source,
            replicator,
            config,
            sink: servers.url(SINK, Transport::Tcp).parse()?,
            keys,
        };
        shop.captured().await?;
        let consumer = Replicator::start_as("aggregate", &shop.config)?;
        let filled = shop.clock().await?;
        let sink = shop.connect().await?;
        shop.applied(&consumer, &sink, &filled, "evaluated_at is not null")
            .await?;
        consumer.stop()?;
        Ok(shop)
    }

    /// The sink, as soon as a consumer has made it.
    async fn connect(&mut self) -> Fallible<Database> {
        let ready = "select from consumer_offset limit 1";
        loop {
            if let Ok(sink) = connect(&self.sink).await
                && sink
                    .query(ready, &[])
                    .await
                    .is_ok_and(|rows| !rows.is_empty())
            {
                return Ok(sink);
            }
            self.replicator.check()?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The source's clock.
    async fn clock(&self) -> Fallible<String> {
        let row = self
            .source
            .database
            .query_one("select clock_timestamp()::text", &[])
            .await?;
        Ok(row.get(0))
    }

    /// Waits until the topics hold everything that is committed, and a heartbeat after it.
    async fn captured(&mut self) -> Fallible<()> {
        let now = "select pg_current_wal_insert_lsn()::text";
        let behind = "select coalesce(bool_and(confirmed_flush_lsn > $1::text::pg_lsn), false)
                      from pg_replication_slots where slot_name = $2::text::name";
        let lsn: String = self.source.database.query_one(now, &[]).await?.get(0);
        loop {
            let row = self
                .source
                .database
                .query_one(behind, &[&lsn, &SOURCE])
                .await?;
            if row.get(0) {
                return Ok(());
            }
            self.replicator.check()?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the sink has applied all of before that moment, and a condition of `sink_identity` holds.
    async fn applied(
        &mut self,
        consumer: &Replicator,
        sink: &Database,
        mark: &str,
        condition: &str,
    ) -> Fallible<()> {
        let done = format!(
            "select coalesce(applied_until() >= $1::text::timestamptz, false) and {condition}
             from sink_identity"
        );
        let log = consumer.pid();
        while !sink.query_one(&done, &[&mark]).await?.get::<_, bool>(0) {
            if process::resident_peak_bytes(log) == 0 {
                return Err(format!("tidewater ended:\n{}", consumer.log()).into());
            }
            self.replicator.check()?;
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Changes the shop, and has the changes applied.
    async fn run(&mut self, events: i32, draw: Draw) -> Fallible<Run> {
        let uniform = draw == Draw::Uniform;
        let live = format!(
            "set synchronous_commit = off; call live({events}, {}, {uniform})",
            self.keys
        );
        for statement in live.split("; ") {
            self.source.database.batch_execute(statement).await?;
        }
        let mark = self.clock().await?;
        self.captured().await?;
        let sink = connect(&self.sink).await?;
        let before = work(&sink).await?;
        let offsets = "select sum(next_offset)::bigint from consumer_offset";
        let start: i64 = sink.query_one(offsets, &[]).await?.get(0);
        let consumer = Replicator::start_as("aggregate", &self.config)?;
        while sink.query_one(offsets, &[]).await?.get::<_, i64>(0) == start {
            tokio::time::sleep(LOOK).await;
        }
        let began = Instant::now();
        let cpu = process::cpu_seconds(consumer.pid());
        self.applied(&consumer, &sink, &mark, "true").await?;
        let seconds = began.elapsed().as_secs_f64();
        let events = f64::from(events);
        let cpu_us = (process::cpu_seconds(consumer.pid()) - cpu) * 1e6 / events;
        let sink_cpu_us = backends(&sink).await? * 1e6 / events;
        let peak_bytes = process::resident_peak_bytes(consumer.pid());
        consumer.stop()?;
        let after = work(&sink).await?;
        Ok(Run {
            seconds,
            cpu_us,
            sink_cpu_us,
            sink_rows: (after.rows - before.rows) / events,
            wal_bytes: (after.wal_bytes - before.wal_bytes) / events,
            peak_bytes,
        })
    }

    async fn close(self, servers: &Servers) -> Fallible<()> {
        self.replicator.stop()?;
        let drop = format!("drop database {SINK} with (force)");
        self.source.database.batch_execute(&drop).await?;
        self.source.remove().await?;
        servers.delete_topics(SOURCE).await
    }
}

/// Rows that were written in the sink, and WAL of the whole server, where nothing else is at work meanwhile.
async fn work(sink: &Database) -> Fallible<Work> {
    let sql = "select (sum(n_tup_ins) + sum(n_tup_upd) + sum(n_tup_del))::float8,
                      (pg_current_wal_insert_lsn() - '0/0')::float8
               from pg_stat_user_tables";
    let row = sink.query_one(sql, &[]).await?;
    Ok(Work {
        rows: row.get(0),
        wal_bytes: row.get(1),
    })
}

/// CPU seconds of the backends that the consumer is connected to.
async fn backends(sink: &Database) -> Fallible<f64> {
    let sql = "select pid from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()
                 and backend_type = 'client backend'";
    let rows = sink.query(sql, &[]).await?;
    let pids = rows.iter().map(|row| row.get::<_, i32>(0).cast_unsigned());
    Ok(pids.map(process::cpu_seconds).sum())
}

/// Medians.
fn summary(keys: i64, draw: Draw, events: i32, runs: &[Run]) -> Value {
    let middle = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
    let tenth = |value: f64| (value * 10.0).round() / 10.0;
    json!({
        "keys": keys,
        "draw": draw.name(),
        "events_per_second": (f64::from(events) / middle(|run| run.seconds)).round(),
        "cpu_us_per_event": tenth(middle(|run| run.cpu_us)),
        "sink_cpu_us_per_event": tenth(middle(|run| run.sink_cpu_us)),
        "sink_rows_per_event": tenth(middle(|run| run.sink_rows)),
        "wal_bytes_per_event": middle(|run| run.wal_bytes).round(),
        "rss_peak_bytes": runs.iter().map(|run| run.peak_bytes).max(),
    })
}

fn print(results: &[Value]) {
    let columns = [
        "keys",
        "draw",
        "events_per_second",
        "cpu_us_per_event",
        "sink_cpu_us_per_event",
        "sink_rows_per_event",
        "wal_bytes_per_event",
        "rss_peak_bytes",
    ];
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let row = |result: &Value| {
        let cells = columns.iter().filter_map(|column| result.get(column));
        cells.map(text).collect()
    };
    let rows: Vec<Vec<String>> = results.iter().map(row).collect();
    report::table(&columns, &rows);
}
