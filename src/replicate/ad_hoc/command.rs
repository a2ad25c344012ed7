//! What `tidewater snapshot` does: it writes a message into the source's log, and waits until the replicator has
//! taken it up. What cannot be carried out is refused here, before anything is written.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::message::{Command, Message};
use crate::config::settings::{Settings, Source};
use crate::connection::{self, Database};
use crate::event::SNAPSHOT_PREFIX;
use crate::kafka::{self, AdHocRecords, Admin, RequestState, SnapshotRequest, topics};
use crate::postgres::{self, Patterns};
use crate::replicate::Error;
use crate::replicate::start::section;

/// How often the position topic is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Digits of a request's name.
const ID_DIGITS: usize = 8;

/// What is asked of the replicator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To read the tables that match again; without a pattern, all of them.
    Start(Vec<String>),
    /// To pause a request; without a name, every one that is under way.
    Pause(Option<String>),
    /// To go on with it.
    Resume(Option<String>),
    /// To end it.
    Cancel(Option<String>),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Asked {
    /// Names of the requests.
    pub ids: Vec<String>,
    /// Whether a replicator is running.
    pub running: bool,
    /// Whether it has taken the message up.
    pub taken_up: bool,
    /// The requests as they are recorded then.
    pub requests: Vec<SnapshotRequest>,
}

/// What is recorded of requests, by the topic's name.
pub fn asked(settings: &Settings) -> Result<(String, AdHocRecords), Error> {
    let source = section(settings.source.as_ref(), "source")?;
    let kafka = section(settings.kafka.as_ref(), "kafka")?;
    let topic = topics::position(&kafka.prefix, &source.slot);
    let records = match Admin::new(kafka)?.partitions(&topic)? {
        None => AdHocRecords::default(),
        Some(_) => kafka::read_recorded_now(kafka, &topic)?.ad_hoc,
    };
    Ok((topic, records))
}

