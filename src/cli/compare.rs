//! `tidewater compare`: what the stream gains over the batch.

use clap::Args;

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::output;
use crate::retail;
use crate::retail::compare::{Options, compare};
use crate::retail::time::Timestamp;

const EXAMPLES: &str = "\
Examples:
  tidewater compare                                 since when the arms have had their shares, at most 28 days
  tidewater compare --since 2026-11-20T00:00:00Z --json
  tidewater compare --response 0.1                  the models, were one code of ten answered";

/// Which period, and what the models assume.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompareArguments {
    /// Codes and orders from this moment on, such as 2026-11-20T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = super::rules::moment)]
    since: Option<Timestamp>,
    /// What the models assume: the share of codes that are answered if none comes late, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = share)]
    response: f64,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share is a number from 0 to 1, such as 0.2".to_owned())
}

/// Compares.
pub(super) async fn run(
    settings: &Settings,
    arguments: CompareArguments,
) -> Result<ExitCode, Failure> {
    let missing = retail::Error::Missing { section: "sink" };
    let sink = settings.sink.as_ref().ok_or(missing)?;
    let options = Options {
        since: arguments.since,
        response: arguments.response,
    };
    let comparison = compare(sink, &options).await?;
    if arguments.json {
        output::json(&comparison);
    } else {
        output::line(comparison.to_string().trim_end());
    }
    Ok(ExitCode::Success)
}
