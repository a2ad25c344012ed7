//! What rows of outboxes are routed to that are read beside the stream.

use super::rows::{Rows, columns};
use super::{AdHoc, Doing, Window};
use crate::event::{Plan, Target};

impl AdHoc {
    /// A topic that is not known yet, as rows that are held name it, with their table's plan.
    pub(crate) fn unrouted(&mut self, window: &Window) -> Option<(Plan, Vec<u8>)> {
        let captured = self.table.as_ref()?.captured.as_ref()?;
        if self.routed || !captured.plan.is_routed() {
            return None;
        }
        let rows = match self.doing {
            Doing::Holding(_) => window.held()?,
            Doing::HoldingPart(..) => &self.part.as_ref()?.rows,
            // No row is held.
            Doing::Voiding => {
                self.routed = true;
                return None;
            }
            Doing::Nothing
            | Doing::Asking(..)
            | Doing::Reading
            | Doing::Stopping
            | Doing::Anchoring
            | Doing::RunningUp(_)
            | Doing::ReadingPart(..)
            | Doing::Pacing(_) => return None,
        };
        let unmet = unmet(rows, &captured.plan);
        self.routed = unmet.is_none();
        Some((captured.plan.clone(), unmet?))
    }

    /// Makes a topic known.
    pub(crate) fn meet(&mut self, value: &[u8], target: Target) {
        let captured = self
            .table
            .as_mut()
            .and_then(|table| table.captured.as_mut());
        if let Some(captured) = captured {
            captured.plan.meet(value, target);
        }
    }
}

/// What was kept of a row that is too large may lack its name; it is not encoded.
fn unmet(rows: &Rows, plan: &Plan) -> Option<Vec<u8>> {
    rows.left().find_map(|row| match columns(row) {
        Ok((row, None)) => plan.unmet(row),
        Ok((_, Some(_))) | Err(_) => None,
    })
}
