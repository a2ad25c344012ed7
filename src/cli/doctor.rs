//! `tidewater doctor`.

use clap::Args;

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::doctor::{self, Severity};
use crate::exit::ExitCode;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tidewater doctor
  tidewater doctor --json | jq -r '.findings[] | select(.severity == \"error\") | .remedy'";

/// How to print it.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArguments {
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Examines every configured part; an error is an exit code of its own.
pub(super) async fn run(
    settings: &Settings,
    arguments: DoctorArguments,
) -> Result<ExitCode, Failure> {
    let report = Box::pin(doctor::run(settings)).await;
    if arguments.json {
        output::json(&report);
    } else {
        output::line(report.to_string());
    }
    Ok(match report.severity() {
        Severity::Ok | Severity::Info | Severity::Warning => ExitCode::Success,
        Severity::Error => ExitCode::Findings,
    })
}
