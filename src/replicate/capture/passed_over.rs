//! Changes that are too large: told of in a topic of their own, or the end of the stream.

use super::Capture;
use super::rows::{encoded, plan};
use crate::event::{Change, EncodeError, LogicalMessage, PassedRows, Plan, Position};
use crate::pgoutput::Tuple;
use crate::postgres::Excess;
use crate::replicate::Error;
use crate::telemetry;

impl Capture {
    /// Tells of a change that was too large, if that is what happens with it.
    #[inline]
    pub(super) fn finish<'t>(
        &mut self,
        result: Result<(), EncodeError>,
        relation: u32,
        change: Change,
        rows: impl FnOnce() -> PassedRows<Tuple<'t>>,
    ) -> Result<(), Error> {
        match result {
            Ok(()) => Ok(()),
            Err(source) => self.pass_over(source, relation, change, rows()),
        }
    }

    #[cold]
    fn pass_over(
        &mut self,
        source: EncodeError,
        relation: u32,
        change: Change,
        rows: PassedRows<Tuple<'_>>,
    ) -> Result<(), Error> {
        let lsn = change.lsn;
        let (Some(size), Some(topic)) = (source.too_large(), self.passed_over) else {
            return Err(Error::Encode { lsn, source });
        };
        let plan = plan(&self.tables, relation, lsn)?;
        self.encoder.uncount(plan);
        let told = self
            .encoder
            .pass_over(topic, plan, rows, change, size, &mut self.batch);
        encoded(told, lsn)?;
        telemetry::passed_over(&plan.full_name(), self.place(change), size);
        Ok(())
    }

    fn place(&self, change: Change) -> Position {
        let commit_lsn = self.open.map_or(change.lsn, |open| open.commit_lsn);
        Position::new(self.epoch, commit_lsn, change.ordinal)
    }

    /// Appends a logical message if it is selected, or tells of one that is too large.
    pub(super) fn publish_message(
        &mut self,
        change: Change,
        message: &LogicalMessage<'_>,
    ) -> Result<(), Error> {
        let Some(outline) = self.messages.topic(message.prefix) else {
            return Ok(());
        };
        let result = match self.excess {
            None => self
                .encoder
                .message(outline, change, message, &mut self.batch),
            Some(Excess { bytes, bytes_max }) => Err(EncodeError::ChangeTooLarge {
                of: message.titled(),
                bytes,
                bytes_max,
            }),
        };
        let (Err(source), lsn) = (result, change.lsn) else {
            return Ok(());
        };
        let (Some(size), Some(topic)) = (source.too_large(), self.passed_over) else {
            return Err(Error::Encode { lsn, source });
        };
        self.encoder.uncount_message();
        let told = self
            .encoder
            .pass_over_message(topic, message, change, size, &mut self.batch);
        encoded(told, lsn)?;
        telemetry::passed_over(&message.titled(), self.place(change), size);
        Ok(())
    }
}

/// The error of a change whose message was not held.
#[cold]
pub(super) fn exceeds(Excess { bytes, bytes_max }: Excess, plan: &Plan) -> EncodeError {
    EncodeError::ChangeTooLarge {
        of: plan.titled(),
        bytes,
        bytes_max,
    }
}
