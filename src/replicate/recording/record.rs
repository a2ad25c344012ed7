//! Writing a capture file.
//!
//! It reads a slot of its own, temporary, so nothing is ever taken from the slot that replication goes
//! by: either a new one, or a copy of that slot, which still holds what was not confirmed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::file::{Described, Header, Writer};
use super::scramble::Scrambler;
use crate::config::settings::{Settings, Source};
use crate::connection::{self, Database};
use crate::event::{Lsn, Table};
use crate::pgoutput::{self, Message, Relation};
use crate::postgres::{self, Frame, Patterns, ReplicationStream, Session, SnapshotExport};
use crate::replicate::stream::unix_time_us;
use crate::replicate::{Error, start, tables};

/// Status goes to the source this often.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What to record.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file, which must not be there yet.
    pub path: PathBuf,
    /// Begin with what the configured slot still holds, instead of what happens from now on.
    pub existing: bool,
    /// End after so long.
    pub duration: Option<Duration>,
    /// End with the transaction in which so many changes are reached.
    pub changes_max: Option<u64>,
    /// End with the transaction in which the file reaches so many bytes.
    pub bytes_max: u64,
    /// Replace row values by others of the same look.
    pub scramble: bool,
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whole transactions.
    pub transactions: u64,
    /// Changes in them, logical messages included.
    pub changes: u64,
    /// Tables that changed.
    pub tables: usize,
    /// Size of the file.
    pub bytes: u64,
}

/// Records until a limit or the shutdown.
pub async fn record(
    settings: &Settings,
    options: &Options,
    shutdown: &CancellationToken,
) -> Result<Summary, Error> {
    let source = start::section(settings.source.as_ref(), "source")?;
    let catalog = connection::connect(&source.connection).await?;
    let patterns = Patterns::new(&source.tables).map_err(Error::Patterns)?;
    postgres::check_publication(&catalog, &source.publication, &patterns).await?;
    let header = header(&catalog, source, options).await?;
    let mut session = start::open_session(source).await?;
    let slot = format!("tidewater_capture_{}", session.backend_pid());
    let from = open_slot(&mut session, &catalog, source, &slot, options.existing).await?;
    let publication = connection::quote_identifier(&source.publication);
    let stream_options = start::stream_options(&publication);
    let stream = session
        .start_replication(&slot, from, &stream_options)
        .await?;
    tracing::info!(%from, file = %options.path.display(), "capturing");
    let recorder = Recorder {
        stream,
        catalog,
        writer: Writer::create(&options.path, &header)?,
        scrambler: options.scramble.then(Scrambler::new),
        announced: HashMap::new(),
        tables: HashMap::new(),
        confirmed: from,
        summary: Summary::default(),
    };
    recorder.run(options, shutdown).await
}

async fn header(catalog: &Database, source: &Source, options: &Options) -> Result<Header, Error> {
    const QUERY: &str = "select current_setting('server_version'), current_database()::text";
    let row = catalog.query_one(QUERY, &[]).await;
    let row = row.map_err(postgres::Error::query("reading the server's version"))?;
    Ok(Header {
        tidewater: env!("CARGO_PKG_VERSION").to_owned(),
        server_version: row.get(0),
        database: row.get(1),
        publication: source.publication.clone(),
        scrambled: options.scramble,
    })
}

/// A temporary slot of this session, and where it begins.
async fn open_slot(
    session: &mut Session,
    catalog: &Database,
    source: &Source,
    slot: &str,
    existing: bool,
) -> Result<Lsn, Error> {
    if !existing {
        let export = SnapshotExport::Nothing;
        let created = postgres::create_slot(session, slot, true, export).await?;
        return Ok(created.consistent_point);
    }
    let state = postgres::read_slot(catalog, &source.slot).await?;
    let state = state.ok_or_else(|| postgres::Error::SlotMissing {
        slot: source.slot.clone(),
    })?;
    postgres::check_slot(&source.slot, &state)?;
    Ok(postgres::copy_slot(session, &source.slot, slot).await?)
}

