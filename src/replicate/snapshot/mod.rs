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
//! consistent point there is no gap and no overlap. They lock the tables *before* the slot is created
//! (`replicate::anchor`) and wait for the snapshot's name.
//!
//! An interrupted snapshot starts over: a truncate marker in every partition voids what it had
//! published, so that no row stays that was deleted in between.

mod chunk;
mod plan;
mod worker;

pub(crate) use chunk::{KeyColumn, Range, SnapshotTable};
pub(crate) use plan::{ReadTable, Snapshot};
pub(crate) use worker::{Reading, Standby, WorkerSettings};
