//! `tidewater capture`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::signals;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::output;
use crate::replicate::recording::{self, Options};

const EXAMPLES: &str = "\
Examples:
  tidewater capture changes.capture --seconds 60
  tidewater capture stuck.capture --existing --changes 1000 --scramble
  tidewater replay changes.capture | head

Nothing is confirmed to the configured slot, and nothing is published. The publication must be there.";

/// What to record, and for how long; without a limit, until Ctrl-C.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CaptureArguments {
    /// The file; one that is there is never written over.
    file: PathBuf,
    /// Begin with what the configured slot still holds, instead of what happens from now on.
    #[arg(long)]
    existing: bool,
    /// End after so long.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// End with the transaction in which so many changes are reached.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    changes: Option<u64>,
    /// End with the transaction in which the file reaches so many megabytes.
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..1 << 20))]
    megabytes: u64,
    /// Replace letters and digits of row values by others. Names, lengths, booleans, enumerations, and
    /// the year and month of dates stay readable.
    #[arg(long)]
    scramble: bool,
}

/// Records until a limit or a signal.
pub(super) async fn run(
    settings: &Settings,
    arguments: &CaptureArguments,
) -> Result<ExitCode, Failure> {
    let options = Options {
        path: arguments.file.clone(),
        existing: arguments.existing,
        duration: arguments.seconds.map(Duration::from_secs),
        changes_max: arguments.changes,
        bytes_max: arguments.megabytes << 20,
        scramble: arguments.scramble,
    };
    let stop = CancellationToken::new();
    let mut background = JoinSet::new();
    background.spawn(signals::cancel_on_signal(stop.clone()));
    let summary = Box::pin(recording::record(settings, &options, &stop)).await?;
    background.shutdown().await;
    output::line(format!(
        "captured {} changes of {} tables in {} transactions: {} bytes in {}",
        summary.changes,
        summary.tables,
        summary.transactions,
        summary.bytes,
        arguments.file.display()
    ));
    Ok(ExitCode::Success)
}
