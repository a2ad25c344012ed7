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

/// The range of a statement's first four parameters; the alias of its table with a dot, if it needs one.
macro_rules! in_range {
    ($alias:literal) => {
        concat!(
            "(",
            $alias,
            "store_id, ",
            $alias,
            "product_id) > ($1::bigint, $2::bigint) and (",
            $alias,
            "store_id, ",
            $alias,
            "product_id) <= ($3::bigint, $4::bigint)"
        )
    };
}

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
use super::eligibility::warm;
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

/// What a pass goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// Rows of the source, and the sink's images of them.
    Image(Image),
    /// What the sink derives from its images.
    Derived(Derived),
    /// What it decides by the rules.
    Decided(Decided),
}

/// Images of a table of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    Inventory,
    Orders,
    Customers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Derived {
    /// That each hour of stock begins where the one before has ended, and the last ends at the level.
    Hours,
    Sales,
    Habits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decided {
    /// The stock side of every rule.
    Conditions,
    /// Who is eligible.
    Eligibility,
}

impl Subject {
    /// In the order of a pass.
    const ALL: [Subject; 8] = [
        Subject::Image(Image::Inventory),
        Subject::Image(Image::Orders),
        Subject::Image(Image::Customers),
        Subject::Derived(Derived::Hours),
        Subject::Derived(Derived::Sales),
        Subject::Derived(Derived::Habits),
        Subject::Decided(Decided::Conditions),
        Subject::Decided(Decided::Eligibility),
    ];

    /// The sink's table.
    fn table(self) -> &'static str {
        match self {
            Subject::Image(image) => image.table(),
            Subject::Derived(derived) => derived.table(),
            Subject::Decided(decided) => decided.table(),
        }
    }

    fn named(table: &str) -> Subject {
        let [first, ..] = Subject::ALL;
        let mut all = Subject::ALL.into_iter();
        all.find(|subject| subject.table() == table)
            .unwrap_or(first)
    }

    fn next(self) -> Option<Subject> {
        let mut rest = Subject::ALL.into_iter().skip_while(|one| *one != self);
        rest.nth(1)
    }

    /// How many columns its chunks are bounded by.
    fn parts(self) -> usize {
        match self {
            Subject::Image(Image::Orders | Image::Customers) => 1,
            Subject::Image(Image::Inventory) | Subject::Derived(_) | Subject::Decided(_) => 2,
        }
    }
}

impl Image {
    fn table(self) -> &'static str {
        match self {
            Image::Inventory => "inventory_image",
            Image::Orders => "order_image",
            Image::Customers => "customer_image",
        }
    }
}

impl Derived {
    fn table(self) -> &'static str {
        match self {
            Derived::Hours => "inventory_hourly",
            Derived::Sales => "sales_hourly",
            Derived::Habits => "purchase_habit",
        }
    }
}

impl Decided {
    fn table(self) -> &'static str {
        match self {
            Decided::Conditions => "promotion_condition",
            Decided::Eligibility => "promotion_eligibility",
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
    /// Of a range with so many rows, of which those with these keys differ.
    fn of(range: &Range, rows: u64, wrong: Vec<String>) -> Chunk {
        let mut chunk = Chunk {
            rows,
            end: range.end(),
            ..Chunk::default()
        };
        for key in wrong {
            chunk.differs(key);
        }
        chunk
    }

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
    while !own(&sink).await? || !warm(&sink).await? {
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

/// Whether this is the instance that verifies.
async fn own(sink: &Database) -> Result<bool, Error> {
    const SQL: &str = "select pg_try_advisory_lock($1)";
    let row = sink.query_one(SQL, &[&VERIFY_LOCK]).await;
    Ok(row.map_err(query("asking for the verification"))?.get(0))
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
        Subject::Image(image) => match (&settings.source, &settings.kafka) {
            (Some(source), Some(kafka)) => {
                let context = origin::Context {
                    source,
                    kafka,
                    settings,
                };
                Box::pin(origin::chunk(sink, context, image, range)).await
            }
            // A sink that is verified by itself.
            _ => Ok(Chunk::default()),
        },
        Subject::Derived(derived) => derived::chunk(sink, derived, range, rows_max).await,
        Subject::Decided(decided) => decided::chunk(sink, decided, range, rows_max).await,
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
