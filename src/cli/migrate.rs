//! `tidewater migrate`.

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::{output, retail};

/// Creates the sink's schema, or brings it up to date.
pub(super) async fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    let sink = settings
        .sink
        .as_ref()
        .ok_or(retail::Error::Missing { section: "sink" })?;
    let applied = retail::migrate(sink).await?;
    output::line(match applied {
        0 => "the sink's schema is up to date".to_owned(),
        1 => "1 migration applied".to_owned(),
        count => format!("{count} migrations applied"),
    });
    Ok(ExitCode::Success)
}
