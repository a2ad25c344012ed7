//! Why the batch cannot run.

use super::super::mapped;
use crate::connection::{self, ServerError};
use crate::exit::ExitCode;

/// Why the batch cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sink, or the configuration.
    #[error(transparent)]
    Retail(#[from] super::super::Error),
    /// The source cannot be reached or refuses us.
    #[error("cannot connect to the source database")]
    Connect(#[source] connection::Error),
    /// The source refused a statement.
    #[error("the source refused to {doing}: {source}")]
    Refused {
        /// What the statement does.
        doing: &'static str,
        /// The server's word, without row values.
        source: ServerError,
    },
    /// The connection to the source broke.
    #[error("lost the connection to the source, or misread it, while it was to {doing}")]
    Lost {
        /// What the statement does.
        doing: &'static str,
        /// The client's word.
        source: tokio_postgres::Error,
    },
    /// A mapped table is not there, or not what it is mapped for.
    #[error(transparent)]
    Mapping(mapped::Fault),
    /// A value that the aggregates cannot be made of.
    #[error(
        "an order of store {store_id}, product {product_id} has a {column} that is no {expected}"
    )]
    Value {
        /// Where.
        store_id: i64,
        /// What.
        product_id: i64,
        /// Its column.
        column: &'static str,
        /// What it had to be.
        expected: &'static str,
    },
    /// The day has not begun.
    #[error("{day} has not begun in {zone}, where it is {today}: name today or a day before")]
    Future {
        /// As asked for.
        day: String,
        /// `retail.day_zone`.
        zone: String,
        /// The day that it is.
        today: String,
    },
    /// Another batch is at work.
    #[error("another batch is at work on this sink: wait for it to end")]
    Busy,
}

impl Error {
    pub(super) fn source(doing: &'static str, error: tokio_postgres::Error) -> Error {
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

    /// How the process ends on it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Retail(source) => source.exit_code(),
            Error::Connect(source) => source.exit_code(),
            Error::Refused { source, .. } if source.is_transient() => ExitCode::SourceUnreachable,
            Error::Refused { source, .. } if source.code == "42501" => ExitCode::SourceRights,
            Error::Refused { .. } | Error::Mapping(_) | Error::Value { .. } => {
                ExitCode::SourceTables
            }
            Error::Lost { .. } => ExitCode::SourceUnreachable,
            Error::Future { .. } => ExitCode::Configuration,
            Error::Busy => ExitCode::Failure,
        }
    }
}
