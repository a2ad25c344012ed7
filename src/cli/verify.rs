//! `tidewater verify`.

use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::roles::{self, Roles};
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::output;
use crate::verify::{self, Options};

const EXAMPLES: &str = "\
Examples:
  tidewater verify
  tidewater verify --sink-only --json | jq .differences
  tidewater verify --sink-only --repair
  tidewater verify --continuous";

/// What to compare, and how patiently.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArguments {
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Compare source and topics only.
    #[arg(long, conflicts_with = "sink_only")]
    source_only: bool,
    /// Compare topics and sink only.
    #[arg(long)]
    sink_only: bool,
    /// Write rows of the sink that differ as the topics say. Consumers may run; rules, codes and the outbox are
    /// not touched, and topics neither.
    #[arg(long, conflicts_with = "source_only")]
    repair: bool,
    /// Verify a few chunks of the sink in a minute, over and over, and serve the result as metrics: a role of its own,
    /// which `run` has with `[verify]`.
    #[arg(long, conflicts_with_all = ["json", "source_only", "sink_only", "repair"])]
    continuous: bool,
    /// How long the replicator may take to publish what the source holds now, seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
    /// Most differences and repaired rows shown; all are counted.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    differences: usize,
}

/// Compares source, topics and sink; differences are an exit code of their own.
pub(super) async fn run(
    settings: &Settings,
    arguments: &VerifyArguments,
) -> Result<ExitCode, Failure> {
    if arguments.continuous {
        return roles::run(settings, Roles::VERIFY).await;
    }
    let options = Options {
        source: !arguments.sink_only,
        sink: !arguments.source_only,
        timeout: Duration::from_secs(arguments.timeout),
        differences_max: arguments.differences,
        repair: arguments.repair,
    };
    let report = Box::pin(verify::run(settings, &options)).await?;
    if arguments.json {
        output::json(&report);
    } else {
        output::line(report.to_string());
    }
    Ok(if report.is_clean() {
        ExitCode::Success
    } else {
        ExitCode::Findings
    })
}
