//! The command line: arguments, signals, and how a failure reaches the user.
//!
//! One file per command or group of commands; each returns what `main` turns into an exit code. Only
//! [`output`](crate::output) writes to standard output.

mod arguments;
mod batch;
mod capture;
mod compare;
mod completions;
mod deliveries;
mod doctor;
mod failure;
mod keys;
mod migrate;
mod position;
mod rebuild;
mod replay;
mod roles;
mod rules;
mod signals;
mod simulate;
mod snapshot;
mod status;
mod tail;
mod verify;

pub use arguments::{Arguments, Command, LogFormat};
pub use failure::Failure;

use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::{config, output};

/// Runs the command that the arguments name, and says how it ended.
pub fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(help) => return arguments::explain(&help),
    };
    output::log_to_stderr(&arguments.log, arguments.log_format);
    match start(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            failure.code
        }
    }
}

fn start(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::runtime)?;
    runtime.block_on(dispatch(arguments))
}

async fn dispatch(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let settings =
        || -> Result<Settings, Failure> { Ok(config::load(arguments.config.as_deref())?) };
    match &arguments.command {
        Command::Run => {
            let settings = settings()?;
            roles::run(&settings, roles::Roles::all(&settings)).await
        }
        Command::Replicate => roles::run(&settings()?, roles::Roles::REPLICATE).await,
        Command::Aggregate => roles::run(&settings()?, roles::Roles::AGGREGATE).await,
        Command::Gateway => roles::run(&settings()?, roles::Roles::GATEWAY).await,
        Command::Console => roles::run(&settings()?, roles::Roles::CONSOLE).await,
        Command::Keys { command } => keys::run(&settings()?, command).await,
        Command::Migrate => migrate::run(&settings()?).await,
        Command::Verify(arguments) => verify::run(&settings()?, arguments).await,
        Command::Status(arguments) => status::run(&settings()?, *arguments).await,
        Command::Doctor(arguments) => doctor::run(&settings()?, *arguments).await,
        Command::Tail(arguments) => tail::run(&settings()?, arguments).await,
        Command::Position { command } => position::run(&settings()?, *command).await,
        Command::Snapshot { command } => snapshot::run(&settings()?, command).await,
        Command::Capture(arguments) => capture::run(&settings()?, arguments).await,
        Command::Replay(arguments) => replay::run(&settings()?, arguments),
        Command::Completions(arguments) => Ok(completions::run(*arguments)),
        Command::Rebuild => rebuild::run(&settings()?).await,
        Command::Deliveries { command } => deliveries::run(&settings()?, *command).await,
        Command::Batch(arguments) => batch::run(&settings()?, *arguments).await,
        Command::Compare(arguments) => compare::run(&settings()?, *arguments).await,
        Command::Rules { command } => rules::run(&settings()?, command).await,
        Command::Simulate(arguments) => simulate::run(&settings()?, arguments).await,
    }
}
