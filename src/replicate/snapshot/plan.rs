//! Plans the chunks of all tables and runs the workers.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::SnapshotTable;
use super::ledger::Ledger;
use super::pace::Reporter;
use super::worker::{Standby, Worker, WorkerSettings};
use crate::event::{Encoder, KeyRange, Plan, SnapshotRead};
use crate::kafka::RangeProgress;
use crate::postgres::Session;
use crate::replicate::Error;
use crate::telemetry;

/// Bytes of table data that one chunk should hold. Its events are about three times as large; past a
/// transaction's limit the worker cuts it.
const CHUNK_BYTES: u64 = 2 << 20;
/// A table of so few bytes is read sooner than it is cut.
const SMALL_BYTES: u64 = 128 << 10;
/// Bounds of a chunk, rows.
const CHUNK_ROWS_MIN: u64 = 1_000;
const CHUNK_ROWS_MAX: u64 = 100_000;
/// Chunks that wait for a worker.
const QUEUE_CHUNKS: usize = 8;

/// A table that a snapshot reads, with its encoder's plan.
#[derive(Debug)]
pub(crate) struct ReadTable {
    /// `pg_class.oid`.
    pub(crate) id: u32,
    /// How it is read.
    pub(crate) table: SnapshotTable,
    /// How its rows are encoded.
    pub(crate) plan: Plan,
    /// Partitions of its topic.
    pub(crate) partitions: i32,
    /// Estimated rows; negative when never analysed.
    pub(crate) rows_estimate: i64,
    /// Size on disk, bytes.
    pub(crate) bytes_estimate: i64,
    /// What is to be read; the rest has been.
    pub(crate) remaining: Vec<KeyRange>,
}

/// One range of one table.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Index of the table.
    pub(crate) table: usize,
    /// Its keys.
    pub(crate) range: KeyRange,
}

/// One snapshot of a set of tables.
pub(crate) struct Snapshot {
    /// Outboxes, and then the largest first.
    pub(crate) tables: Arc<Vec<ReadTable>>,
    /// Position and time of every read.
    pub(crate) read: SnapshotRead,
    /// Where finished ranges are noted.
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    /// What workers need beside the tables.
    pub(crate) settings: WorkerSettings,
}

impl Snapshot {
    /// Reads and publishes every row, with a connection for the plan, which sees the exported snapshot, and the
    /// workers that stand by, all of which hold their locks. Returns how many rows there were.
    pub(crate) async fn run(
        &self,
        planner: &mut Session,
        workers: Vec<Standby>,
        encoder: &Encoder,
        shutdown: &CancellationToken,
    ) -> Result<u64, Error> {
        let started = Instant::now();
        let stop = shutdown.child_token();
        let (queue, chunks) = sync_channel::<Chunk>(QUEUE_CHUNKS);
        let chunks = Arc::new(Mutex::new(chunks));
        let mut threads = Vec::new();
        for (index, standby) in (0..).zip(workers) {
            let worker = Worker {
                index,
                settings: self.settings.clone(),
                tables: Arc::clone(&self.tables),
                read: self.read,
                chunks: Arc::clone(&chunks),
                ledger: Arc::clone(&self.ledger),
                stop: stop.clone(),
            };
            threads.push(standby.start(worker, encoder.clone()));
        }
        let reporter = Reporter::start(Arc::clone(&self.settings.pace))?;
        let planned = self.plan(planner, |chunk| send(&queue, chunk, &stop)).await;
        drop(queue);
        let rows = join(threads).await;
        drop(reporter);
        // A worker's own failure explains a planner that could not hand over its chunks.
        let rows = match (rows, planned) {
            (Err(error), _) | (Ok(_), Err(error)) => return Err(error),
            (Ok(rows), Ok(())) => rows,
        };
        if shutdown.is_cancelled() {
            return Err(Error::Interrupted);
        }
        tracing::info!(rows, tables = self.tables.len(), elapsed = ?started.elapsed(), "snapshot read");
        Ok(rows)
    }

