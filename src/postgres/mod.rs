//! The source server: our own protocol client for replication and bulk reads, and what has to be known
//! and arranged there — slot, publication, catalog, lease.
//!
//! ```text
//! connection::Dialed ─▶ Session (auth, simple queries) ─▶ ReplicationStream ─▶ Frame ─▶ pgoutput
//!                        └▶ select / next_rows (snapshot)        ▲
//!                                                          queue_status, flush
//! ```
//!
//! tokio-postgres has no replication mode, and copies every row; this client hands out slices of one
//! read buffer. The one subtle rule is in [`ReplicationStream::fill`]: while data is hot it waits a
//! moment *before* it reads.

mod auth;
mod buffer;
mod catalog;
mod column_lists;
mod copy;
mod error;
mod layout;
mod lease;
mod managed;
mod members;
mod publication;
mod server;
mod session;
mod slot;
mod stream;
mod tables;
mod wire;

pub use buffer::{Buffer, Excess, FramingError, Span};
pub use catalog::{
    Column, TableKind, TableShape, ancestors, is_in_recovery, lock_tables, next_xid,
    table_identity, table_shape, table_shapes, table_storages, type_names, waiting_for_standby,
};
pub use column_lists::{Lists, Relisted, alter_lists, compare_lists, unlisted_columns};
pub use error::{Error, RowsError};
pub use layout::{Attribute, MissingValue, Partition, TableLayout, table_layout};
pub use lease::{holds_lease, lease_holder, lease_name, try_lease};
pub use managed::{Refused, add_table, add_table_sql, is_managed, unpublished_tables};
pub use members::{TableWriter, has_no_row, publication_digest, still_running, table_writers};
pub use publication::{
    Publication, PublishedTable, captured_tables, check_publication, ensure_publication,
    is_published, published_through,
};
pub use server::{
    Server, Switch, SystemIdentity, identify_system, inspect_server, log_end, timeline_history,
};
pub use session::{RowBody, Session, SessionKind};
pub use slot::{
    CreatedSlot, Failover, SlotState, SnapshotExport, check_slot, copy_slot, create_slot,
    drop_slot, enable_failover, read_slot, terminate_walsender,
};
pub use stream::{Frame, ReplicationStream};
pub use tables::{Patterns, PatternsError, TableName};
