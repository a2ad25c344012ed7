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
use crate::replicate::members::News;

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
        if self.is_stopped() {
            self.ad_hoc.stopped()?;
        }
        let window = self.capture.window();
        if let Some(watched) = self.ad_hoc.proceed(window, resume, now, now_us)? {
            self.capture.watch(watched);
            self.steps.at("ad-hoc.ordered");
        }
        Ok(true)
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
        self.capture.has_requests() || self.ad_hoc.has_entries() || self.has_due_chunk()
    }

    fn has_due_chunk(&mut self) -> bool {
        let resume = self.capture.resume();
        self.ad_hoc.is_planned() && self.ad_hoc.is_due(self.capture.window(), resume)
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
        let window = self.capture.window();
        if self.ad_hoc.is_planned() && self.ad_hoc.is_due(window, resume) {
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
