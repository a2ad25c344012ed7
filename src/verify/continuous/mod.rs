//! Continuous verification: a few chunks of keys a minute, over every table again and again.
//!
//! ```text
//! pass  ─┬─ inventory, orders, customers     a range of the source's rows, against the sink's images of them
//!        └─ hours, sales, habits, decisions  a range of stores and products, against the images
//! ```
//!
//! A full verification folds the topics from their start. This one never reads them: what is between source and
//! sink is compared end to end, at a consistent point of the source that the sink has passed, and what the sink
//! derives is derived again from its own images, in one snapshot. So its cost is a chunk's, whatever the history.
//! What it cannot see is what only history tells: the sums of an hour of stock whose changes are gone.
//!
//! One instance verifies at a time, the one that holds an advisory lock in the sink. How far a pass is stands in
//! the sink's table `verification`, so that another one, and a restart, goes on with it.

mod decided;
mod derived;
mod origin;
mod pass;

use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::pass::Pass;
use super::Error;
use super::rows::query;
use crate::config::settings::Settings;
use crate::connection::{self, Database};
use crate::telemetry::{self, Health, Stage};

/// Key of the lock that the verifying instance holds.
const VERIFY_LOCK: i64 = 0x7469_6465_7665_7269;
/// How often an instance asks for it.
const TICK: Duration = Duration::from_secs(1);
/// The wait after a failure that passes.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a chunk may take: it waits for the replicator and the consumer, a minute each.
const STUCK_AFTER: Duration = Duration::from_mins(10);
/// Keys of differences that a chunk tells of; the rest is counted.
const SHOWN_MAX: usize = 10;

/// What a pass goes through, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// The source's stock levels, and their images.
    Inventory,
    /// The source's orders, and their images.
    Orders,
    /// The source's customers, and their images.
    Customers,
    /// That each hour of stock begins where the one before has ended, and the last ends at the level.
    Hours,
    /// Hourly sales, from the images of orders.
    Sales,
    /// Habits, from the images of orders.
    Habits,
    /// The stock side of every rule.
    Conditions,
    /// Who is eligible.
    Eligibility,
}

impl Subject {
    const ALL: [Subject; 8] = [
        Subject::Inventory,
        Subject::Orders,
        Subject::Customers,
        Subject::Hours,
        Subject::Sales,
        Subject::Habits,
        Subject::Conditions,
        Subject::Eligibility,
    ];

    /// The sink's table.
    fn table(self) -> &'static str {
        match self {
            Subject::Inventory => "inventory_image",
            Subject::Orders => "order_image",
            Subject::Customers => "customer_image",
            Subject::Hours => "inventory_hourly",
            Subject::Sales => "sales_hourly",
            Subject::Habits => "purchase_habit",
            Subject::Conditions => "promotion_condition",
            Subject::Eligibility => "promotion_eligibility",
        }
    }

    fn named(table: &str) -> Subject {
        let mut all = Subject::ALL.into_iter();
        all.find(|subject| subject.table() == table)
            .unwrap_or(Subject::Inventory)
    }

    fn next(self) -> Option<Subject> {
        let mut rest = Subject::ALL.into_iter().skip_while(|one| *one != self);
        rest.nth(1)
    }

    /// How many columns its chunks are bounded by.
    fn parts(self) -> usize {
        match self {
            Subject::Orders | Subject::Customers => 1,
            Subject::Inventory
            | Subject::Hours
            | Subject::Sales
            | Subject::Habits
            | Subject::Conditions
            | Subject::Eligibility => 2,
        }
    }
}

/// Keys above one and up to another, both as many numbers as the table's chunks are bounded by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    above: Vec<i64>,
    upto: Vec<i64>,
}

impl Range {
    /// Everything above a key; above nothing, everything.
    fn above(key: &[i64], parts: usize) -> Range {
        let above = if key.len() == parts {
            key.to_vec()
        } else {
            vec![i64::MIN; parts]
        };
        Range {
            above,
            upto: vec![i64::MAX; parts],
        }
    }

    /// Where the next one begins; `None` behind the last.
    fn end(&self) -> Option<Vec<i64>> {
        let last = self.upto.iter().all(|part| *part == i64::MAX);
        (!last).then(|| self.upto.clone())
    }
}

/// What came of one chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chunk {
    /// Rows that took part.
    rows: u64,
    /// Rows that changed whenever they were looked at.
    moving: u64,
    /// Rows that differ.
    differences: u64,
    /// Keys of the first of them.
    shown: Vec<String>,
    /// Where the next chunk begins; `None` when the table is through.
    end: Option<Vec<i64>>,
}

impl Chunk {
    /// Counts a row that differs.
    fn differs(&mut self, key: String) {
        self.differences += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(key);
        }
    }
}

