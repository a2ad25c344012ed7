//! A realistic shop in the source database: its tables, weeks of past orders, and then a life at a rate
//! that you name.
//!
//! ```text
//! seed ─▶ history ─▶ setup ──COPY──▶ tables ──▶ load ─▶ plan ─▶ batch ─▶ worker ──▶ tables
//!         └──── pure ────┘                       │      └─ pure ──────┘
//!                                                ├────▶ shoppers ─▶ poster ──HTTP──▶ gateway
//!                                                │      └ pure ┘
//!           promotions topic ──▶ codes ─▶ answer ─┴────▶ answers ─▶ plan
//!                                       └ pure ┘
//! ```
//!
//! Every worker has a connection and some of the stores for itself, so that no two of them change the
//! same row and each knows its shelves without asking. What happens follows from the seed and the
//! tables' state alone; only how many operations share a transaction depends on how fast the server is:
//! all that are due. The same holds of shoppers and the requests that their events share.

mod answer;
mod answers;
mod batch;
mod codes;
mod error;
mod gateway;
mod history;
mod lateness;
mod load;
mod operation;
mod pace;
mod plan;
mod poster;
mod report;
mod response;
mod rhythm;
mod setup;
mod shop;
mod shoppers;
mod state;
mod worker;
mod write;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use gateway::GatewayAddress;
pub use report::{Counts, EventCounts, EventSummary, Summary};
pub use setup::{Setup, set_up};
pub use shop::Size;

use crate::config::settings::Kafka;
use crate::connection::{self, Connection, Database};
use answer::Responders;
use codes::{Codes, Recipient};
use gateway::{Client, Ids};
use pace::{Pace, Rate};
use poster::{End, POSTERS, Poster, Queue, Standing};
use report::{Progress, Report};
use shoppers::{Clientele, Shoppers};
use worker::{Session, Start, Worker};

/// Held while a simulator lives: a second one would sell from the same shelves.
const SIMULATOR_LOCK: i64 = 0x7368_6f70_6c69_7665;
/// Between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Reports that workers may be ahead of the collector.
const REPORTS_MAX: usize = 1_024;

/// How the shop lives.
#[derive(Clone, Debug)]
pub struct Options {
    /// Row changes per second, all in all.
    pub rate: u32,
    /// For how long; until stopped if `None`.
    pub duration: Option<Duration>,
    /// Most connections that write; never more than stores.
    pub connections: u32,
    /// What happens follows from it.
    pub seed: u64,
    /// Whether the rate follows hours and days, and what is bought the season.
    pub rhythm: bool,
    /// Shoppers whose application posts events; `None`: nobody's does.
    pub shoppers: Option<ShopperOptions>,
    /// Shoppers who use their codes; `None`: nobody does.
    pub codes: Option<CodeOptions>,
}

/// How shoppers come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopperOptions {
    /// Events per second, at least one.
    pub rate: u32,
    /// Where they are posted.
    pub gateway: GatewayAddress,
}

/// How shoppers respond to codes.
#[derive(Clone, Debug)]
pub struct CodeOptions {
    /// Where codes are published.
    pub kafka: Kafka,
    /// Half of those who use a code have done so after this time; above zero.
    pub half_life: Duration,
}

/// Lives until the end of the duration or `stop`, and says what happened.
pub async fn live(
    source: &Connection,
    options: &Options,
    stop: CancellationToken,
) -> Result<Summary, Error> {
    let control = connect(source).await?;
    lock(&control).await?;
    // Ends the other workers when one has failed.
    let stop = stop.child_token();
    let (reports, received) = mpsc::channel(REPORTS_MAX);
    let rhythm_from = rhythm_from(&control, options).await?;
    let opening = open_workers(source, &control, options, rhythm_from, &stop, &reports);
    let (workers, recipients) = opening.await?;
    let clientele = load::clientele(&control).await?;
    let start = Start {
        instant: Instant::now(),
        unix_us: load::now_us(&control).await?,
    };
    let end = End {
        start,
        duration: options.duration,
        stop: stop.clone(),
    };
    let mut tasks = JoinSet::new();
    if let Some(codes) = codes(options, &clientele, recipients, &end) {
        tasks.spawn_blocking(move || {
            codes.run();
            Ok(())
        });
    }
    if let Some(shoppers) = &options.shoppers {
        let rate = Rate {
            changes_per_second: shoppers.rate.max(1),
            plans: 1,
            rhythm_from,
        };
        let acts = Shoppers::new(clientele, Pace::new(rate, 0), options.seed);
        let queue = Queue::new(acts.ok_or(Error::Empty)?, end.clone());
        for poster in posters(shoppers, queue, &end, options.seed, &reports)? {
            tasks.spawn(poster.run());
        }
    }
    for (worker, session) in workers {
        tasks.spawn(worker.run(session, start));
    }
    drop(reports);
    let progress = collect(received, options, start.instant).await;
    let elapsed = start.instant.elapsed();
    // Whoever reads codes reads for nobody.
    stop.cancel();
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        result = result.and(ended.unwrap_or(Err(Error::Panicked)));
    }
    result.map(|()| progress.summary(options, elapsed))
}

