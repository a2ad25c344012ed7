//! One snapshot worker: its own connection, its own transactional id, one chunk after the other.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::plan::{Chunk, ReadTable};
use crate::config::settings::Kafka;
use crate::connection::{Connection, quote_literal};
use crate::event::{Batch, Encoder, SnapshotFlag, SnapshotRead};
use crate::pgoutput::Tuple;
use crate::postgres::{Session, SessionKind};
use crate::replicate::Error;
use crate::replicate::machine::Limits;
use crate::replicate::publisher::Transactions;
use crate::replicate::stream::unix_time_us;
use crate::step::Steps;
use crate::telemetry;

/// What every worker needs beside the tables.
#[derive(Clone)]
pub(crate) struct WorkerSettings {
    pub(crate) source: Connection,
    /// Start-up options that fix how values are rendered: those of the replication session.
    pub(crate) options: Vec<(&'static str, String)>,
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

impl WorkerSettings {
    /// Opens a connection that sees the exported snapshot.
    pub(crate) async fn open(&self, kind: SessionKind) -> Result<Session, Error> {
        let options: Vec<(&str, &str)> = self
            .options
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut session = Session::connect(&self.source, kind, &options).await?;
        session
            .query("begin transaction isolation level repeatable read, read only")
            .await?;
        let snapshot = quote_literal(&self.snapshot);
        session
            .query(&format!("set transaction snapshot {snapshot}"))
            .await?;
        Ok(session)
    }
}

/// One worker before it is started.
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
    /// Starts the worker on a thread of its own. It returns how many rows it has published.
    pub(crate) fn spawn(self, encoder: &Encoder) -> Result<JoinHandle<Result<u64, Error>>, Error> {
        let encoder = encoder.clone();
        std::thread::Builder::new()
            .name(format!("snapshot-{}", self.index))
            .spawn(move || {
                let stop = self.stop.clone();
                let result = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(Error::Thread)
                    .and_then(|runtime| runtime.block_on(self.run(encoder)));
                if result.is_err() {
                    stop.cancel();
                }
                result
            })
            .map_err(Error::Thread)
    }

    async fn run(self, mut encoder: Encoder) -> Result<u64, Error> {
        let mut session = self.settings.open(SessionKind::Ordinary).await?;
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
                    &mut session,
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
