//! `tidewater snapshot`: tables read again while the replicator streams.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::lag::RequestLag;
use crate::output;
use crate::replicate::{self, Ask, Asked};

const EXAMPLES: &str = "\
Examples:
  tidewater snapshot start public.orders 'public.item*'
  tidewater snapshot start              # every table
  tidewater snapshot show
  tidewater snapshot pause 7d1f0c52     # and: resume, cancel
  tidewater snapshot show --json | jq '.[] | select(.state == \"reading\") | .minutes_remaining'

The stream goes on meanwhile: reads come as op \"r\" with source.snapshot \"incremental\", never an older row
behind a newer one, and the end of each table is marked. source.snapshot_rows_per_second limits them.";

/// What to do with tables that are read again.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum SnapshotCommand {
    /// Asks the replicator to read tables again.
    Start(StartArguments),
    /// Nothing more is read until it is resumed.
    Pause(TurnArguments),
    /// Goes on where it was paused.
    Resume(TurnArguments),
    /// Ends it; what is published stays.
    Cancel(TurnArguments),
    /// The requests under way, and what became of the last ones.
    Show(ShowArguments),
}

/// What to read.
#[derive(Clone, Debug, Args)]
pub struct StartArguments {
    /// Patterns of captured tables, as in source.tables; none: every table.
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    #[command(flatten)]
    report: Report,
}

/// Which request.
#[derive(Clone, Debug, Args)]
pub struct TurnArguments {
    /// Its name; none: every one that it fits.
    #[arg(value_name = "REQUEST")]
    request: Option<String>,
    #[command(flatten)]
    report: Report,
}

/// How long to wait, and how to print the outcome.
#[derive(Clone, Copy, Debug, Args)]
struct Report {
    /// Seconds to wait until a running replicator has taken it up.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u32,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

/// How to print them.
#[derive(Clone, Copy, Debug, Args)]
pub struct ShowArguments {
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks, or shows.
pub(super) async fn run(
    settings: &Settings,
    command: &SnapshotCommand,
) -> Result<ExitCode, Failure> {
    let (ask, report) = match command {
        SnapshotCommand::Start(arguments) => {
            (Ask::Start(arguments.tables.clone()), arguments.report)
        }
        SnapshotCommand::Pause(turn) => (Ask::Pause(turn.request.clone()), turn.report),
        SnapshotCommand::Resume(turn) => (Ask::Resume(turn.request.clone()), turn.report),
        SnapshotCommand::Cancel(turn) => (Ask::Cancel(turn.request.clone()), turn.report),
        SnapshotCommand::Show(arguments) => return show(settings, arguments.json),
    };
    let wait = Duration::from_secs(report.wait.into());
    let asked = Box::pin(replicate::ask(settings, ask, wait)).await?;
    if report.json {
        output::json(&asked);
    } else {
        for line in sentences(&asked) {
            output::line(line);
        }
    }
    Ok(ExitCode::Success)
}

fn show(settings: &Settings, json: bool) -> Result<ExitCode, Failure> {
    let (topic, records) = replicate::asked(settings)?;
    let requests = RequestLag::all(&records);
    if json {
        output::json(&requests);
    } else if requests.is_empty() {
        output::line(format!("no snapshot request is recorded in {topic}"));
    }
    for request in requests.iter().filter(|_| !json) {
        output::line(format!("{}  {request}", request.request.id));
    }
    Ok(ExitCode::Success)
}

/// One line for each request.
fn sentences(asked: &Asked) -> Vec<String> {
    let sentence = |id: &String| {
        let recorded = asked.requests.iter().find(|request| request.id == *id);
        match recorded.filter(|_| asked.taken_up) {
            Some(request) => {
                let tables = request.tables_total;
                let reason = request.reason.as_ref();
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                format!("{id}  {}, {tables} tables{reason}", request.state.name())
            }
            None if asked.running => format!(
                "{id}  is in the log, and the replicator has not come to it yet: tidewater snapshot show \
                 tells when it has"
            ),
            None => format!(
                "{id}  is in the log; no replicator is running: it is taken up when one does"
            ),
        }
    };
    asked.ids.iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_up_is_said_to_wait() {
        let mut asked = Asked {
            ids: vec!["7d1f0c52".to_owned()],
            running: false,
            taken_up: false,
            requests: Vec::new(),
        };
        let said = |asked: &Asked, part: &str| {
            let sentences = sentences(asked);
            assert!(sentences[0].contains(part), "{sentences:?}");
        };
        said(&asked, "no replicator is running");
        asked.running = true;
        said(&asked, "has not come to it yet");
    }
}
