//! pgoutput, version 1: the bytes of one replication message into a borrowed view of it.
//!
//! ```text
//! XLogData ─▶ parse ─▶ Message ─┬─ Begin, Commit, Origin, Message     numbers and slices
//!                               ├─ Relation, Type                     owned: rare, and they are kept
//!                               └─ Insert, Update, Delete, Truncate   views over the same bytes
//! ```
//!
//! The one subtle rule: a message lies in one replication frame, so its end is known. Nothing here
//! ever asks for more bytes: a shortfall, a leftover byte and an unknown tag are all malformed, and
//! the error names the offset. No length that the server sends is trusted for an allocation.
//! Source: "Logical Replication Message Formats" in PostgreSQL's manual.
//!
//! Version 1 has no streaming of open transactions; versions 2 to 4 add tags, and would add variants.

mod condense;
mod cursor;
mod parse;
mod relation;
mod tuple;

pub use condense::Condenser;
pub use cursor::ParseError;
pub use parse::{Message, RelationIds, parse};
pub use relation::{Relation, RelationColumn, UserType};
pub use tuple::{Columns, OldTuple, Tuple};
