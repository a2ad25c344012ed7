//! `tidewater batch`: the nightly job.

use clap::Args;

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::output;
use crate::retail::batch::{self, Day, Options};
use crate::retail::time::Timestamp;

const EXAMPLES: &str = "\
Examples:
  tidewater batch --date yesterday                  every night, from cron or a timer
  tidewater batch --date 2026-11-27                 a day that was left out
  tidewater batch --date today --at 2026-11-28T08:30:00Z --json
                                                    who is eligible then; no code is issued";

/// Which day, and which moment.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BatchArguments {
    /// The day: a date, today or yesterday, in retail.day_zone.
    #[arg(long, value_name = "DAY", value_parser = day)]
    date: Day,
    /// Find who is eligible at this moment, such as 2026-11-28T08:30:00Z, on the source as it is now; no
    /// code is issued.
    #[arg(long, value_name = "TIME", value_parser = super::rules::moment)]
    at: Option<Timestamp>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

fn day(text: &str) -> Result<Day, String> {
    match text {
        "today" => Ok(Day::Today),
        "yesterday" => Ok(Day::Yesterday),
        _ => {
            let date: Option<jiff::civil::Date> = text.parse().ok();
            date.filter(|date| text.len() == 10 && date.year() >= 1970)
                .map(Day::Date)
                .ok_or_else(|| "a day is today, yesterday, or a date like 2026-11-27".to_owned())
        }
    }
}

/// Runs it.
pub(super) async fn run(
    settings: &Settings,
    arguments: BatchArguments,
) -> Result<ExitCode, Failure> {
    let options = Options {
        day: arguments.date,
        at: arguments.at,
    };
    let summary = Box::pin(batch::run(settings, &options)).await?;
    if arguments.json {
        output::json(&summary);
    } else {
        output::line(summary.to_string());
    }
    Ok(ExitCode::Success)
}
