//! What the stream does for ad hoc snapshots: it hands chunks to the window, and publishes what is left of them
//! between two source transactions, behind the changes that came before.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::{Decision, Found, LookUp, Stream, machine, unix_time_us};
use crate::event::{Batch, Lsn, Position};
use crate::postgres::Excess;
use crate::replicate::Error;
use crate::replicate::ad_hoc::Gate;
use crate::replicate::capture::{Arrival, Point};
use crate::replicate::members::{News, Relistings};
use crate::replicate::row_store::RowStore;

/// A message that lies behind the gate.
pub(super) struct Kept {
    lsn: Lsn,
    data: Vec<u8>,
    excess: Option<Excess>,
}

impl Kept {
    pub(super) fn new(arrival: Arrival<'_>) -> Kept {
        Kept {
            lsn: arrival.lsn,
            data: arrival.data.to_vec(),
            excess: arrival.excess,
        }
    }

    pub(super) fn arrival(&self) -> Arrival<'_> {
        Arrival {
            lsn: self.lsn,
            data: &self.data,
            excess: self.excess,
        }
    }
}

impl Stream {
    /// Takes what the reader has told, and begins what is next. `false` when the shutdown came meanwhile.
    pub(super) async fn read_beside(
        &mut self,
        shutdown: &CancellationToken,
    ) -> Result<bool, Error> {
        if let Ok(news) = self.news.try_recv() {
            self.join(news);
        }
        if self.capture.is_fenced() {
            return Ok(true);
        }
        let (now, now_us) = (Instant::now(), unix_time_us());
        if let Some(told) = self.state.told.take().or_else(|| self.ad_hoc.try_told()) {
            self.steps.at("ad-hoc.told");
            let window = self.capture.window();
            self.ad_hoc.take(told, window, now, now_us);
        }
        let resume = self.capture.resume();
        if self.ad_hoc.is_due(self.capture.window(), resume)
            && let Some(table) = self.ad_hoc.unplanned()
        {
            // Not before: what is streamed from here on knows no older form of the table.
            let position = Position::new(self.record.epoch, resume, 0);
            let wanted = LookUp::Read(&table);
            let Some(Found::Table(found)) = self.look_up(wanted, position, shutdown).await? else {
                return Ok(false);
            };
            if let Some(captured) = found {
                self.ad_hoc.plan(captured);
            }
            self.publish_schemas().await?;
        }
        if !self.route_beside(shutdown).await? {
            return Ok(false);
        }
        self.store_beside()?;
        if self.is_stopped() {
            self.ad_hoc.stopped()?;
        }
        for table in self.ad_hoc.take_unread() {
            if let Some(rows) = self.capture.rows() {
                rows.drop_list(table);
            }
        }
        let beside = self.capture.beside();
        if let Some(watched) = self.ad_hoc.proceed(beside, resume, now, now_us)? {
            self.expect_rows().await?;
            self.capture.watch(watched);
            self.steps.at("ad-hoc.ordered");
        }
        Ok(true)
    }

    /// Has the row store expect the rows that are read from here on.
    async fn expect_rows(&mut self) -> Result<(), Error> {
        if let (Some(table), Some(rows)) = (self.ad_hoc.stored_table(), self.capture.rows()) {
            relist(&self.relistings, rows, table.id, &table.through).await;
            rows.expect(table)?;
        }
        Ok(())
    }

    /// Stores the rows that are held, if they may be published from here on.
    fn store_beside(&mut self) -> Result<(), Error> {
        let resume = self.capture.resume();
        let due = self.ad_hoc.has_rows_to_store() && self.ad_hoc.is_planned();
        if due && self.ad_hoc.is_due(self.capture.window(), resume) && !self.capture.is_feeding() {
            let ad_hoc = &mut self.ad_hoc;
            self.capture
                .store_beside(|window, rows| ad_hoc.store(window, rows))?;
            self.steps.at("ad-hoc.stored");
        }
        Ok(())
    }

    /// Whether the file of the row store has the rows that are held, or does not need them.
    fn is_stored(&mut self) -> bool {
        let until = self.ad_hoc.stored_until();
        let written = |rows: &mut RowStore| until.is_some_and(|end| rows.has_written(end));
        !self.ad_hoc.has_rows_to_store()
            && (until.is_none() || self.capture.rows().is_none_or(written))
    }

