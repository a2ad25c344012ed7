//! Proof that the numbers are right, at one consistent position, row by row.
//!
//! ```text
//! source ══ exported snapshot at C ══╗            sink ══ snapshot with its own offsets ══╗
//!                                    ╠═ equal?                                            ╠═ equal?
//! topics ── folded to C ─────────────╝            topics ── folded to those offsets ──────╝
//! ```
//!
//! Both folds are straightforward readings of what the tables mean and share nothing with the
//! replicator and the consumer but positions and the envelope; [`model`] is the second one.
//!
//! Nothing is locked against writers and nothing has to stand still. Memory holds the state per key of
//! one table at a time for the source's side (each row's JSON), and of all three retail tables for the
//! sink's; the number of changes does not matter.

pub mod continuous;
mod eligibility;
mod error;
pub mod history;
mod ledger;
pub mod model;
mod nested;
pub mod record;
mod redemption;
mod repair;
mod report;
mod rows;
mod sink;
mod source;
mod table;
mod topics;
mod value;

use std::time::Duration;

pub use error::Error;
pub use report::{Comparison, Difference, DifferenceKind, Repair, Report, TableReport};

use self::report::Findings;
use crate::config::settings::Settings;

/// What to compare, and how patiently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Compare source and topics.
    pub source: bool,
    /// Compare topics and sink.
    pub sink: bool,
    /// How long the replicator may take to publish everything up to the source's snapshot.
    pub timeout: Duration,
    /// How many differences the report shows, and how many repaired rows; the rest is counted.
    pub differences_max: usize,
    /// Mend what differs in the sink.
    pub repair: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            source: true,
            sink: true,
            timeout: Duration::from_mins(1),
            differences_max: 100,
            repair: false,
        }
    }
}

/// Compares whatever is configured: source and topics, topics and sink.
pub async fn run(settings: &Settings, options: &Options) -> Result<Report, Error> {
    let kafka = settings
        .kafka
        .as_ref()
        .ok_or(Error::Unconfigured { section: "kafka" })?;
    if let Some(unfoldable) = settings.format.unfoldable() {
        return Err(Error::Format(unfoldable));
    }
    let source = settings.source.as_ref().filter(|_| options.source);
    let sink = settings.sink.as_ref().filter(|_| options.sink);
    if source.is_none() && sink.is_none() {
        return Err(Error::Unconfigured { section: "source" });
    }
    if options.repair && sink.is_none() {
        return Err(Error::Unconfigured { section: "sink" });
    }
    let mut findings = Findings::new(options.differences_max);
    if let Some(source) = source {
        let shaping = source::Shaping {
            selection: &settings.selection,
            skipped: settings.format.skip,
        };
        Box::pin(source::verify(
            source,
            kafka,
            shaping,
            options,
            &mut findings,
        ))
        .await?;
    }
    if let Some(sink) = sink {
        let retail = &settings.retail;
        Box::pin(sink::verify(
            sink,
            kafka,
            retail,
            options.repair,
            &mut findings,
        ))
        .await?;
    }
    Ok(findings.finish())
}
