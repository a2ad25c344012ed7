//! `tidewater tail`.

use clap::Args;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::signals;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::output;
use crate::registry::Registry;
use crate::tail::{self, Decoder, Error, Options};

const EXAMPLES: &str = "\
Examples:
  tidewater tail retail.public.inventory
  tidewater tail retail.public.orders --from-beginning --count 20
  tidewater tail retail.promotions --json | jq .code";

/// What to read, and how to show it.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TailArguments {
    /// The topic.
    topic: String,
    /// Begin with the oldest record instead of the next one.
    #[arg(long)]
    from_beginning: bool,
    /// End after so many records; without it, at Ctrl-C.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print each value as it is, one a line.
    #[arg(long)]
    json: bool,
}

/// Prints records until the count, a signal, or the end of whoever reads.
pub(super) async fn run(
    settings: &Settings,
    arguments: &TailArguments,
) -> Result<ExitCode, Failure> {
    let kafka = settings.kafka.clone().ok_or(Error::Unconfigured)?;
    let options = Options {
        topic: arguments.topic.clone(),
        from_beginning: arguments.from_beginning,
        count: arguments.count,
        raw: arguments.json,
    };
    let registry = settings.registry.as_ref().map(Registry::new).transpose();
    let registry = registry.map_err(|error| Error::from(tail::DecodeError::from(error)))?;
    let decoder = registry.map(|registry| Decoder::new(registry, Handle::current()));
    let stop = CancellationToken::new();
    let mut background = JoinSet::new();
    background.spawn(signals::cancel_on_signal(stop.clone()));
    let followed = tokio::task::spawn_blocking(move || {
        tail::follow(&kafka, &options, decoder, &stop, output::reached)
    });
    followed.await.unwrap_or(Err(Error::Thread))?;
    background.shutdown().await;
    Ok(ExitCode::Success)
}
