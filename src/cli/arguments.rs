//! The arguments, as clap reads them.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::batch::BatchArguments;
use super::capture::CaptureArguments;
use super::compare::CompareArguments;
use super::completions::CompletionsArguments;
use super::deliveries::DeliveriesCommand;
use super::doctor::DoctorArguments;
use super::keys::KeysCommand;
use super::position::PositionCommand;
use super::replay::ReplayArguments;
use super::rules::RulesCommand;
use super::simulate::SimulateArguments;
use super::snapshot::SnapshotCommand;
use super::status::StatusArguments;
use super::tail::TailArguments;
use super::verify::VerifyArguments;
use crate::exit::ExitCode;
use crate::output;

/// The version, and the commit that it was built from where that is known.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("SHOWN_COMMIT"));

/// Change data capture from PostgreSQL to Apache Kafka, exactly once, and the retail aggregates on it.
#[derive(Debug, Parser)]
#[command(
    name = "tidewater",
    version = VERSION,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Arguments {
    /// Configuration file; `tidewater.toml` is read when it is there and none is named.
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Least severe log lines shown, per module if need be: `info`, `tidewater::replicate=debug`.
    #[arg(long, global = true, default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// How log lines look.
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every role in one process.
    Run,
    /// Captures the source's changes into Kafka.
    Replicate,
    /// Folds the topics into the sink's aggregates and issues codes.
    Aggregate,
    /// Serves applications: takes their events in, and lets them read.
    Gateway,
    /// Serves the live page: what flows, what it says, what was done about it, and why.
    Console,
    /// Keys of the gateway: made, listed, revoked.
    Keys {
        /// What to do with them.
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Creates the sink's schema, or brings it up to date.
    Migrate,
    /// Compares source, topics and aggregates at one consistent position, row by row.
    Verify(VerifyArguments),
    /// One screen: slot, log kept, lags, position, freshness, what waits.
    Status(StatusArguments),
    /// Checks source, Kafka, sink and configuration; each finding with what mends it.
    Doctor(DoctorArguments),
    /// Change events as a person reads them: time, operation, key, what changed, position.
    Tail(TailArguments),
    /// The recorded position: shown, exported, set, or given to a new source.
    Position {
        /// What to do with it.
        #[command(subcommand)]
        command: PositionCommand,
    },
    /// Tables read again while the replicator streams: asked for, paused, resumed, cancelled.
    Snapshot {
        /// What to do.
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Records the raw stream of the source in a file, beside whatever replicates.
    Capture(CaptureArguments),
    /// Decodes and encodes a captured stream without a server, and prints the records.
    Replay(ReplayArguments),
    /// The completion script of a shell.
    Completions(CompletionsArguments),
    /// Wipes what is derived and folds the topics again; never issues a second code.
    Rebuild,
    /// The nightly job: stock and sales of a day, and the next one's codes, from the source's tables alone.
    Batch(BatchArguments),
    /// What the stream gains over the batch, and what codes are worth: arm beside arm.
    Compare(CompareArguments),
    /// Codes that the webhook has given up: shown, delivered again.
    Deliveries {
        /// What to do.
        #[command(subcommand)]
        command: DeliveriesCommand,
    },
    /// Promotion rules: why somebody gets a code, or does not.
    Rules {
        /// What to say.
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// A realistic shop in the source database, at a rate you name.
    Simulate(SimulateArguments),
}

/// Reads the process's arguments. The help ends with the exit codes.
pub(super) fn parse() -> Result<Arguments, clap::Error> {
    let mut codes = "Exit codes:".to_owned();
    for (code, meaning) in ExitCode::ALL {
        // Writing into a string does not fail.
        let _ = write!(codes, "\n  {:>2}  {meaning}", *code as u8);
    }
    let matches = Arguments::command().after_help(codes).try_get_matches()?;
    Arguments::from_arg_matches(&matches)
}

/// Shows help, the version, or what is wrong with the arguments.
pub(super) fn explain(error: &clap::Error) -> ExitCode {
    output::clap(error);
    if error.use_stderr() {
        ExitCode::Configuration
    } else {
        ExitCode::Success
    }
}
