//! The initial snapshot: the tables as of the slot's consistent point, in key-range chunks read by
//! parallel workers.
//!
//! ```text
//!            boundaries            chunks            Kafka transactions
//!  planner ─────────────▶ queue ───────────▶ worker 0 ─────────────▶ table topics
//!                               └──────────▶ worker n ─────────────▶
//! ```
//!
//! All of them read under the slot's exported snapshot, so that together with the stream from the
//! consistent point there is no gap and no overlap. The locks are taken *before* the slot is created:
//! TRUNCATE and rewriting ALTER TABLE are not MVCC-safe, to an older snapshot the table would be empty.
//!
//! An interrupted snapshot starts over: a truncate marker in every partition voids what it had
//! published, so that no row stays that was deleted in between.

mod chunk;
mod plan;
mod worker;

pub(crate) use chunk::{KeyColumn, Range, SnapshotTable};
pub(crate) use plan::{ReadTable, Snapshot};
pub(crate) use worker::WorkerSettings;
