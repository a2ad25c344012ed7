//! One snapshot worker: its own connection, its own transactional id, one chunk after the other.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::plan::{Chunk, ReadTable};
use crate::config::settings::Kafka;
use crate::connection::{Connection, quote_literal};
use crate::event::{Batch, Encoder, SnapshotFlag, SnapshotRead};
use crate::pgoutput::Tuple;
use crate::postgres::{self, Session, SessionKind, TableName};
use crate::replicate::Error;
use crate::replicate::machine::Limits;
use crate::replicate::publisher::Transactions;
use crate::replicate::stream::unix_time_us;
use crate::step::Steps;
use crate::telemetry;

/// SQLSTATE of a lock that somebody else has or waits for.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// How the tables are reached, and locked while they are read.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) source: Connection,
    /// Start-up options that fix how values are rendered: those of the replication session.
    pub(crate) options: Vec<(&'static str, String)>,
    pub(crate) tables: Vec<TableName>,
}

impl Reading {
    /// Opens a connection that holds ACCESS SHARE on every table. `None`: somebody waits for the whole of
    /// one of them, and waiting behind him would be waiting for ourselves.
    pub(crate) async fn open(&self) -> Result<Option<Session>, Error> {
        let options: Vec<(&str, &str)> = self
            .options
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut session = Session::connect(&self.source, SessionKind::Ordinary, &options).await?;
        session
            .query("begin transaction isolation level repeatable read, read only")
            .await?;
        if self.tables.is_empty() {
            return Ok(Some(session));
        }
        let names: Vec<String> = self.tables.iter().map(TableName::quoted).collect();
        let lock = format!(
            "lock table {} in access share mode nowait",
            names.join(", ")
        );
        match session.query(&lock).await {
            Ok(_) => Ok(Some(session)),
            Err(postgres::Error::Server { source, .. }) if source.code == LOCK_NOT_AVAILABLE => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes a connection see the exported snapshot. Nothing may have been read on it before.
pub(crate) async fn see(session: &mut Session, snapshot: &str) -> Result<(), Error> {
    let snapshot = quote_literal(snapshot);
    session
        .query(&format!("set transaction snapshot {snapshot}"))
        .await?;
    Ok(())
}

/// What every worker needs beside the tables.
#[derive(Clone)]
pub(crate) struct WorkerSettings {
    /// Name of the exported snapshot.
    pub(crate) snapshot: String,
    pub(crate) kafka: Kafka,
    /// Transactional id without the worker's number.
    pub(crate) transactional_id: String,
    pub(crate) position_topic: String,
    /// Topics in the order of the plans' topic indexes.
    pub(crate) topics: Arc<Vec<String>>,
    pub(crate) limits: Limits,
    pub(crate) steps: Steps,
}

/// A thread whose connection holds its locks, and that waits for its work. Dropped, it ends.
pub(crate) struct Standby {
    /// Its backend.
    pub(crate) backend_pid: i32,
    work: SyncSender<(Worker, Encoder)>,
    thread: JoinHandle<Result<u64, Error>>,
}

impl Standby {
    /// Starts the thread, and waits until its locks are held; `None` when they are not to be had now.
    pub(crate) async fn open(index: u16, reading: &Reading) -> Result<Option<Standby>, Error> {
        let (work, orders) = sync_channel::<(Worker, Encoder)>(1);
        let (ready, locked) = tokio::sync::oneshot::channel();
        let reading = reading.clone();
        let thread = std::thread::Builder::new()
            .name(format!("snapshot-{index}"))
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(Error::Thread)?;
                let (answer, session) = match runtime.block_on(reading.open()) {
                    Ok(Some(session)) => (Ok(Some(session.backend_pid())), Some(session)),
                    Ok(None) => (Ok(None), None),
                    Err(error) => (Err(error), None),
                };
                // Whoever asked may be gone; then there are no orders either.
                let _ = ready.send(answer);
                match (session, orders.recv()) {
                    (Some(mut session), Ok((worker, encoder))) => {
                        worker.work(&runtime, &mut session, encoder)
                    }
                    _ => Ok(0),
                }
            })
            .map_err(Error::Thread)?;
        let backend_pid = locked.await.unwrap_or(Err(Error::WorkerEnded))?;
        Ok(backend_pid.map(|backend_pid| Standby {
            backend_pid,
            work,
            thread,
        }))
    }

    /// Puts it to work. The thread returns how many rows it has published.
    pub(crate) fn start(self, worker: Worker, encoder: Encoder) -> JoinHandle<Result<u64, Error>> {
        // It waits for this and nothing else.
        let _ = self.work.send((worker, encoder));
        self.thread
    }
}

/// The work of one thread.
pub(crate) struct Worker {
    pub(crate) index: u16,
    pub(crate) settings: WorkerSettings,
    pub(crate) tables: Arc<Vec<ReadTable>>,
    pub(crate) read: SnapshotRead,
    pub(crate) chunks: Arc<Mutex<Receiver<Chunk>>>,
    /// Cancelled by the first worker that fails.
    pub(crate) stop: CancellationToken,
}

impl Worker {
    fn work(
        self,
        runtime: &tokio::runtime::Runtime,
        session: &mut Session,
        encoder: Encoder,
    ) -> Result<u64, Error> {
        let stop = self.stop.clone();
        let result = runtime.block_on(self.run(session, encoder));
        if result.is_err() {
            stop.cancel();
        }
        result
    }

