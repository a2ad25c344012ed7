//! What the stream does for ad hoc snapshots: it hands chunks to the window, and publishes what is left of them
//! between two source transactions, behind the changes that came before.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::{Decision, LookUp, Stream, machine, unix_time_us};
use crate::event::{Batch, Lsn, Position};
use crate::replicate::Error;
use crate::replicate::capture::Point;

impl Stream {
    /// Takes what the reader has told, and begins what is next. `false` when the shutdown came meanwhile.
    pub(super) async fn read_beside(
        &mut self,
        shutdown: &CancellationToken,
    ) -> Result<bool, Error> {
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
        if self.ad_hoc.is_holding()
            && self.capture.window().is_due(resume)
            && let Some(table) = self.ad_hoc.unplanned()
        {
            // Not before: what is streamed from here on knows no older form of the table.
            let position = Position::new(self.record.epoch, resume, 0);
            let Some(found) = self
                .look_up(LookUp::Read(&table), position, shutdown)
                .await?
            else {
                return Ok(false);
            };
            if let Some(captured) = found {
                self.ad_hoc.plan(captured);
            }
            self.publish_schemas().await?;
        }
        let window = self.capture.window();
        if let Some(watched) = self.ad_hoc.proceed(window, resume, now, now_us)? {
            self.capture.watch(watched);
            self.steps.at("ad-hoc.ordered");
        }
        Ok(true)
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
        self.ad_hoc.is_planned() && self.capture.window().is_due(resume)
    }

    /// Whether a transaction has been published in part, and no whole one since.
    fn is_inside_split(&self) -> bool {
        let point = Point::of(&self.record);
        point.is_split() && self.capture.resume() <= point.resume
    }

    /// Closes the batch for an ad hoc snapshot, where nothing else does.
    pub(super) fn decide_beside(&mut self, decision: Decision, now: Instant) -> Decision {
        let waits = matches!(decision, Decision::Fill | Decision::FillUntil(_));
        let machine::Publisher::Idle { acknowledged } = self.state.publisher else {
            return decision;
        };
        if !waits || !self.is_due_beside() {
            return decision;
        }
        let spaced = acknowledged.map_or(now, |at| at + self.limits.commit_spacing);
        if now < spaced {
            return Decision::FillUntil(spaced);
        }
        self.close(false, now);
        Decision::CloseAtBoundary
    }

    /// Appends the chunk that is due to a batch of whole transactions that ends at `resume`.
    pub(super) fn publish_beside(&mut self, resume: Lsn, now: Instant, batch: &mut Batch) {
        let window = self.capture.window();
        if self.ad_hoc.is_planned() && window.is_due(resume) {
            self.ad_hoc
                .publish(window, resume, now, unix_time_us(), batch);
            self.steps.at("ad-hoc.appended");
        }
    }

    /// When there is something to do for an ad hoc snapshot.
    pub(super) fn wake_beside(&self) -> Option<Instant> {
        self.ad_hoc.wake_at().filter(|_| !self.capture.is_fenced())
    }
}