/// One worker for each share of the stores, connected, and who takes the answers to codes for these.
async fn open_workers(
    source: &Connection,
    control: &Database,
    options: &Options,
    rhythm_from: Option<u64>,
    stop: &CancellationToken,
    reports: &mpsc::Sender<Report>,
) -> Result<(Vec<(Worker, Session)>, Vec<Recipient>), Error> {
    let stores = load::stores(control).await?;
    let plans = u32::try_from(stores.len()).unwrap_or(u32::MAX);
    let plans = plans.clamp(1, options.connections.max(1));
    let rate = Rate {
        changes_per_second: options.rate.max(1),
        plans,
        rhythm_from,
    };
    let first_order_id = load::first_order_id(control).await?;
    let (mut workers, mut recipients) = (Vec::new(), Vec::new());
    for index in 0..plans {
        let stores = share(&stores, index, plans);
        let (sender, answers) = answers::answers();
        recipients.push(Recipient {
            stores: stores.clone(),
            answers: sender,
        });
        let worker = Worker {
            source: source.clone(),
            stores,
            index,
            rate,
            seed: options.seed,
            next_order_id: first_order_id + i64::from(index),
            duration: options.duration,
            answers,
            reports: reports.clone(),
            stop: stop.clone(),
        };
        let session = worker.open(0).await?;
        workers.push((worker, session));
    }
    Ok((workers, recipients))
}

/// Who reads codes, if anybody is to.
fn codes(
    options: &Options,
    clientele: &Clientele,
    recipients: Vec<Recipient>,
    end: &End,
) -> Option<Codes> {
    let CodeOptions { kafka, half_life } = options.codes.clone()?;
    let customers = [&clientele.premium[..], &clientele.standard].concat();
    Some(Codes {
        kafka,
        responders: Responders {
            seed: options.seed,
            half_life,
            customers,
            products: clientele.products.clone(),
        },
        recipients,
        end: end.clone(),
    })
}

/// Posters that share a queue.
fn posters(
    shoppers: &ShopperOptions,
    queue: Queue,
    end: &End,
    seed: u64,
    reports: &mpsc::Sender<Report>,
) -> Result<Vec<Poster>, Error> {
    let client = Arc::new(Client::new(&shoppers.gateway)?);
    let queue = Arc::new(tokio::sync::Mutex::new(queue));
    let standing = Arc::new(Mutex::new(Standing::default()));
    let poster = || Poster {
        client: Arc::clone(&client),
        ids: Ids::of(seed, end.start.unix_us),
        queue: Arc::clone(&queue),
        standing: Arc::clone(&standing),
        end: end.clone(),
        reports: reports.clone(),
    };
    Ok(std::iter::repeat_with(poster).take(POSTERS).collect())
}

/// When a rhythm starts, seconds since 1970, where there is one.
async fn rhythm_from(control: &Database, options: &Options) -> Result<Option<u64>, Error> {
    if !options.rhythm {
        return Ok(None);
    }
    let now_s = load::now_us(control).await? / 1_000_000;
    Ok(Some(now_s.unsigned_abs()))
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

/// Counts until every worker and poster has ended.
async fn collect(
    mut received: mpsc::Receiver<Report>,
    options: &Options,
    started: Instant,
) -> Progress {
    let mut progress = Progress::default();
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    ticks.tick().await;
    loop {
        tokio::select! {
            report = received.recv() => match report {
                Some(report) => progress.add(&report),
                None => return progress,
            },
            _ = ticks.tick() => progress.log(options, started.elapsed()),
        }
    }
}
