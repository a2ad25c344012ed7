//! `tidewater verify`.

use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::output;
use crate::verify::{self, Options};

/// What to compare, and how patiently.
#[derive(Clone, Debug, Args)]
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
    /// How long the replicator may take to publish what the source holds now, seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
    /// Most differences shown; all are counted.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    differences: usize,
}

/// Compares source, topics and sink; differences are an exit code of their own.
pub(super) async fn run(
    settings: &Settings,
    arguments: &VerifyArguments,
) -> Result<ExitCode, Failure> {
    let options = Options {
        source: !arguments.sink_only,
        sink: !arguments.source_only,
        timeout: Duration::from_secs(arguments.timeout),
        differences_max: arguments.differences,
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
