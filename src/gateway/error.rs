//! Why the gateway cannot serve.

use super::key_table::KeyError;
use crate::exit::ExitCode;
use crate::http::ListenError;
use crate::kafka;

/// Why the gateway cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A section is missing.
    #[error("the configuration has no [{section}], which the gateway needs")]
    Missing {
        /// The section's name.
        section: &'static str,
    },
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(ListenError),
    /// The keys cannot be read.
    #[error("the gateway's keys cannot be read")]
    Keys(#[from] KeyError),
    /// Kafka, or the topic of events.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// Connections for reads cannot be set up.
    #[error("the connections for reads cannot be set up")]
    Reads(#[source] deadpool::managed::BuildError),
    /// The file of steps cannot be opened.
    #[error("the step file cannot be opened")]
    Steps(#[source] std::io::Error),
}

impl Error {
    /// The process's exit code when this ends it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Missing { .. } | Error::Listen(_) => ExitCode::Configuration,
            Error::Keys(source) => source.exit_code(),
            Error::Kafka(source) => source.exit_code(),
            Error::Reads(_) | Error::Steps(_) => ExitCode::Failure,
        }
    }
}
