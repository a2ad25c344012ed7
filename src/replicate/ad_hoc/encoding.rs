//! What rows that are read beside the stream become.

use super::rows::columns;
use crate::event::{Batch, Change, EncodeError, Encoder, PassedRows, Plan, Position, SnapshotFlag};
use crate::postgres::{Excess, RowBody};
use crate::telemetry;

/// What rows that are read beside the stream become.
pub(super) struct Encoding<'a> {
    pub(super) encoder: &'a mut Encoder,
    pub(super) plan: &'a Plan,
    pub(super) position: Position,
    pub(super) passed_over: Option<u32>,
    pub(super) now_us: i64,
}

impl Encoding<'_> {
    /// Appends a row, or tells of one that is too large, if that is what happens with it.
    pub(super) fn append(&mut self, row: RowBody<'_>, out: &mut Batch) -> Result<(), EncodeError> {
        // It was read as one before.
        let Ok((row, excess)) = columns(row) else {
            return Ok(());
        };
        let (plan, flag) = (self.plan, SnapshotFlag::True);
        let result = match excess {
            None => self.encoder.read(plan, self.now_us, flag, row, out),
            Some(Excess { bytes, bytes_max }) => Err(EncodeError::ChangeTooLarge {
                of: plan.titled(),
                bytes,
                bytes_max,
            }),
        };
        let Err(error) = result else { return Ok(()) };
        let (Some(size), Some(topic)) = (error.too_large(), self.passed_over) else {
            return Err(error);
        };
        let change = Change {
            lsn: self.position.commit_lsn,
            ordinal: self.position.ordinal,
            now_us: self.now_us,
        };
        let rows = PassedRows::Read(row);
        self.encoder
            .pass_over(topic, plan, rows, change, size, out)?;
        telemetry::passed_over(&plan.full_name(), self.position, size);
        Ok(())
    }
}
