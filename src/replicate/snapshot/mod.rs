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
//! Each chunk's Kafka transaction records which keys it holds (`ledger`). So an interrupted snapshot goes on
//! where it was: what is finished stays, and the rest is read at the consistent point of a temporary slot,
//! with the fences that this takes (`replicate::fence`). Where it cannot (no key, or one whose order only
//! the server knows, or a table that was rewritten) the table starts over behind a truncate marker.

mod chunk;
mod ledger;
mod pace;
mod plan;
mod remaining;
mod worker;

pub(crate) use chunk::{KeyColumn, SnapshotTable};
pub(crate) use ledger::{Ledger, compare, compare_ranges, orders};
pub(crate) use pace::Pace;
pub(crate) use plan::{ReadTable, Snapshot};
pub(crate) use remaining::Remaining;
pub(crate) use worker::{Reading, Standby, WorkerSettings, see};