/// Asks the replicator, and waits at most that long until it has taken the message up, if one is running.
pub async fn ask(settings: &Settings, ask: Ask, wait: Duration) -> Result<Asked, Error> {
    let source = section(settings.source.as_ref(), "source")?;
    let kafka = section(settings.kafka.as_ref(), "kafka")?;
    let database = connection::connect(&source.connection).await?;
    let name = postgres::lease_name(&kafka.prefix, &source.slot);
    let running = postgres::lease_holder(&database, &name).await?.is_some();
    let commands = match &ask {
        Ask::Start(tables) => vec![start(&database, source, tables).await?],
        Ask::Pause(id) => turn(settings, &ask, id.as_deref(), running).await?,
        Ask::Resume(id) => turn(settings, &ask, id.as_deref(), running).await?,
        Ask::Cancel(id) => turn(settings, &ask, id.as_deref(), running).await?,
    };
    let mut ids = Vec::new();
    for command in commands {
        ids.push(id_of(&command).to_owned());
        let message = Message::new(&name, command).to_json();
        let emit = "select pg_catalog.pg_logical_emit_message(true, $1, $2::text)";
        let written = database.execute(emit, &[&SNAPSHOT_PREFIX, &message]).await;
        written.map_err(Error::Request)?;
    }
    let until = Instant::now() + if running { wait } else { Duration::ZERO };
    loop {
        let (_, records) = look(settings).await?;
        let requests: Vec<SnapshotRequest> = ids
            .iter()
            .filter_map(|id| records.request(id).cloned())
            .collect();
        let done = |request: &SnapshotRequest| has_taken_up(&ask, request.state);
        let taken_up = requests.len() == ids.len() && requests.iter().all(done);
        if taken_up || Instant::now() >= until {
            return Ok(Asked {
                ids,
                running,
                taken_up,
                requests,
            });
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Whether a request in that state shows that the message was taken up.
fn has_taken_up(ask: &Ask, state: RequestState) -> bool {
    match ask {
        // Its tables are known then, or that there are none.
        Ask::Start(_) => state != RequestState::TakenUp,
        Ask::Pause(_) => state == RequestState::Paused || state.has_ended(),
        Ask::Resume(_) => state != RequestState::Paused,
        Ask::Cancel(_) => state.has_ended(),
    }
}

fn id_of(command: &Command) -> &str {
    match command {
        Command::Start { id, .. }
        | Command::Pause { id }
        | Command::Resume { id }
        | Command::Cancel { id } => id,
    }
}

async fn look(settings: &Settings) -> Result<(String, AdHocRecords), Error> {
    let settings = settings.clone();
    let looked = tokio::task::spawn_blocking(move || asked(&settings)).await;
    looked.unwrap_or(Err(Error::WorkerEnded))
}

/// Refuses patterns that match nothing.
async fn start(database: &Database, source: &Source, tables: &[String]) -> Result<Command, Error> {
    let slot = &source.slot;
    if postgres::is_in_recovery(database).await? {
        return Err(Error::StandbyRead);
    }
    if postgres::read_slot(database, slot).await?.is_none() {
        return Err(Error::NotStarted { slot: slot.clone() });
    }
    let captured = Patterns::new(&source.tables).map_err(Error::Patterns)?;
    let captured = postgres::captured_tables(database, &source.publication, &captured).await?;
    for pattern in tables {
        let asked = Patterns::new(std::slice::from_ref(pattern)).map_err(Error::AskedPattern)?;
        let asked = postgres::captured_tables(database, &source.publication, &asked).await?;
        let is_captured = |table: &postgres::PublishedTable| {
            captured.iter().any(|captured| captured.id == table.id)
        };
        if !pattern.starts_with('!') && !asked.iter().any(is_captured) {
            return Err(not_captured(pattern, source, &captured));
        }
    }
    Ok(Command::Start {
        id: request_id(),
        tables: tables.to_vec(),
    })
}

/// A name that no other request has.
pub(super) fn request_id() -> String {
    let mut id = Uuid::new_v4().simple().to_string();
    id.truncate(ID_DIGITS);
    id
}

fn not_captured(pattern: &str, source: &Source, captured: &[postgres::PublishedTable]) -> Error {
    const NAMED_MAX: usize = 10;
    let mut names: Vec<String> = captured
        .iter()
        .map(|table| table.table.to_string())
        .collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    let mut captured = names.join(", ");
    if more > 0 {
        captured = format!("{captured} and {more} more");
    }
    Error::NotCaptured {
        pattern: pattern.to_owned(),
        publication: source.publication.clone(),
        captured,
    }
}

/// Refuses what is not there, or past being turned.
async fn turn(
    settings: &Settings,
    ask: &Ask,
    id: Option<&str>,
    running: bool,
) -> Result<Vec<Command>, Error> {
    let (topic, records) = look(settings).await?;
    let (to, fits): (_, fn(RequestState) -> bool) = match ask {
        Ask::Start(_) => return Ok(Vec::new()),
        Ask::Pause(_) => ("pause", |state| {
            matches!(state, RequestState::TakenUp | RequestState::Reading)
        }),
        Ask::Resume(_) => ("resume", |state| state == RequestState::Paused),
        Ask::Cancel(_) => ("cancel", |state| !state.has_ended()),
    };
    let command = |request: &SnapshotRequest| {
        let id = request.id.clone();
        match ask {
            Ask::Pause(_) => Command::Pause { id },
            Ask::Resume(_) => Command::Resume { id },
            Ask::Start(_) | Ask::Cancel(_) => Command::Cancel { id },
        }
    };
    let Some(id) = id else {
        let fitting = records
            .requests
            .iter()
            .filter(|request| fits(request.state));
        let commands: Vec<Command> = fitting.map(command).collect();
        return if commands.is_empty() {
            Err(Error::NoRequest { to })
        } else {
            Ok(commands)
        };
    };
    let Some(request) = records.request(id) else {
        return Err(Error::UnknownRequest {
            id: id.to_owned(),
            topic,
            running,
        });
    };
    if !fits(request.state) {
        return Err(Error::RequestState {
            id: id.to_owned(),
            state: request.state.name(),
            to,
        });
    }
    Ok(vec![command(request)])
}