    /// Whether the row store is to be written for rows that are held.
    pub(super) fn is_written_for(&self) -> bool {
        self.ad_hoc.stored_until().is_some()
    }

    /// Whether rows that are held can be written once the batch is closed.
    fn has_rows_to_release(&mut self) -> bool {
        let until = self.ad_hoc.stored_until();
        until.is_some_and(|end| {
            self.capture.has_stored(end)
                && self.capture.rows().is_some_and(|rows| !rows.may_write(end))
        })
    }

    /// Tells the row store of a table that is published in another way than it knows, if that is only another column
    /// list.
    pub(super) async fn tell_relisted(&mut self, relation: u32, through: &[String]) {
        if let Some(rows) = self.capture.rows() {
            relist(&self.relistings, rows, relation, through).await;
        }
    }

    /// Takes up what became of the publication's tables; it is recorded with the next position.
    pub(super) fn join(&mut self, news: News) {
        self.ad_hoc.join(news, unix_time_us());
        self.steps.at("members.joined");
    }

    /// Whether a batch is to be closed for an ad hoc snapshot alone.
    fn is_due_beside(&mut self) -> bool {
        if self.is_inside_split() {
            return false;
        }
        let has_something = self.capture.has_requests() || self.ad_hoc.has_entries();
        has_something || self.has_due_chunk() || self.has_rows_to_release()
    }

    fn has_due_chunk(&mut self) -> bool {
        let resume = self.capture.resume();
        let due = self.ad_hoc.is_planned() && self.ad_hoc.is_due(self.capture.window(), resume);
        due && self.is_stored()
    }

    /// Whether the stream stands, so that a table without a key can be read.
    pub(super) fn is_stopped(&self) -> bool {
        let standing = match self.ad_hoc.gate() {
            None => false,
            Some(Gate::Here) => true,
            Some(Gate::At(point)) => self.state.kept.is_some() || self.capture.resume() >= point,
        };
        standing && !self.capture.is_open()
    }

    /// What was kept, once the gate is open.
    pub(super) fn take_kept(&mut self) -> Option<Kept> {
        let open = self.ad_hoc.gate().is_none();
        self.state.kept.take_if(|_| open)
    }

    /// Whether a transaction has been published in part, and no whole one since.
    fn is_inside_split(&self) -> bool {
        let point = Point::of(&self.record);
        point.is_split() && self.capture.resume() <= point.resume
    }

    /// Closes the batch for an ad hoc snapshot, where nothing else does.
    pub(super) fn decide_beside(
        &mut self,
        decision: Decision,
        now: Instant,
    ) -> Result<Decision, Error> {
        let waits = matches!(decision, Decision::Fill | Decision::FillUntil(_));
        let machine::Publisher::Idle { acknowledged } = self.state.publisher else {
            return Ok(decision);
        };
        if !waits || !self.is_due_beside() {
            return Ok(decision);
        }
        let spaced = acknowledged.map_or(now, |at| at + self.limits.commit_spacing);
        if now < spaced {
            return Ok(Decision::FillUntil(spaced));
        }
        self.close(false, now)?;
        Ok(Decision::CloseAtBoundary)
    }

    /// Appends the chunk that is due to a batch of whole transactions that ends at `resume`.
    pub(super) fn publish_beside(
        &mut self,
        resume: Lsn,
        now: Instant,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let stored = self.is_stored();
        let window = self.capture.window();
        if stored && self.ad_hoc.is_planned() && self.ad_hoc.is_due(window, resume) {
            self.ad_hoc
                .publish(window, resume, now, unix_time_us(), batch)?;
            self.steps.at("ad-hoc.appended");
        }
        Ok(())
    }

    /// When there is something to do for an ad hoc snapshot.
    pub(super) fn wake_beside(&self) -> Option<Instant> {
        self.ad_hoc.wake_at().filter(|_| !self.capture.is_fenced())
    }
}

/// What the publication lists may just be altered: only whoever does that knows whether the table was out meanwhile.
async fn relist(relistings: &Relistings, rows: &mut RowStore, relation: u32, through: &[String]) {
    if rows.may_have_left(relation, through) {
        rows.relist(&*relistings.lock().await);
    }
}
