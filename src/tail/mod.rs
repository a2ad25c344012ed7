//! Topics as a person reads them: one line a record, with time, operation, key, what changed, position.
//!
//! ```text
//! topic ─▶ follow (read_committed) ─▶ Line (pure) ─▶ whoever prints
//! ```
//!
//! An update carries the row before it only under `REPLICA IDENTITY FULL`; otherwise it is compared with
//! the last row of that key that this reader has seen.

mod avro;
mod follow;
mod line;

pub use avro::{DecodeError, Decoder};
pub use follow::{Error, Options, follow};
pub use line::Lines;
