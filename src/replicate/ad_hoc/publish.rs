//! What is held becomes records of a batch of the stream, between two source transactions.

use std::time::Instant;

use super::encoding::Encoding;
use super::requests::Left;
use super::{AdHoc, Doing, NOTICE_INTERVAL, Window};
use crate::event::{Batch, Change, Encoder, Lsn, Position, SnapshotRead};
use crate::replicate::Error;
use crate::replicate::capture::CapturedTable;
use crate::telemetry;

impl AdHoc {
    /// Appends the rows that are held to a batch that ends at `resume`, between two transactions.
    pub(crate) fn publish(
        &mut self,
        window: &mut Window,
        resume: Lsn,
        now: Instant,
        now_us: i64,
        out: &mut Batch,
    ) -> Result<(), Error> {
        match self.doing {
            Doing::Voiding => return self.publish_void(resume, now_us, out),
            Doing::HoldingPart(point, first) => {
                return self.publish_part(point, first, (now, now_us), out);
            }
            Doing::Nothing
            | Doing::Asking(..)
            | Doing::Reading
            | Doing::Holding(_)
            | Doing::Stopping
            | Doing::Anchoring
            | Doing::RunningUp(_)
            | Doing::ReadingPart(..)
            | Doing::Pacing(_) => {}
        }
        self.publish_chunk(window, resume, now, now_us, out);
        Ok(())
    }

    /// Voids what the topic shows of a table that was out of the publication. It is not ordered before that is in
    /// the batch: a change that a chunk leaves out must not lie in front of it.
    fn publish_void(&mut self, resume: Lsn, now_us: i64, out: &mut Batch) -> Result<(), Error> {
        self.doing = Doing::Nothing;
        let Some(table) = &self.table else {
            return Ok(());
        };
        let Some(captured) = &table.captured else {
            return Ok(());
        };
        self.encoder.begin_incremental(&SnapshotRead {
            position: Position::new(self.epoch, resume, 0),
            exported_at_us: now_us,
        });
        let before = out.records.len();
        void(&mut self.encoder, captured, (resume, now_us), out)?;
        if out.records.len() == before {
            tracing::warn!(
                table = %table.description.published.table,
                "the table was out of the publication, and is read without a truncate, since format.truncate is \
                 \"skip\": rows that were deleted meanwhile stay in its topic"
            );
        }
        self.requests.voided(&table.request, table.oid);
        Ok(())
    }

    fn publish_part(
        &mut self,
        point: Lsn,
        first: bool,
        (now, now_us): (Instant, i64),
        out: &mut Batch,
    ) -> Result<(), Error> {
        self.doing = Doing::Nothing;
        let (Some(part), Some(table)) = (self.part.take(), self.table.as_ref()) else {
            return Ok(());
        };
        let Some(captured) = &table.captured else {
            return Ok(());
        };
        let position = Position::new(self.epoch, point, 0);
        self.encoder.begin_incremental(&SnapshotRead {
            position,
            exported_at_us: part.read_at_us,
        });
        if first {
            void(&mut self.encoder, captured, (point, now_us), out)?;
        }
        let mut encoding = Encoding {
            encoder: &mut self.encoder,
            plan: &captured.plan,
            position,
            passed_over: self.passed_over,
            now_us,
        };
        // What was there before is voided by now: a row that cannot be encoded ends the stream.
        let mut rows = part.rows.left();
        rows.try_for_each(|row| encoding.append(row, out))
            .map_err(|source| Error::Encode { lsn: point, source })?;
        drop(rows);
        let rows = part.rows.read();
        telemetry::snapshot_rows(rows);
        let (request, oid) = (table.request.clone(), table.oid);
        let (topic, partitions) = (captured.plan.topic(), captured.partitions);
        self.requests
            .chunk_published(&request, oid, position, Left::Nothing, rows, now_us);
        if !part.last {
            self.not_before = now + self.pace.take(rows as u64, now);
            self.doing = Doing::Pacing(point);
            return Ok(());
        }
        self.table = None;
        if let Some(lowest) = self.requests.table_finished(&request, oid, now_us) {
            self.encoder
                .snapshot_end(topic, partitions, lowest, part.read_at_us, out);
        }
        Ok(())
    }