    async fn run(self, session: &mut Session, mut encoder: Encoder) -> Result<u64, Error> {
        see(session, &self.settings.snapshot).await?;
        let mut transactions = self.open_transactions()?;
        encoder.begin_snapshot(&self.read);
        let mut batch = Batch::default();
        let mut rows = 0;
        while let Some(chunk) = self.next_chunk() {
            let Some(read) = self.tables.get(chunk.table) else {
                continue;
            };
            rows += self
                .read_chunk(
                    session,
                    &mut encoder,
                    read,
                    &chunk,
                    &mut batch,
                    &mut transactions,
                )
                .await?;
            self.settings.steps.at("snapshot.chunk");
        }
        if self.stop.is_cancelled() {
            Err(Error::Interrupted)
        } else {
            Ok(rows)
        }
    }

    fn encode(
        &self,
        encoder: &mut Encoder,
        read: &ReadTable,
        row: &[u8],
        now_us: i64,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let lsn = self.read.position.commit_lsn;
        let row = Tuple::from_data_row(row).map_err(|source| Error::Malformed { lsn, source })?;
        encoder
            .read(&read.plan, now_us, SnapshotFlag::True, row, batch)
            .map_err(|source| Error::Encode { lsn, source })
    }

    fn open_transactions(&self) -> Result<Transactions, Error> {
        let settings = &self.settings;
        let mut transactions = Transactions::open(
            &settings.kafka,
            format!("{}.snapshot.{}", settings.transactional_id, self.index),
            settings.position_topic.clone(),
            settings.steps.clone(),
            self.stop.clone(),
        )?;
        transactions.register(&settings.topics)?;
        Ok(transactions)
    }

    fn next_chunk(&self) -> Option<Chunk> {
        if self.stop.is_cancelled() {
            return None;
        }
        self.chunks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv()
            .ok()
    }

    async fn read_chunk(
        &self,
        session: &mut Session,
        encoder: &mut Encoder,
        read: &ReadTable,
        chunk: &Chunk,
        batch: &mut Batch,
        transactions: &mut Transactions,
    ) -> Result<u64, Error> {
        session.select(&read.table.select(&chunk.range)).await?;
        let limits = &self.settings.limits;
        let mut rows = 0;
        loop {
            let now_us = unix_time_us();
            let more = session
                .next_rows(|row| {
                    rows += 1;
                    self.encode(encoder, read, row, now_us, batch)
                })
                .await?;
            let full = batch.bytes.len() >= limits.batch_bytes_max
                || batch.records.len() >= limits.batch_records_max;
            if full || (!more && !batch.is_empty()) {
                telemetry::snapshot_rows(batch.records.len());
                *batch = transactions.publish(std::mem::take(batch))?;
            }
            if !more {
                return Ok(rows);
            }
            if self.stop.is_cancelled() {
                return Err(Error::Interrupted);
            }
        }
    }
}