/// A capture under way.
struct Recorder {
    stream: ReplicationStream,
    catalog: Database,
    writer: Writer,
    scrambler: Option<Scrambler>,
    /// Announced, and not changed since.
    announced: HashMap<u32, Relation>,
    tables: HashMap<u32, Table>,
    /// Everything below is in the file.
    confirmed: Lsn,
    summary: Summary,
}

impl Recorder {
    async fn run(
        mut self,
        options: &Options,
        shutdown: &CancellationToken,
    ) -> Result<Summary, Error> {
        let end = options.duration.map(|duration| Instant::now() + duration);
        let mut status_due = Instant::now();
        loop {
            if self.read_frames(options).await? {
                break;
            }
            let wake = end.map_or(status_due, |end| end.min(status_due));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = sleep_until(wake.into()) => {
                    if end.is_some_and(|end| Instant::now() >= end) {
                        break;
                    }
                    self.stream.queue_status(self.confirmed, unix_time_us(), true);
                    self.stream.flush().await?;
                    status_due = Instant::now() + STATUS_INTERVAL;
                }
                read = self.stream.fill() => read?,
            }
        }
        self.summary.tables = self.tables.len();
        self.summary.bytes = self.writer.bytes();
        self.writer.finish()?;
        if let Err(error) = self.stream.close().await {
            tracing::debug!(%error, "the stream was not closed in order");
        }
        Ok(self.summary)
    }

    /// Takes what has arrived; `true` when a limit was reached.
    async fn read_frames(&mut self, options: &Options) -> Result<bool, Error> {
        loop {
            let (lsn, time_us, data) = match self.stream.next_frame()? {
                None => return Ok(false),
                Some(Frame::Keepalive { .. }) => continue,
                Some(Frame::Condensed { start, excess, .. }) => {
                    return Err(Error::Postgres(postgres::Error::MessageTooLarge {
                        length: excess.bytes,
                        bound: excess.bytes_max,
                        lsn: start,
                    }));
                }
                Some(Frame::XLogData {
                    start,
                    server_time_us,
                    data,
                    ..
                }) => (start, server_time_us, data.to_vec()),
            };
            if self.message(lsn, time_us, data).await?
                && reached(options, &self.summary, &self.writer)
            {
                return Ok(true);
            }
        }
    }

    /// Writes one message, with the description that it needs; `true` at the end of a transaction.
    async fn message(&mut self, lsn: Lsn, time_us: i64, mut data: Vec<u8>) -> Result<bool, Error> {
        let message = pgoutput::parse(&data).map_err(|source| Error::Malformed { lsn, source })?;
        let mut committed = None;
        let mut changed = Vec::new();
        match &message {
            Message::Relation(relation) => {
                self.announced.insert(relation.id, relation.clone());
            }
            Message::Commit { end_lsn, .. } => committed = Some(*end_lsn),
            Message::Insert { relation, .. }
            | Message::Update { relation, .. }
            | Message::Delete { relation, .. } => changed.push(*relation),
            Message::Truncate { relations, .. } => changed.extend(relations.iter()),
            Message::Message { .. } => self.summary.changes += 1,
            Message::Begin { .. } | Message::Type(_) | Message::Origin { .. } => {}
        }
        if !changed.is_empty() {
            self.summary.changes += 1;
        }
        for relation in changed {
            if let Some(relation) = self.announced.remove(&relation) {
                self.describe(&relation).await?;
            }
        }
        if let Some(scrambler) = &self.scrambler {
            scrambler.scramble(&mut data, &self.tables);
        }
        self.writer.message(lsn, time_us, &data)?;
        if let Some(end) = committed {
            self.summary.transactions += 1;
            self.confirmed = end;
        }
        Ok(committed.is_some())
    }

    async fn describe(&mut self, relation: &Relation) -> Result<(), Error> {
        let shape = postgres::table_shape(&self.catalog, relation.id).await?;
        let table = tables::encoded_table(relation, shape.as_ref());
        let described = Described {
            relation: relation.id,
            table,
            identity: relation.identity(),
        };
        self.writer.table(&described)?;
        self.tables.insert(relation.id, described.table);
        Ok(())
    }
}

fn reached(options: &Options, summary: &Summary, writer: &Writer) -> bool {
    let enough = options
        .changes_max
        .is_some_and(|most| summary.changes >= most);
    enough || writer.bytes() >= options.bytes_max
}