    /// Appends what is left of the chunk that is held.
    fn publish_chunk(
        &mut self,
        window: &mut Window,
        resume: Lsn,
        now: Instant,
        now_us: i64,
        out: &mut Batch,
    ) {
        let Doing::Holding(held) = std::mem::replace(&mut self.doing, Doing::Nothing) else {
            return;
        };
        let (Some(rows), Some(table)) = (window.take(), self.table.as_mut()) else {
            return;
        };
        let Some(captured) = &table.captured else {
            return;
        };
        let read = SnapshotRead {
            position: Position::new(self.epoch, resume, 0),
            exported_at_us: held.read_at_us,
        };
        self.encoder.begin_incremental(&read);
        let start = (out.bytes.len(), out.records.len(), out.headers.len());
        let before = out.records.len();
        let mut encoding = Encoding {
            encoder: &mut self.encoder,
            plan: &captured.plan,
            position: read.position,
            passed_over: self.passed_over,
            now_us,
        };
        let encoded = rows.left().try_for_each(|row| encoding.append(row, out));
        if let Err(error) = encoded {
            out.bytes.truncate(start.0);
            out.records.truncate(start.1);
            out.headers.truncate(start.2);
            let request = table.request.clone();
            self.requests
                .fail(&request, telemetry::chain(&error), now_us);
            self.table = None;
            return;
        }
        let published = out.records.len() - before;
        telemetry::snapshot_rows(published);
        self.not_before = now + self.pace.take(rows.read() as u64, now);
        let stuck =
            held.next.is_some() && held.next == self.requests.reached(&table.request, table.oid);
        if stuck {
            // So many rows of one key: its columns are not unique without an unpublished one.
            table.rows = table.rows.saturating_mul(2);
        }
        let begun = table.begun.unwrap_or(read.position);
        let (request, oid) = (table.request.clone(), table.oid);
        let (topic, partitions) = (captured.plan.topic(), captured.partitions);
        let left = match held.next {
            Some(next) => Left::From(next),
            None if held.listed => Left::Listed,
            None => Left::Nothing,
        };
        let whole = left == Left::Nothing;
        if left == Left::Listed && !self.requests.has_passed(&request, oid) {
            tracing::info!(
                table = %table.description.published.table,
                "every key is passed: rows that moved meanwhile are read by their keys"
            );
        }
        self.requests
            .chunk_published(&request, oid, begun, left, rows.read(), now_us);
        if whole {
            self.table = None;
            if let Some(lowest) = self.requests.table_finished(&request, oid, now_us) {
                self.encoder
                    .snapshot_end(topic, partitions, lowest, held.read_at_us, out);
            }
        }
        self.notice(now, now_us);
    }

    /// Says how far it is, now and then.
    fn notice(&mut self, now: Instant, now_us: i64) {
        let Some(progress) = self.requests.progress(now_us) else {
            telemetry::snapshot_remaining(0);
            return;
        };
        telemetry::snapshot_remaining(progress.rows_remaining);
        if now.saturating_duration_since(self.noticed) >= NOTICE_INTERVAL {
            self.noticed = now;
            tracing::info!(
                request = %progress.request,
                rows = progress.rows,
                rows_remaining = progress.rows_remaining,
                minutes_remaining = progress.minutes_remaining,
                "an ad hoc snapshot is under way; what remains is an estimate"
            );
        }
    }
}

/// Appends a truncate, which voids what the topic shows of a table.
fn void(
    encoder: &mut Encoder,
    captured: &CapturedTable,
    (lsn, now_us): (Lsn, i64),
    out: &mut Batch,
) -> Result<(), Error> {
    let change = Change {
        lsn,
        ordinal: 0,
        now_us,
    };
    encoder
        .truncate(&captured.plan, change, captured.partitions, out)
        .map_err(|source| Error::Encode { lsn, source })
}
