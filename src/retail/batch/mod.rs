//! The nightly batch, as the shop had it before the stream: stock and sales of one day and the codes of the
//! next, over a full scan of the source's tables. It reads no topic and nothing that the stream folds.
//!
//! ```text
//! source, one snapshot: levels ─┐ by (store, product)
//!                       orders ─┴▶ fold ─▶ staged rows ─▶ inventory_daily, batch_eligibility ─▶ codes
//! ```
//!
//! Memory holds the buyers of one product in one store. Codes go into the stream's ledger, under the lock
//! that the stream counts its limits under and in the same order, to the customers of the batch's arm. They
//! are issued once for a day, however often it is run.

mod error;
mod fold;
mod report;
mod source;
mod store;

use self::fold::{Folded, Pairs};
use self::source::Reader;
use self::store::Store;
use super::arm::{Arm, buckets};
use super::evaluation::Policy;
use super::recovery::Recovery;
use super::time::Timestamp;
use crate::config::settings::Settings;

pub use error::Error;
pub use report::{Codes, Summary};

/// Rows that are staged at a time.
const ROWS_MAX: usize = 5_000;

/// A day of `retail.day_zone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// The one that it is.
    Today,
    /// The one before.
    Yesterday,
    /// A date.
    Date(jiff::civil::Date),
}

/// What to run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The day of `inventory_daily`.
    pub day: Day,
    /// Find the tuples that are eligible then, and issue no codes; `None` for the sink's clock.
    pub at: Option<Timestamp>,
}

/// Runs the batch for one day.
pub async fn run(settings: &Settings, options: &Options) -> Result<Summary, Error> {
    let began = std::time::Instant::now();
    let missing = |section| Error::Retail(super::Error::Missing { section });
    let source = settings.source.as_ref().ok_or(missing("source"))?;
    let sink = settings.sink.as_ref().ok_or(missing("sink"))?;
    super::check_schema(sink)
        .await
        .map_err(super::Error::from)?;
    let policy = Policy::new(&settings.retail);
    let mut store = Store::connect(&sink.connection, policy).await?;
    store.own().await?;
    let plan = store.plan(options).await?;
    let mut reader = Reader::open(&source.connection, &settings.retail).await?;
    tracing::info!(day = %plan.day, at = %plan.at_text, rules = plan.rules.len(), "reading the source");
    let mut totals = fold(&mut reader, &mut store, &plan).await?;
    store.publish(&plan, &mut totals).await?;
    let buckets = buckets(settings.retail.arms, Arm::Batch);
    let codes = if options.at.is_some() {
        Codes::OtherMoment
    } else if !plan.recent {
        Codes::PastDay
    } else if buckets.is_empty() {
        Codes::NoArm
    } else {
        // What a restored sink lacks is in the topic; without [kafka] nothing was dispatched from here.
        if let Some(kafka) = &settings.kafka {
            let webhook = settings.webhook.is_some();
            let recovery = Recovery::new(sink.connection.clone(), kafka.clone(), webhook);
            recovery.complete().await?;
        }
        store.issue(&plan).await?
    };
    Ok(Summary::new(&plan, &totals, codes, began.elapsed()))
}

/// Folds pair after pair, and stages what comes of each.
async fn fold(
    reader: &mut Reader,
    store: &mut Store,
    plan: &store::Plan,
) -> Result<report::Totals, Error> {
    let mut transaction = reader.begin().await?;
    let mut totals = report::Totals::new(transaction.taken_at());
    let mut pairs = Pairs::new(&plan.rules, plan.day_bounds, plan.recent);
    let mut folded = Folded::default();
    loop {
        let more = transaction.next(&mut pairs, &mut folded).await?;
        if !more || folded.len() >= ROWS_MAX {
            totals.add(&folded);
            store.stage(&folded).await?;
            folded = Folded::default();
        }
        if !more {
            totals.orders = transaction.orders();
            return Ok(totals);
        }
    }
}
