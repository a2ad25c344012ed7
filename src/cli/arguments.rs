//! The arguments, as clap reads them.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::simulate::SimulateArguments;
use super::verify::VerifyArguments;
use crate::exit::ExitCode;
use crate::output;

/// Change data capture from PostgreSQL to Apache Kafka, exactly once, and the retail aggregates on it.
#[derive(Debug, Parser)]
#[command(
    name = "tidewater",
    version,
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
    /// Creates the sink's schema, or brings it up to date.
    Migrate,
    /// Compares source, topics and aggregates at one consistent position, row by row.
    Verify(VerifyArguments),
    /// Wipes what is derived and folds the topics again; never issues a second code.
    Rebuild,
    /// A realistic shop in the source database, at a rate you name.
    Simulate(SimulateArguments),
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
