//! Kafka: transactional publication, topics, the position, and reading back.
//!
//! ```text
//! Producer ── native (librdkafka's C interface)     batches of records in transactions
//! Deliverer ─ librdkafka through rdkafka             records that somebody waits for, each told of
//! Admin    ── topics created and checked before a producer sees their names
//! position ── the compacted topic that says where the stream stands
//! Reader   ── partitions from given offsets, under either isolation
//! ```

mod ad_hoc;
mod admin;
mod client;
mod delivery;
mod error;
mod member;
mod native;
mod position;
mod producer;
mod progress;
mod reader;
pub mod topics;

pub use ad_hoc::{AdHocRecords, RequestState, RequestTable, SnapshotRequest};
pub use admin::{Admin, Topic, TopicSpec};
pub use client::{Quiet, consumer_config};
pub use delivery::{Deliverer, Outcome, Parcel, Receipt};
pub(crate) use error::passes;
pub use error::{ClientError, Error};
pub use member::{Member, MemberRecords};
pub use position::{
    FencesRecord, PositionRecord, Recorded, SnapshotProgress, TopicRecord, read_last_committed,
    read_recorded, read_recorded_now,
};
pub use producer::Producer;
pub use progress::{
    Entry, KeyPart, RangeProgress, SnapshotRecords, TableProgress, are_whole, forget_range,
};
pub use reader::{Isolation, Polled, Reader};
