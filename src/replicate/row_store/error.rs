//! What is wrong with the row store, and how to mend it.

use std::path::PathBuf;

use crate::event::Lsn;
use crate::exit::ExitCode;

/// A failure of the row store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its directory or file.
    #[error("row store {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error(
        "row store {path} is open in another process: give each replicator a row_store.path of its own"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error(
        "row store {path} is damaged: remove it, and have the tables read anew by starting once with \
         source.snapshot = \"when-needed\""
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: Box<redb::Error>,
    },
    /// It has reached its bound.
    #[error(
        "row store {path} would grow past row_store.bytes_max = {bytes_max}: raise it, or have \
         row_store.tables name fewer tables. nothing is lost: the store goes on from where it was written last"
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// A stream goes on, and there is no store.
    #[error(
        "there is no row store at {path}, but the stream goes on from {resume}: rows from before are \
         unknown. restore it, or have the tables read anew by starting once with source.snapshot = \
         \"when-needed\", or let row_store.missing = \"as-sent\" publish what the server sends of such rows"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// Where the stream goes on.
        resume: Lsn,
    },
    /// It belongs to another stream.
    #[error(
        "row store {path} is that of {stored}, and this is {found}: name another row_store.path, or remove \
         it and have the tables read anew by starting once with source.snapshot = \"when-needed\""
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        stored: String,
        /// Who asks.
        found: String,
    },
    /// It has what the stream has still to publish.
    #[error(
        "row store {path} stands at {stored}, past {resume}, from where the stream goes on: the position was \
         moved back. remove it, and have the tables read anew by starting once with source.snapshot = \
         \"when-needed\""
    )]
    Ahead {
        /// The file.
        path: PathBuf,
        /// Where it stands.
        stored: Lsn,
        /// Where the stream goes on.
        resume: Lsn,
    },
    /// The slot no longer has what it lacks.
    #[error(
        "row store {path} stands at {stored}, and the slot has nothing from before {confirmed}: the stream \
         went on without it. have the tables read anew by starting once with source.snapshot = \"when-needed\""
    )]
    Behind {
        /// The file.
        path: PathBuf,
        /// Where it stands.
        stored: Lsn,
        /// From where on the slot has changes.
        confirmed: Lsn,
    },
    /// A row's old values are not known.
    #[error(
        "the change of {table} at {lsn} is of a row that the row store does not know: the table was \
         published, or got another row filter or replica identity, after its last snapshot. take a new one by \
         dropping the slot and starting once with source.snapshot = \"when-needed\", or let \
         row_store.missing = \"as-sent\" publish what the server sends"
    )]
    RowUnknown {
        /// Schema and table.
        table: String,
        /// Where the change stands in the log.
        lsn: Lsn,
    },
    /// A column's old value is not known.
    #[error(
        "the change of {table} at {lsn} is of a row whose value of column {column} the row store does not know: the \
         column was altered after the row was stored, or no change since has sent it. take a new snapshot by \
         dropping the slot and starting once with source.snapshot = \"when-needed\", or let row_store.missing = \
         \"as-sent\" leave it out"
    )]
    ColumnUnknown {
        /// Schema and table.
        table: String,
        /// The column.
        column: String,
        /// Where the change stands in the log.
        lsn: Lsn,
    },
    /// A row without its key: the server broke the protocol.
    #[error("a change of {table} lacks a column of the replica identity that the server announced")]
    KeyMissing {
        /// Schema and table.
        table: String,
    },
    /// A stored row that cannot be read.
    #[error(
        "the row store holds a row that cannot be read: remove it, and have the tables read anew by starting \
         once with source.snapshot = \"when-needed\""
    )]
    RowUnreadable,
    /// The thread that writes could not be started.
    #[error("cannot start the thread that writes the row store")]
    Thread(#[source] std::io::Error),
    /// The thread that writes panicked.
    #[error("the thread that writes the row store ended")]
    WriterEnded,
}

impl Error {
    /// Whether a fresh start may mend it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::File { .. })
    }

    /// Whether a new snapshot mends it.
    pub(crate) fn needs_snapshot(&self) -> bool {
        matches!(
            self,
            Error::Missing { .. }
                | Error::Foreign { .. }
                | Error::Ahead { .. }
                | Error::Behind { .. }
                | Error::Damaged { .. }
                | Error::RowUnreadable
        )
    }

    /// The process's exit code when this ends it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Foreign { .. } | Error::InUse { .. } | Error::Full { .. } => {
                ExitCode::Configuration
            }
            Error::Missing { .. }
            | Error::Ahead { .. }
            | Error::Behind { .. }
            | Error::Damaged { .. }
            | Error::RowUnreadable
            | Error::RowUnknown { .. }
            | Error::ColumnUnknown { .. } => ExitCode::HistoryLost,
            Error::File { .. }
            | Error::KeyMissing { .. }
            | Error::Thread(_)
            | Error::WriterEnded => ExitCode::Failure,
        }
    }
}
