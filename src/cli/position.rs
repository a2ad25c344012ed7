//! `tidewater position`: the recorded position, shown and moved by hand.

use clap::{Args, Subcommand};

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::event::Lsn;
use crate::exit::ExitCode;
use crate::output;
use crate::replicate::{self, Move, Moved};

const EXAMPLES: &str = "\
Examples:
  tidewater position show
  tidewater position export > position.json
  tidewater position set 0/16E9058 --yes    # skips, or repeats, what lies between
  tidewater position adopt --yes            # another server or database: its tables are read anew";

/// What to do with the position.
#[derive(Clone, Copy, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum PositionCommand {
    /// Where streaming resumes.
    Show(ShowArguments),
    /// The whole record, as JSON.
    Export,
    /// Streaming goes on at another LSN of the same source; stop the replicator first.
    Set(SetArguments),
    /// Accepts the present server, database or timeline in place of the recorded one.
    Adopt(AdoptArguments),
}

/// How to print it.
#[derive(Clone, Copy, Debug, Args)]
pub struct ShowArguments {
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Where to.
#[derive(Clone, Copy, Debug, Args)]
pub struct SetArguments {
    /// LSN as PostgreSQL writes it.
    lsn: Lsn,
    #[command(flatten)]
    confirm: Confirm,
}

/// How to go on with the new source.
#[derive(Clone, Copy, Debug, Args)]
pub struct AdoptArguments {
    /// Stream from this LSN; without it the tables are read anew at the next start.
    #[arg(long, value_name = "LSN")]
    at: Option<Lsn>,
    #[command(flatten)]
    confirm: Confirm,
}

/// A move loses or repeats changes, so it has to be meant.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Confirm {
    /// Do it; without it only what would be done is said.
    #[arg(long)]
    yes: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

/// Shows or moves the position.
pub(super) async fn run(
    settings: &Settings,
    command: PositionCommand,
) -> Result<ExitCode, Failure> {
    match command {
        PositionCommand::Show(arguments) => show(settings, arguments.json),
        PositionCommand::Export => show(settings, true),
        PositionCommand::Set(arguments) => {
            move_to(settings, Move::Set(arguments.lsn), arguments.confirm).await
        }
        PositionCommand::Adopt(arguments) => {
            move_to(settings, Move::Adopt(arguments.at), arguments.confirm).await
        }
    }
}

fn show(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let (topic, record) = replicate::recorded(settings)?;
    if json {
        output::json(&record);
        return Ok(ExitCode::Success);
    }
    match record {
        None => output::line(format!("no position is recorded in {topic}")),
        Some(record) => {
            output::line(format!("topic     {topic}"));
            output::line(format!("position  {}", record.position()));
            output::line(format!("resume    {}", record.resume_lsn));
            output::line(format!(
                "source    system {} timeline {} database {}",
                record.system_id, record.timeline, record.database
            ));
            output::line(format!("epoch     {}", record.epoch));
        }
    }
    Ok(ExitCode::Success)
}

async fn move_to(settings: &Settings, change: Move, confirm: Confirm) -> Result<ExitCode, Failure> {
    let moved = Box::pin(replicate::move_position(settings, change, confirm.yes)).await?;
    if confirm.json {
        output::json(&moved);
    } else {
        output::line(sentence(&moved));
    }
    Ok(if moved.written {
        ExitCode::Success
    } else {
        ExitCode::Configuration
    })
}

fn sentence(moved: &Moved) -> String {
    let from = moved
        .from
        .as_ref()
        .map_or_else(|| "none".to_owned(), |record| record.position().to_string());
    let to = moved.to.position();
    if moved.written {
        format!("moved the position in {} from {from} to {to}", moved.topic)
    } else {
        format!(
            "would move the position in {} from {from} to {to}; nothing was changed: confirm with --yes",
            moved.topic
        )
    }
}
