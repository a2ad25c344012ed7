//! One snapshot worker: its own connection, its own transactional id, one chunk after the other.
//!
//! A chunk is one Kafka transaction: its rows, and the record that says which keys they are. One that turns out
//! larger than a transaction may be is cut at a row, since rows come in the order of their keys; small ones
//! share a transaction.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::ledger::{Joined, Ledger};
use super::pace::Pace;
use super::plan::{Chunk, ReadTable};
use crate::config::settings::Kafka;
use crate::connection::{Connection, quote_literal};
use crate::event::{
    Batch, Change, EncodeError, Encoder, KeyRange, PassedRows, Plan, Position, SnapshotFlag,
    SnapshotRead,
};
use crate::kafka::Entry;
use crate::pgoutput::Tuple;
use crate::postgres::{self, Excess, RowBody, Session, SessionKind, TableName};
use crate::replicate::Error;
use crate::replicate::publisher::Transactions;
use crate::replicate::row_store::Feed;
use crate::replicate::stream::unix_time_us;
use crate::step::Steps;
use crate::telemetry;

/// Keys and values of one transaction, bytes.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Records of one transaction.
const BATCH_RECORDS_MAX: usize = 32_768;
/// A transaction that is smaller waits for the next chunk, as long as there is one.
const BATCH_BYTES_MIN: usize = 1 << 20;
/// Finished ranges of one transaction.
const RANGES_MAX: usize = 256;
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
            Err(error) => Err(error.on_locks(self.tables.len()).into()),
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
    /// Where rows are told of that are too large; without it they end the snapshot.
    pub(crate) passed_over: Option<u32>,
    /// Largest row that is held, bytes.
    pub(crate) held_bytes_max: usize,
    pub(crate) steps: Steps,
    pub(crate) pace: Arc<Pace>,
    /// Where rows are stored, too.
    pub(crate) rows: Option<Feed>,
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
    pub(crate) ledger: Arc<Mutex<Ledger>>,
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
        session.set_message_bytes_max(self.settings.held_bytes_max);
        see(session, &self.settings.snapshot).await?;
        encoder.begin_snapshot(&self.read);
        let mut filling = Filling {
            position: self.read.position,
            passed_over: self.settings.passed_over,
            encoder,
            transactions: self.open_transactions()?,
            ledger: Arc::clone(&self.ledger),
            batch: Batch::default(),
            ranges: Vec::new(),
            range_rows: 0,
            pace: Arc::clone(&self.settings.pace),
            stored: self.settings.rows.clone(),
            steps: self.settings.steps.clone(),
            rows: 0,
        };
        while let Some(chunk) = self.next_chunk(&mut filling)? {
            if let Some(read) = self.tables.get(chunk.table) {
                self.read_chunk(session, &mut filling, read, chunk.range)
                    .await?;
            }
            self.settings.steps.at("snapshot.chunk");
        }
        if self.stop.is_cancelled() {
            Err(Error::Interrupted)
        } else {
            Ok(filling.rows)
        }
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

    /// The next chunk; what has been read is published before it is waited for.
    fn next_chunk(&self, filling: &mut Filling) -> Result<Option<Chunk>, Error> {
        if self.stop.is_cancelled() {
            return Ok(None);
        }
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(chunk) = chunks.try_recv() {
            return Ok(Some(chunk));
        }
        drop(chunks);
        filling.publish()?;
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(chunks.recv().ok())
    }

    async fn read_chunk(
        &self,
        session: &mut Session,
        filling: &mut Filling,
        read: &ReadTable,
        mut range: KeyRange,
    ) -> Result<(), Error> {
        session.select(&read.table.select(&range)).await?;
        loop {
            let now_us = unix_time_us();
            let mut rows = 0;
            let more = session
                .next_rows(|row| {
                    rows += 1;
                    filling.row(read, &mut range, row, now_us)
                })
                .await?;
            if !more {
                return filling.finish(read, range);
            }
            let pause = self.settings.pace.take(rows, Instant::now());
            if !pause.is_zero() {
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
            if self.stop.is_cancelled() {
                return Err(Error::Interrupted);
            }
        }
    }
}

/// A batch that fills with rows, and the ranges that end with it.
struct Filling {
    position: Position,
    passed_over: Option<u32>,
    encoder: Encoder,
    transactions: Transactions,
    ledger: Arc<Mutex<Ledger>>,
    batch: Batch,
    /// Finished with the rows in the batch.
    ranges: Vec<(u32, KeyRange, u64)>,
    /// Rows so far of the range that is being read.
    range_rows: u64,
    pace: Arc<Pace>,
    /// The same rows on their way into the row store.
    stored: Option<Feed>,
    steps: Steps,
    rows: u64,
}

