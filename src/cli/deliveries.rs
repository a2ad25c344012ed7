//! `tidewater deliveries`: codes that the webhook's receiver would not take.

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::{output, retail};

/// What to do.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// Deliveries that were given up, the latest first, with the reason.
    Parked(ParkedArguments),
    /// Delivers parked ones again.
    Replay(ReplayArguments),
}

/// How many to show.
#[derive(Clone, Copy, Debug, Args)]
pub struct ParkedArguments {
    /// Most deliveries shown.
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(i64).range(1..))]
    most: i64,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

/// Which to deliver again.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ReplayArguments {
    /// Every parked delivery.
    #[arg(long)]
    all: bool,
    /// The delivery of this promotion.
    #[arg(value_name = "PROMOTION_ID")]
    promotion: Option<Uuid>,
}

/// Shows or replays.
pub(super) async fn run(
    settings: &Settings,
    command: DeliveriesCommand,
) -> Result<ExitCode, Failure> {
    let sink = settings
        .sink
        .as_ref()
        .ok_or(retail::Error::Missing { section: "sink" })?;
    retail::check_schema(sink).await?;
    match command {
        DeliveriesCommand::Parked(arguments) => {
            let parked = retail::webhook::parked(&sink.connection, arguments.most).await?;
            if arguments.json {
                output::json(&parked);
            } else if parked.is_empty() {
                output::line("no delivery is parked");
            }
            for one in parked.iter().filter(|_| !arguments.json) {
                let error = one.last_error.as_deref().unwrap_or("unknown");
                output::line(format!(
                    "{}  {}  {}  {} attempts  {error}",
                    one.parked_at, one.promotion_id, one.code, one.attempts
                ));
            }
        }
        DeliveriesCommand::Replay(arguments) => {
            let replayed = retail::webhook::replay(&sink.connection, arguments.promotion).await?;
            output::line(format!("{replayed} deliveries are due again"));
            if let (0, Some(promotion)) = (replayed, arguments.promotion) {
                output::line(format!(
                    "{promotion} is not parked: see tidewater deliveries parked"
                ));
                return Ok(ExitCode::Findings);
            }
        }
    }
    Ok(ExitCode::Success)
}
