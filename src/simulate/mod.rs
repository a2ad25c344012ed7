//! A realistic shop in the source database: its tables, weeks of past orders, and then a life at a rate
//! that you name.
//!
//! ```text
//! seed ─▶ history ─▶ setup ──COPY──▶ tables ──▶ load ─▶ plan ─▶ batch ─▶ worker ──▶ tables
//!         └──── pure ────┘                              └─ pure ──────┘
//! ```
//!
//! Every worker has a connection and some of the stores for itself, so that no two of them change the
//! same row and each knows its shelves without asking. What happens follows from the seed and the
//! tables' state alone; only how many operations share a transaction depends on how fast the server is:
//! all that are due.

mod batch;
mod error;
mod history;
mod load;
mod operation;
mod pace;
mod plan;
mod report;
mod setup;
mod shop;
mod state;
mod worker;
mod write;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use report::{Counts, Summary};
pub use setup::{Setup, set_up};
pub use shop::Size;

use crate::connection::{self, Connection, Database};
use pace::Rate;
use report::{Done, Progress};
use worker::{Start, Worker};

/// Held while a simulator lives: a second one would sell from the same shelves.
const SIMULATOR_LOCK: i64 = 0x7368_6f70_6c69_7665;
/// Between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Reports that workers may be ahead of the collector.
const REPORTS_MAX: usize = 1_024;

/// How the shop lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Row changes per second, all in all.
    pub rate: u32,
    /// For how long; until stopped if `None`.
    pub duration: Option<Duration>,
    /// Most connections that write; never more than stores.
    pub connections: u32,
    /// What happens follows from it.
    pub seed: u64,
    /// Whether the rate follows the hours of a day.
    pub rhythm: bool,
}

/// Lives until the end of the duration or `stop`, and says what happened.
pub async fn live(
    source: &Connection,
    options: &Options,
    stop: CancellationToken,
) -> Result<Summary, Error> {
    let control = connect(source).await?;
    lock(&control).await?;
    let stores = load::stores(&control).await?;
    let plans = u32::try_from(stores.len()).unwrap_or(u32::MAX);
    let plans = plans.clamp(1, options.connections.max(1));
    let rate = rate(&control, options, plans).await?;
    let first_order_id = load::first_order_id(&control).await?;
    // Ends the other workers when one has failed.
    let stop = stop.child_token();
    let (reports, received) = mpsc::channel(REPORTS_MAX);
    let mut sessions = Vec::new();
    for index in 0..plans {
        let worker = Worker {
            source: source.clone(),
            stores: share(&stores, index, plans),
            index,
            rate,
            seed: options.seed,
            next_order_id: first_order_id + i64::from(index),
            duration: options.duration,
            reports: reports.clone(),
            stop: stop.clone(),
        };
        let session = worker.open(0).await?;
        sessions.push((worker, session));
    }
    drop(reports);
    let start = Start {
        instant: Instant::now(),
        unix_us: load::now_us(&control).await?,
    };
    let mut workers = JoinSet::new();
    for (worker, session) in sessions {
        workers.spawn(worker.run(session, start));
    }
    let progress = collect(received, start.instant).await;
    let mut result = Ok(());
    while let Some(ended) = workers.join_next().await {
        result = result.and(ended.unwrap_or(Err(Error::Panicked)));
    }
    result.map(|()| progress.summary(options, start.instant.elapsed()))
}

async fn rate(control: &Database, options: &Options, plans: u32) -> Result<Rate, Error> {
    let rhythm_from = if options.rhythm {
        let second = load::now_us(control).await? / 1_000_000 % 86_400;
        Some(u32::try_from(second).unwrap_or_default())
    } else {
        None
    };
    Ok(Rate {
        changes_per_second: options.rate.max(1),
        plans,
        rhythm_from,
    })
}

async fn connect(source: &Connection) -> Result<Database, Error> {
    connection::connect(&source.with_application_name("tidewater simulate"))
        .await
        .map_err(Error::Connect)
}

async fn lock(control: &Database) -> Result<(), Error> {
    let taken: bool = control
        .query_one("select pg_try_advisory_lock($1)", &[&SIMULATOR_LOCK])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| Error::statement("take the simulator's lock", error))?;
    if taken { Ok(()) } else { Err(Error::Busy) }
}

/// Every n-th store, beginning with the `index`-th.
fn share(stores: &[i64], index: u32, plans: u32) -> Vec<i64> {
    let skip = usize::try_from(index).unwrap_or_default();
    let step = usize::try_from(plans).unwrap_or(1);
    stores.iter().skip(skip).step_by(step).copied().collect()
}

/// Counts until every worker has ended.
async fn collect(mut received: mpsc::Receiver<Done>, started: Instant) -> Progress {
    let mut progress = Progress::default();
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    ticks.tick().await;
    loop {
        tokio::select! {
            done = received.recv() => match done {
                Some(done) => progress.add(&done),
                None => return progress,
            },
            _ = ticks.tick() => progress.log(started.elapsed()),
        }
    }
}