/// Verifies until `stop` or a definite error.
pub async fn run(
    settings: &Settings,
    health: &Health,
    stop: CancellationToken,
) -> Result<(), Error> {
    let sink = settings
        .sink
        .as_ref()
        .ok_or(Error::Unconfigured { section: "sink" })?;
    if let Some(unfoldable) = settings.format.unfoldable() {
        return Err(Error::Format(unfoldable));
    }
    let stage = health.stage("verify.chunk", STUCK_AFTER);
    stage.idle();
    loop {
        let watched = async {
            let database = connection::connect(&sink.connection)
                .await
                .map_err(Error::SinkConnection)?;
            Box::pin(watch(database, settings, &stage)).await
        };
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            ended = watched => ended,
        };
        match ended {
            Err(error) if error.is_transient() => {
                let cause = telemetry::chain(&error);
                tracing::warn!(%cause, "continuous verification is disturbed; trying again");
            }
            Err(error) => {
                stage.failed(&error);
                return Err(error);
            }
            Ok(()) => {}
        }
        stage.idle();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Verifies chunk after chunk on one connection, until it breaks.
async fn watch(mut sink: Database, settings: &Settings, stage: &Stage) -> Result<(), Error> {
    const OWN: &str = "select pg_try_advisory_lock($1)";
    const WARM: &str = "select coalesce(bool_and(snapshot_ended), false) from consumer_offset";
    let ask = async |sql: &str, parameter: Option<&i64>| {
        let row = match parameter {
            Some(parameter) => sink.query_one(sql, &[parameter]).await,
            None => sink.query_one(sql, &[]).await,
        };
        let row = row.map_err(query("asking for the verification"))?;
        Ok::<bool, Error>(row.get(0))
    };
    while !ask(OWN, Some(&VERIFY_LOCK)).await? || !ask(WARM, None).await? {
        tokio::time::sleep(TICK).await;
    }
    let per_minute = settings.verify.chunks_per_minute;
    let mut pace = tokio::time::interval(Duration::from_mins(1) / per_minute);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pass = Pass::resume(&sink).await?;
    loop {
        pass.observe(&sink).await?;
        pace.tick().await;
        stage.working_since(Instant::now());
        let subject = pass.subject();
        let chunk = chunk(&mut sink, settings, subject, pass.after()).await?;
        let table = subject.table();
        counter!(telemetry::VERIFY_ROWS_COMPARED, "table" => table).increment(chunk.rows);
        counter!(telemetry::VERIFY_ROWS_MOVING, "table" => table).increment(chunk.moving);
        counter!(telemetry::VERIFY_DIFFERENCES, "table" => table).increment(chunk.differences);
        gauge!(telemetry::VERIFY_CHUNK_TIMESTAMP).set(seconds_now());
        if chunk.differences > 0 {
            tracing::error!(
                table,
                differences = chunk.differences,
                "the sink is not what it should be: `tidewater verify` shows each row, \
                 and `--repair` mends it"
            );
        }
        pass.advance(&mut sink, &chunk).await?;
        stage.idle();
    }
}

fn seconds_now() -> f64 {
    jiff::Timestamp::now().as_microsecond() as f64 / 1e6
}

async fn chunk(
    sink: &mut Database,
    settings: &Settings,
    subject: Subject,
    after: &[i64],
) -> Result<Chunk, Error> {
    let range = Range::above(after, subject.parts());
    let rows_max = settings.verify.chunk_rows;
    match subject {
        Subject::Inventory | Subject::Orders | Subject::Customers => {
            match (&settings.source, &settings.kafka) {
                (Some(source), Some(kafka)) => {
                    let context = origin::Context {
                        source,
                        kafka,
                        settings,
                    };
                    Box::pin(origin::chunk(sink, context, subject, range)).await
                }
                // A sink that is verified by itself.
                _ => Ok(Chunk::default()),
            }
        }
        Subject::Hours | Subject::Sales | Subject::Habits => {
            derived::chunk(sink, subject, range, rows_max).await
        }
        Subject::Conditions | Subject::Eligibility => {
            decided::chunk(sink, subject, range, rows_max).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_goes_through_every_table_once() {
        let mut subject = Some(Subject::named(""));
        let mut seen = Vec::new();
        while let Some(one) = subject {
            assert_eq!(Subject::named(one.table()), one);
            seen.push(one);
            subject = one.next();
        }
        assert_eq!(seen, Subject::ALL);
    }

    #[test]
    fn ranges_meet_and_the_last_has_no_end() {
        let mut range = Range::above(&[], 2);
        assert_eq!(range.above, [i64::MIN; 2]);
        assert_eq!(range.end(), None);
        range.upto = vec![3, 7];
        let next = Range::above(&range.end().unwrap(), 2);
        assert_eq!(next.above, [3, 7]);
        assert_eq!(next.end(), None);
    }
}