impl Filling {
    /// Takes a row of `range`. A full batch is published first; the range then begins with this row.
    fn row(
        &mut self,
        read: &ReadTable,
        range: &mut KeyRange,
        row: RowBody<'_>,
        now_us: i64,
    ) -> Result<(), Error> {
        let lsn = self.position.commit_lsn;
        let malformed = |source| Error::Malformed { lsn, source };
        let (body, excess) = match row {
            RowBody::Whole(body) => (Tuple::from_data_row(body), None),
            RowBody::Condensed(kept, excess) => (Tuple::condensed(kept), Some(excess)),
        };
        let row = body.map_err(malformed)?;
        let full = self.batch.bytes.len() >= BATCH_BYTES_MAX
            || self.batch.records.len() >= BATCH_RECORDS_MAX;
        // A row whose key may not have been kept ends no range; the next one does.
        if full && excess.is_none() {
            let bound = Some(read.table.bound(row));
            let until = bound.clone();
            let from = std::mem::replace(&mut range.from, bound);
            self.finish_range(read, KeyRange { from, until });
            self.publish()?;
        }
        self.range_rows += 1;
        if let Some(stored) = &mut self.stored {
            stored.add(read.id, row);
        }
        let (plan, flag) = (&read.plan, SnapshotFlag::True);
        let result = match excess {
            None => self.encoder.read(plan, now_us, flag, row, &mut self.batch),
            Some(Excess { bytes, bytes_max }) => Err(EncodeError::ChangeTooLarge {
                of: plan.titled(),
                bytes,
                bytes_max,
            }),
        };
        match result {
            Ok(()) => Ok(()),
            Err(source) => self.pass_over(plan, row, now_us, source),
        }
    }

    /// Tells of a row that was too large, if that is what happens with it.
    #[cold]
    fn pass_over(
        &mut self,
        plan: &Plan,
        row: Tuple<'_>,
        now_us: i64,
        source: EncodeError,
    ) -> Result<(), Error> {
        let Position {
            commit_lsn: lsn,
            ordinal,
            ..
        } = self.position;
        let (Some(size), Some(topic)) = (source.too_large(), self.passed_over) else {
            return Err(Error::Encode { lsn, source });
        };
        let change = Change {
            lsn,
            ordinal,
            now_us,
        };
        let rows = PassedRows::Read(row);
        self.encoder
            .pass_over(topic, plan, rows, change, size, &mut self.batch)
            .map_err(|source| Error::Encode { lsn, source })?;
        telemetry::passed_over(&plan.full_name(), self.position, size);
        Ok(())
    }

    /// All rows of `range` are taken.
    fn finish(&mut self, read: &ReadTable, range: KeyRange) -> Result<(), Error> {
        self.finish_range(read, range);
        if self.batch.bytes.len() >= BATCH_BYTES_MIN || self.ranges.len() >= RANGES_MAX {
            self.publish()?;
        }
        Ok(())
    }

    fn finish_range(&mut self, read: &ReadTable, range: KeyRange) {
        let rows = std::mem::take(&mut self.range_rows);
        self.ranges.push((read.id, range, rows));
    }

    /// Publishes the rows together with the record of their ranges. What is recorded is not read again, so it is
    /// in the row store before.
    fn publish(&mut self) -> Result<(), Error> {
        if self.ranges.is_empty() {
            return Ok(());
        }
        if let Some(stored) = &mut self.stored {
            stored.write()?;
            self.steps.at("snapshot.rows-written");
        }
        let ranges = std::mem::take(&mut self.ranges);
        let joined: Vec<Joined> = {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let join = |(table, range, rows)| ledger.join(table, range, rows);
            ranges.into_iter().map(join).collect()
        };
        let entries: Vec<Entry> = joined.iter().flat_map(Joined::entries).collect();
        let rows = self.batch.records.len();
        let batch = std::mem::take(&mut self.batch);
        self.batch = self.transactions.publish(batch, &entries)?;
        self.batch.recycle(2 * BATCH_BYTES_MAX);
        self.pace.published(rows);
        self.rows += rows as u64;
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for joined in joined {
            ledger.committed(joined);
        }
        Ok(())
    }
}