    /// What is finished, now that every worker has ended.
    pub(crate) fn take_finished(&self) -> BTreeMap<u32, Vec<RangeProgress>> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.take_finished()
    }

    async fn plan(
        &self,
        session: &mut Session,
        mut hand_over: impl FnMut(Chunk) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for (index, read) in self.tables.iter().enumerate() {
            let mut rows = chunk_rows(read.rows_estimate, read.bytes_estimate);
            for gap in &read.remaining {
                let mut rest = gap.clone();
                loop {
                    let boundary = if is_small(read.bytes_estimate) {
                        None
                    } else {
                        next_boundary(session, &read.table, &rest, rows).await?
                    };
                    if boundary.is_some() && boundary == rest.from {
                        // So many rows of one key: its columns are not unique without an unpublished one.
                        rows = rows.saturating_mul(2);
                        continue;
                    }
                    let range = KeyRange {
                        from: rest.from.take(),
                        until: boundary.clone().or_else(|| rest.until.clone()),
                    };
                    let table = index;
                    hand_over(Chunk { table, range })?;
                    telemetry::snapshot_chunk_planned();
                    if boundary.is_none() {
                        break;
                    }
                    rest.from = boundary;
                }
            }
        }
        Ok(())
    }
}

async fn next_boundary(
    session: &mut Session,
    table: &SnapshotTable,
    range: &KeyRange,
    rows: u64,
) -> Result<Option<Vec<String>>, Error> {
    if table.key.is_empty() {
        return Ok(None);
    }
    let found = session.query(&table.next_boundary(range, rows)).await?;
    // Key columns are not null, so a row is a boundary.
    Ok(found
        .into_iter()
        .next()
        .map(|row| row.into_iter().flatten().collect()))
}

/// Whether a table of that size is one chunk, without a look at its keys. Should it have grown since, the
/// worker cuts it.
fn is_small(bytes: i64) -> bool {
    u64::try_from(bytes).unwrap_or(0) <= SMALL_BYTES
}

/// Rows of a chunk of about [`CHUNK_BYTES`], given the estimates of the whole table.
fn chunk_rows(rows: i64, bytes: i64) -> u64 {
    let (rows, bytes) = (
        u64::try_from(rows).unwrap_or(0),
        u64::try_from(bytes).unwrap_or(0),
    );
    if rows == 0 || bytes == 0 {
        return CHUNK_ROWS_MAX / 2;
    }
    (CHUNK_BYTES / (bytes / rows).max(1)).clamp(CHUNK_ROWS_MIN, CHUNK_ROWS_MAX)
}

/// Waits for a place in the queue, and gives up when the workers have stopped.
fn send(
    queue: &std::sync::mpsc::SyncSender<Chunk>,
    mut chunk: Chunk,
    stop: &CancellationToken,
) -> Result<(), Error> {
    use std::sync::mpsc::TrySendError;
    loop {
        match queue.try_send(chunk) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(Error::Interrupted),
            Err(TrySendError::Full(back)) if !stop.is_cancelled() => {
                chunk = back;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(TrySendError::Full(_)) => return Err(Error::Interrupted),
        }
    }
}

async fn join(threads: Vec<JoinHandle<Result<u64, Error>>>) -> Result<u64, Error> {
    let joined = tokio::task::spawn_blocking(move || {
        let mut rows = 0;
        let mut failure = None;
        for thread in threads {
            match thread.join() {
                Ok(Ok(read)) => rows += read,
                // The first failure is the cause; the others were stopped by it.
                Ok(Err(Error::Interrupted)) if failure.is_some() => {}
                Ok(Err(error)) => {
                    if matches!(failure, None | Some(Error::Interrupted)) {
                        failure = Some(error);
                    }
                }
                Err(_) => failure = Some(Error::WorkerEnded),
            }
        }
        failure.map_or(Ok(rows), Err)
    });
    joined.await.unwrap_or(Err(Error::WorkerEnded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_rows_follow_the_row_width() {
        let check = |rows, bytes, expected| {
            assert_eq!(
                chunk_rows(rows, bytes),
                expected,
                "{rows} rows in {bytes} bytes"
            );
        };
        check(-1, 8192, CHUNK_ROWS_MAX / 2);
        check(0, 0, CHUNK_ROWS_MAX / 2);
        check(1_000_000, 200_000_000, CHUNK_BYTES / 200);
        check(1_000_000, 1_000_000, CHUNK_ROWS_MAX);
        check(1_000, 1_000_000_000, CHUNK_ROWS_MIN);
    }
}
