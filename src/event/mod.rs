//! Change events: positions, the record arena, the Debezium envelope and how rows become its bytes.
//!
//! Pure: no I/O, clock, environment or log.

mod batch;
mod envelope;
mod lsn;
mod position;

pub use batch::{Batch, Header, Record};
pub use envelope::{Envelope, Operation, Source};
pub use lsn::{Lsn, ParseLsnError};
pub use position::{Epoch, ParsePositionError, Position};
