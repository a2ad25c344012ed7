//! `tidewater rebuild`.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::signals;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::{output, retail};

/// Wipes what is derived and folds the topics again. Interrupted, it says so: whoever consumes next
/// goes on where it stood.
pub(super) async fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    let mut background = JoinSet::new();
    background.spawn(signals::cancel_on_signal(stop.clone()));
    let records = Box::pin(retail::rebuild(settings, stop.clone())).await?;
    background.shutdown().await;
    if stop.is_cancelled() {
        output::line("interrupted: whoever consumes next goes on where the rebuild stood");
        return Ok(ExitCode::Failure);
    }
    output::line(format!("rebuilt from {records} records"));
    Ok(ExitCode::Success)
}
