//! Keys of records, and as the headers of a changed key have them.

use super::{Encoder, Key};
use crate::event::Batch;
use crate::event::error::EncodeError;
use crate::event::image::{Filled, KeySource, write_key};
use crate::event::plan::Plan;
use crate::event::row::{OldRow, Row};

impl Encoder {
    /// Old and new key as the headers have them.
    pub(super) fn moved<O: Row, N: Row>(
        &mut self,
        plan: &Plan,
        old: OldRow<O>,
        (old_key, new, new_key): (&Key, Filled<N, O>, &Key),
        out: &mut Batch,
    ) -> Result<(Key, Key), EncodeError> {
        let Some(columns) = &plan.header_key else {
            return Ok((old_key.clone(), new_key.clone()));
        };
        let start = out.bytes.len();
        let (scratch, bytes) = (&mut self.scratch, &mut out.bytes);
        match old {
            OldRow::Key(old) => {
                write_key(
                    plan,
                    columns,
                    old,
                    KeySource::IdentityOfOldRow,
                    scratch,
                    bytes,
                )?;
            }
            OldRow::Full(old) => {
                write_key(plan, columns, old, KeySource::WholeRow, scratch, bytes)?;
            }
        }
        let middle = bytes.len();
        write_key(plan, columns, new, KeySource::WholeRow, scratch, bytes)?;
        Ok((Some(start..middle), Some(middle..bytes.len())))
    }

    pub(super) fn old_key<R: Row>(
        &mut self,
        plan: &Plan,
        old: OldRow<R>,
        out: &mut Batch,
    ) -> Result<Key, EncodeError> {
        match old {
            OldRow::Key(old) => self.key(plan, old, KeySource::IdentityOfOldRow, out),
            OldRow::Full(old) => self.key(plan, old, KeySource::WholeRow, out),
        }
    }

    #[inline]
    pub(super) fn key<R: Row>(
        &mut self,
        plan: &Plan,
        row: R,
        source: KeySource,
        out: &mut Batch,
    ) -> Result<Key, EncodeError> {
        if plan.key.is_empty() {
            return Ok(None);
        }
        let start = out.bytes.len();
        let frame = &plan.frames.key;
        frame.open(&mut out.bytes);
        write_key(
            plan,
            &plan.key,
            row,
            source,
            &mut self.scratch,
            &mut out.bytes,
        )?;
        frame
            .close(start, &mut self.framing, &mut out.bytes)
            .map_err(|failed| failed.of_table(plan.full_name()))?;
        Ok(Some(start..out.bytes.len()))
    }
}
