//! What can be wrong with the source, each with its remedy.

use crate::connection::{self, ServerError};
use crate::event::Lsn;
use crate::exit::ExitCode;

/// What can be wrong with the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not reached, not let in, or lost on the way.
    #[error(transparent)]
    Connection(#[from] connection::Error),
    /// The server refused a statement for a reason that no other variant names.
    #[error("{action}: {source}")]
    Server {
        /// What was asked of it.
        action: &'static str,
        /// Its word.
        source: ServerError,
    },
    /// A query on the tokio-postgres client failed without the server's word.
    #[error("{action}: connection lost")]
    Client {
        /// What was asked.
        action: &'static str,
        /// Why it failed.
        source: tokio_postgres::Error,
    },
    /// Bytes that break the protocol.
    #[error("postgres at {host} sent malformed bytes: {what}")]
    Malformed {
        /// As in the URL.
        host: String,
        /// What is wrong with them.
        what: String,
    },
    /// A message that has no place where it came.
    #[error("postgres at {host} sent message {tag:?} during {state}")]
    Unexpected {
        /// As in the URL.
        host: String,
        /// Its tag.
        tag: char,
        /// What was going on.
        state: &'static str,
    },
    /// The server ended the stream: it is shutting down.
    #[error("postgres at {host} ended the replication stream: it is shutting down")]
    StreamEnded {
        /// As in the URL.
        host: String,
    },
    /// One message is larger than the read buffer may grow.
    #[error(
        "a change of {length} bytes at lsn {lsn} is larger than the bound of {bound} bytes: raise \
         kafka.message_bytes_max, or leave the table's large column out of the publication"
    )]
    MessageTooLarge {
        /// Its length, bytes.
        length: usize,
        /// The bound, bytes.
        bound: usize,
        /// Where it is in the log; `0/0` outside a stream.
        lsn: Lsn,
    },
    /// A small result that wasn't.
    #[error("a catalog query returned more than {bound} bytes")]
    ResultTooLarge {
        /// The bound, bytes.
        bound: usize,
    },
    /// `wal_level` is not `logical`.
    #[error(
        "wal_level is \"{found}\", logical replication needs \"logical\": run `alter system set \
         wal_level = logical` and restart the server"
    )]
    WalLevel {
        /// What it is.
        found: String,
    },
    /// All slots are in use.
    #[error(
        "all replication slots are in use: drop one that nobody reads (pg_replication_slots), or \
         raise max_replication_slots and restart the server"
    )]
    NoFreeSlot,
    /// All walsenders are in use.
    #[error(
        "all walsenders are in use (pg_stat_replication): end one, or raise max_wal_senders and \
         restart the server"
    )]
    NoFreeSender,
    /// Locks on so many tables do not fit into the server's memory for them.
    #[error(
        "the server has no room for locks on {tables} tables ({source}): raise max_locks_per_transaction, \
         to {} or more, and restart the server, or read fewer tables at a time",
        tables.div_ceil(20)
    )]
    NoRoomForLocks {
        /// Tables that a snapshot reads.
        tables: usize,
        /// The server's word.
        source: ServerError,
    },
    /// The server is older than what is needed.
    #[error("postgres {found} is too old: 14 or later is needed")]
    Version {
        /// Its version.
        found: String,
    },
    /// The server is a standby, and what is asked for needs its primary.
    #[error("the source is a standby: {0}")]
    Standby(&'static str),
    /// Slots have copies on standbys from 17 on.
    #[error(
        "postgres {found} cannot keep a slot on its standbys: 17 or later is needed for \
         source.slot_failover = true"
    )]
    FailoverVersion {
        /// Its version.
        found: String,
    },
    /// What should be the primary takes no writes, or is another server.
    #[error("source.primary_url leads to {found}: name the primary of the server in source.url")]
    NotPrimary {
        /// What it is.
        found: &'static str,
    },
    /// Text of unknown encoding can't become JSON without loss.
    #[error(
        "the database's encoding is {found}: its text can't be told to be valid utf-8; move the data to a database with encoding UTF8"
    )]
    Encoding {
        /// Its encoding.
        found: String,
    },
    /// The role lacks `REPLICATION`.
    #[error(
        "role {user} may not replicate: as a superuser run `alter role {} replication`",
        connection::quote_identifier(user)
    )]
    ReplicationRight {
        /// The role.
        user: String,
    },
    /// Another right is missing.
    #[error("{action} needs a right that the role lacks ({source}): {remedy}")]
    Right {
        /// What was attempted.
        action: String,
        /// The server's word.
        source: ServerError,
        /// What the owner runs.
        remedy: String,
    },
    /// The slot is not there.
    #[error("replication slot {slot} does not exist")]
    SlotMissing {
        /// The slot.
        slot: String,
    },
    /// The slot is there, and is for something else.
    #[error(
        "replication slot {slot} can't be used, {why}: configure another slot name, or drop it with `select pg_drop_replication_slot({})`",
        connection::quote_literal(slot)
    )]
    SlotUnusable {
        /// The slot.
        slot: String,
        /// What is wrong with it.
        why: String,
    },
    /// A slot of this name was created meanwhile.
    #[error("replication slot {slot} already exists")]
    SlotExists {
        /// The slot.
        slot: String,
    },
    /// The server has removed the log that the slot needs.
    #[error(
        "replication slot {slot} is lost, {why}: changes since {} are missing; raise \
         max_slot_wal_keep_size, drop the slot and take a new snapshot (snapshot = \"when-needed\")",
        confirmed.map_or_else(|| "its last confirmed position".to_owned(), |lsn| lsn.to_string())
    )]
    SlotLost {
        /// The slot.
        slot: String,
        /// The server's reason.
        why: String,
        /// `confirmed_flush_lsn`, if known.
        confirmed: Option<Lsn>,
    },
    /// Another process reads the slot.
    #[error("replication slot {slot} is in use{}: stop the other replicator, or wait for it", pid.map_or_else(String::new, |pid| format!(" by backend {pid}")))]
    SlotBusy {
        /// The slot.
        slot: String,
        /// The backend that holds it.
        pid: Option<i32>,
    },
    /// The server has no timeline history to show.
    #[error("the history of timeline {timeline} is unreadable")]
    TimelineHistory {
        /// The timeline.
        timeline: u32,
    },
    /// The publication is not there.
    #[error("publication {publication} does not exist: as the owner of the tables run `{sql}`")]
    PublicationMissing {
        /// The publication.
        publication: String,
        /// What creates it.
        sql: String,
    },
    /// The publication leaves operations out.
    #[error(
        "publication {publication} does not publish {missing}: run `alter publication {} set \
         (publish = 'insert, update, delete, truncate')`",
        connection::quote_identifier(publication)
    )]
    PublicationOperations {
        /// The publication.
        publication: String,
        /// The operations left out.
        missing: String,
    },
    /// Configured tables are not in the publication.
    #[error("publication {publication} lacks {tables}: as the owner run `{sql}`")]
    PublicationTables {
        /// The publication.
        publication: String,
        /// The tables, comma-separated.
        tables: String,
        /// What adds them.
        sql: String,
    },
    /// No table matches the configured patterns.
    #[error(
        "no table matches {patterns}: check source.tables, and the role's rights on the schema"
    )]
    NoTable {
        /// The patterns.
        patterns: String,
    },
    /// Tables whose changes the server does not log.
    #[error(
        "{tables} can't be captured, unlogged or temporary tables are not in the write-ahead log: run `alter table … set logged`, or exclude them in source.tables"
    )]
    Unlogged {
        /// The tables, comma-separated.
        tables: String,
    },
}

