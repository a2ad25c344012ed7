//! What the encoder is told of a change beside its row: transaction, place within it, snapshot.

use super::{Epoch, Lsn, Position};

/// A source transaction, as far as its events show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Epoch of the source.
    pub epoch: Epoch,
    /// Begin's final LSN; of a non-transactional message, its own LSN.
    pub commit_lsn: Lsn,
    /// When it was committed, microseconds since 1970.
    pub commit_time_us: i64,
    /// Its id; `None` for a non-transactional message.
    pub xid: Option<u32>,
    /// Commit of the transaction before it, the first half of Debezium's `sequence`; `None` when not
    /// known, right after a start.
    pub last_commit_lsn: Option<Lsn>,
}

/// Where one change stands within its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The change's own LSN (its XLogData's start).
    pub lsn: Lsn,
    /// From 1, counted over the transaction's messages as the server sent them; 0 for a
    /// non-transactional message.
    pub ordinal: u64,
    /// The clock now, microseconds since 1970: the event's own `ts_*`.
    pub now_us: i64,
}

/// The snapshot that rows are read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRead {
    /// `(epoch, snapshot LSN, 0)`.
    pub position: Position,
    /// The source's clock when the snapshot was exported, microseconds since 1970.
    pub exported_at_us: i64,
}

/// `source.snapshot` of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFlag {
    /// A row among others.
    True,
    /// The last row of the snapshot.
    Last,
}

/// A message of `pg_logical_emit_message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// Whether it belongs to a transaction.
    pub transactional: bool,
    /// Its kind; [`HEARTBEAT_PREFIX`] for our own heartbeats.
    pub prefix: &'a str,
    /// Any bytes.
    pub content: &'a [u8],
}

impl LogicalMessage<'_> {
    /// Its kind, for messages to people.
    pub(crate) fn titled(&self) -> String {
        format!("messages {}", self.prefix)
    }
}

/// A set of what can happen to rows and tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations(u8);

impl Operations {
    /// Inserts.
    pub const INSERT: Operations = Operations(1);
    /// Updates, those that change a key included.
    pub const UPDATE: Operations = Operations(2);
    /// Deletes.
    pub const DELETE: Operations = Operations(4);
    /// Truncates.
    pub const TRUNCATE: Operations = Operations(8);

    /// Both sets together.
    #[must_use]
    pub fn with(self, other: Operations) -> Self {
        Operations(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    #[inline]
    pub fn contains(self, other: Operations) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The prefix of heartbeat messages.
pub const HEARTBEAT_PREFIX: &str = "tidewater.heartbeat";
/// The prefix of messages that ask for a snapshot; their content is JSON.
pub const SNAPSHOT_PREFIX: &str = "tidewater.snapshot";
/// The prefix of messages that a snapshot writes so that the stream moves past what it has read.
pub const BARRIER_PREFIX: &str = "tidewater.snapshot.barrier";
