//! Outboxes: topics that have to be known before a row, and updates, which are no events.

use super::Capture;
use super::rows::{Wanted, plan};
use crate::event::selection::OnUpdate;
use crate::event::{Operations, Plan, Target};
use crate::pgoutput::{Message, Relation};
use crate::replicate::Error;

/// What has to be known before a message can be applied.
#[derive(Debug)]
pub(crate) enum Unmet {
    /// How a relation's rows are encoded.
    Relation(Relation),
    /// The topic that a row of a relation names so.
    Route { relation: u32, value: Vec<u8> },
}

impl Capture {
    /// How a relation's rows are encoded.
    pub(crate) fn plan(&self, relation: u32) -> Option<&Plan> {
        self.tables.get(&relation).map(|table| &table.plan)
    }

    /// Makes a topic known that rows of a relation name so.
    pub(crate) fn meet(&mut self, relation: u32, value: &[u8], target: Target) {
        if let Some(table) = self.tables.get_mut(&relation) {
            table.plan.meet(value, target);
        }
    }

    /// The topic that a row is the first to name. What was kept of one that is too large may lack its name.
    #[inline]
    pub(super) fn unrouted(&self, message: &Message<'_>) -> Option<Unmet> {
        if !self.routes || self.excess.is_some() || self.skipped.contains(Operations::INSERT) {
            return None;
        }
        let Message::Insert { relation, new } = message else {
            return None;
        };
        let (relation, value) = (*relation, self.plan(*relation)?.unmet(*new)?);
        Some(Unmet::Route { relation, value })
    }

    /// An update of an outbox's row. It is told of once in each transaction.
    #[cold]
    pub(super) fn update_outbox(
        &mut self,
        relation: u32,
        wanted: Wanted,
        on_update: OnUpdate,
    ) -> Result<(), Error> {
        let lsn = wanted.change.lsn;
        if !wanted.publish || self.taken_back.is_some() {
            return Ok(());
        }
        let Some(open) = self.open.as_mut().filter(|open| !open.warned) else {
            return Ok(());
        };
        open.warned = true;
        let table = plan(&self.tables, relation, lsn)?.full_name();
        match on_update {
            OnUpdate::Stop => return Err(Error::OutboxUpdated { table, lsn }),
            OnUpdate::Error => {
                tracing::error!(%table, %lsn, "a row of an outbox was updated, which is no event: it is left out");
            }
            OnUpdate::Warn => {
                tracing::warn!(%table, %lsn, "a row of an outbox was updated, which is no event: it is left out");
            }
        }
        Ok(())
    }
}