impl Error {
    /// [`Error::Standby`] of a server that decodes on its primary alone.
    pub(crate) const STANDBY_TOO_OLD: &'static str =
        "before 16 changes can be streamed from a primary alone: name its primary in source.url";
    /// [`Error::Standby`] without anywhere to write.
    pub(crate) const STANDBY_SILENT: &'static str = "no heartbeat can be written there: name its \
         primary in source.primary_url, or set source.heartbeat_interval = \"0s\"";
    /// [`Error::Standby`] with a slot that is to be copied to others.
    pub(crate) const STANDBY_FAILOVER: &'static str = "its slots are not copied to other standbys: \
         set source.slot_failover = false, or name its primary in source.url";

    /// The process's exit code for it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Connection(error) => error.exit_code(),
            Error::Server { source, .. } if source.is_authentication() => {
                ExitCode::SourceAuthentication
            }
            Error::Server { source, .. } if source.is_transient() => ExitCode::SourceUnreachable,
            Error::Server { source, .. } if source.code == "42501" => ExitCode::SourceRights,
            Error::Client { .. } | Error::StreamEnded { .. } => ExitCode::SourceUnreachable,
            Error::Server { .. }
            | Error::Malformed { .. }
            | Error::Unexpected { .. }
            | Error::ResultTooLarge { .. }
            | Error::TimelineHistory { .. } => ExitCode::Failure,
            Error::MessageTooLarge { .. } => ExitCode::RecordTooLarge,
            Error::WalLevel { .. }
            | Error::NoFreeSlot
            | Error::NoFreeSender
            | Error::NoRoomForLocks { .. }
            | Error::Version { .. }
            | Error::Standby(_)
            | Error::FailoverVersion { .. }
            | Error::NotPrimary { .. }
            | Error::Encoding { .. } => ExitCode::SourceSettings,
            Error::ReplicationRight { .. } | Error::Right { .. } => ExitCode::SourceRights,
            Error::SlotUnusable { .. } | Error::SlotExists { .. } => ExitCode::SlotUnusable,
            Error::SlotMissing { .. } | Error::SlotLost { .. } => ExitCode::HistoryLost,
            Error::SlotBusy { .. } => ExitCode::SlotBusy,
            Error::PublicationMissing { .. }
            | Error::PublicationOperations { .. }
            | Error::PublicationTables { .. }
            | Error::NoTable { .. }
            | Error::Unlogged { .. } => ExitCode::SourceTables,
        }
    }

    /// The publication, or a table of it, is not there.
    pub fn lacks_tables(&self) -> bool {
        matches!(
            self,
            Error::PublicationMissing { .. } | Error::PublicationTables { .. }
        )
    }

    /// Worth trying again as it is.
    pub fn is_transient(&self) -> bool {
        if let Error::Connection(error) = self {
            return error.is_transient();
        }
        if let Error::Server { source, .. } = self {
            return source.is_transient();
        }
        if let Error::Client { source, .. } = self {
            return source.is_closed();
        }
        matches!(self, Error::StreamEnded { .. } | Error::SlotBusy { .. })
    }

    /// Sorts a failed statement on tables whose right may be missing.
    pub(super) fn on_tables(action: &str, error: tokio_postgres::Error) -> Error {
        match error.as_db_error().map(ServerError::from) {
            Some(source) if source.code == "42501" => Error::Right {
                action: action.to_owned(),
                source,
                remedy:
                    "as the owner `grant select` on the table, and `grant usage` on its schema, \
                         to the role"
                        .to_owned(),
            },
            _ => Error::query("using the configured tables")(error),
        }
    }

    /// The same, of locks on so many tables: what is out of memory then has a setting.
    pub(crate) fn on_locks(self, tables: usize) -> Error {
        const OUT_OF_MEMORY: &str = "53200";
        if let Error::Server { source, .. } = &self
            && source.code == OUT_OF_MEMORY
        {
            let source = source.clone();
            return Error::NoRoomForLocks { tables, source };
        }
        self
    }

    /// Sorts a failed tokio-postgres query.
    pub(crate) fn query(action: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
        move |source| match source.as_db_error() {
            Some(error) => Error::Server {
                action,
                source: ServerError::from(error),
            },
            None => Error::Client { action, source },
        }
    }
}

/// Why [`super::Session::next_rows`] ended early: the source failed, or whoever takes the rows did.
#[derive(Debug, thiserror::Error)]
pub enum RowsError<E: std::error::Error + 'static> {
    /// The source.
    #[error(transparent)]
    Source(#[from] Error),
    /// The taker of the rows.
    #[error(transparent)]
    Row(E),
}
