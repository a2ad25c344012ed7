//! Why the shop cannot be set up or live.

use crate::connection::{self, ServerError};
use crate::exit::ExitCode;

/// Why the shop cannot be set up or live.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has no source.
    #[error("the configuration has no [source], which the simulator writes to: set source.url")]
    Unconfigured,
    /// The source cannot be reached or refuses us.
    #[error("cannot connect to the source database")]
    Connect(#[source] connection::Error),
    /// The source refused a statement.
    #[error("the source refused to {doing}")]
    Refused {
        /// What the statement does.
        doing: &'static str,
        /// The server's word, without row values.
        source: ServerError,
    },
    /// The connection broke.
    #[error("lost the connection to the source, or misread it, while it was to {doing}")]
    Lost {
        /// What the statement does.
        doing: &'static str,
        /// The client's word.
        source: tokio_postgres::Error,
    },
    /// There is nothing to live on.
    #[error(
        "the shop has no stores, products or customers: empty its tables for the simulator to fill \
         them, or insert some"
    )]
    Empty,
    /// Another simulator is at work.
    #[error("another simulator lives in this database: stop it first")]
    Busy,
    /// Nobody has named a key for the gateway.
    #[error(
        "shoppers need a key of the gateway: make one with tidewater keys create --scope events:write, \
         and name its file with --gateway-key-file, or set simulate.gateway_key"
    )]
    NoKey,
    /// The file that should hold the key cannot be read.
    #[error("the gateway's key cannot be read from {file}: name a file that holds the key alone")]
    KeyFile {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The gateway is none, or does not let us in.
    #[error("events cannot be posted to {url}: {problem}")]
    Gateway {
        /// Where it is.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// A worker ended in a bug.
    #[error("a worker of the simulator ended in a bug")]
    Panicked,
}

impl Error {
    pub(super) fn statement(doing: &'static str, error: tokio_postgres::Error) -> Error {
        match error.as_db_error() {
            Some(refusal) => Error::Refused {
                doing,
                source: ServerError::from(refusal),
            },
            None => Error::Lost {
                doing,
                source: error,
            },
        }
    }

    /// Whether the same may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Connect(source) => source.is_transient(),
            Error::Refused { source, .. } => source.is_transient(),
            Error::Lost { source, .. } => std::error::Error::source(source)
                .is_none_or(<dyn std::error::Error>::is::<std::io::Error>),
            Error::Unconfigured
            | Error::Empty
            | Error::Busy
            | Error::NoKey
            | Error::KeyFile { .. }
            | Error::Gateway { .. }
            | Error::Panicked => false,
        }
    }

    /// How the process ends on it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Unconfigured | Error::NoKey | Error::KeyFile { .. } | Error::Gateway { .. } => {
                ExitCode::Configuration
            }
            Error::Connect(source) => source.exit_code(),
            Error::Refused { source, .. } if source.is_transient() => ExitCode::SourceUnreachable,
            Error::Refused { source, .. } if source.code == "42501" => ExitCode::SourceRights,
            Error::Refused { .. } | Error::Empty => ExitCode::SourceTables,
            Error::Lost { .. } => ExitCode::SourceUnreachable,
            Error::Busy | Error::Panicked => ExitCode::Failure,
        }
    }
}
