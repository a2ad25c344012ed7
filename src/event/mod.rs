//! Change events: positions, the record arena, the Debezium envelope and how rows become its bytes.
//!
//! ```text
//! table, kind ─▶ plan ──┐
//! change ─▶ context ────┼─▶ encoder ─▶ batch ═══ Kafka ═══▶ envelope
//! row ─▶ image ─▶ value ┘   mark
//! ```
//!
//! Pure: no I/O, clock, environment or log.

mod array;
mod avro;
mod batch;
mod builtin;
mod change;
mod composite;
mod context;
mod debezium;
mod default;
mod encoder;
mod envelope;
mod error;
mod extra;
mod format;
mod frame;
mod hexadecimal;
mod hstore;
mod image;
mod json;
mod key_range;
mod kind;
mod lsn;
mod mark;
mod message;
mod outbox;
mod plan;
mod position;
mod quoted;
mod range;
mod row;
mod schema;
pub mod selection;
mod shape;
mod table;
mod temporal;
mod transaction;
mod value;

pub use batch::{Batch, BatchEnd, Header, HeaderName, Record};
pub use change::{
    BARRIER_PREFIX, Change, HEARTBEAT_PREFIX, LogicalMessage, Operations, SNAPSHOT_PREFIX,
    SnapshotFlag, SnapshotRead, Transaction,
};
pub use debezium::{
    BinaryHandling, DecimalHandling, Handling, HstoreHandling, IntervalHandling, NameAdjustment,
    Placeholder, TimeHandling,
};
pub use default::ColumnDefault;
pub use encoder::{Encoder, NEW_KEY_HEADER, OLD_KEY_HEADER, PassedRows};
pub use envelope::{Envelope, MessageBlock, Operation, Source};
pub use error::{EncodeError, TooLarge};
pub use extra::{Extra, Extras};
pub use format::{Encoding, Format, SourceName, TruncateFormat, ValueFormat};
pub use frame::Frames;
pub use image::Filled;
pub use key_range::{KeyOrder, KeyRange};
pub use lsn::{Lsn, ParseLsnError};
pub use mark::{MARK_HEADER, POSITION_HEADER, SNAPSHOT_END, TIME_HEADER};
pub use outbox::Target;
pub use plan::Plan;
pub use position::{Epoch, ParsePositionError, Position};
pub use row::{Column, OldRow, Row};
pub use schema::{TOPIC_BYTES_MAX, is_topic_character, topic_characters};
pub use shape::{DELETED_FIELD, Flat, FlatDeletes, Shape, UNAVAILABLE, UnchangedFormat};
pub use table::{ColumnFacts, ColumnShape, ReplicaIdentity, Table, TypeShape, record_key};
pub use transaction::{Boundary, Outline};
