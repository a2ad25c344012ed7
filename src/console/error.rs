//! Why the console cannot serve.

use crate::exit::ExitCode;
use crate::gateway::KeyError;
use crate::http::ListenError;
use crate::retail::SchemaError;

/// Why the console cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A section is missing.
    #[error("the configuration has no [{section}], which the console needs")]
    Missing {
        /// The section's name.
        section: &'static str,
    },
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(ListenError),
    /// The sink cannot be reached, or its schema is another one.
    #[error(transparent)]
    Schema(SchemaError),
    /// The keys cannot be read.
    #[error("the keys that rules are edited with cannot be read")]
    Keys(#[from] KeyError),
    /// Connections for reads cannot be set up.
    #[error("the connections for reads cannot be set up")]
    Reads(#[source] deadpool::managed::BuildError),
}

impl Error {
    /// The process's exit code when this ends it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Missing { .. } | Error::Listen(_) => ExitCode::Configuration,
            Error::Schema(source) => source.exit_code(),
            Error::Keys(source) => source.exit_code(),
            Error::Reads(_) => ExitCode::Failure,
        }
    }
}
