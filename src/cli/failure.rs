//! A failure as the user meets it: the chain of causes, and the exit code that tells its kind.

use crate::exit::ExitCode;
use crate::{config, console, gateway, replicate, retail, simulate, telemetry, verify};

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub code: ExitCode,
    /// What the user reads: the error and everything that caused it.
    pub message: String,
}

impl Failure {
    fn of(code: ExitCode, error: &dyn std::error::Error) -> Self {
        Failure {
            code,
            message: telemetry::chain(error),
        }
    }

    /// A role panicked; the panic hook has said where.
    pub(super) fn panicked(error: &tokio::task::JoinError) -> Self {
        Failure {
            code: ExitCode::Failure,
            message: format!("a role ended in a bug: {error}"),
        }
    }

    /// The asynchronous runtime could not be started.
    pub(super) fn runtime(error: std::io::Error) -> Self {
        Failure {
            code: ExitCode::Failure,
            message: format!("cannot start: {error}"),
        }
    }
}

macro_rules! with_exit_code {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::of(error.exit_code(), &error)
            }
        }
    )+};
}

with_exit_code!(
    config::Faults,
    console::Error,
    gateway::Error,
    gateway::KeyError,
    replicate::Error,
    retail::Error,
    retail::SchemaError,
    retail::batch::Error,
    simulate::Error,
    verify::Error,
    crate::http::Error,
    crate::lag::Error,
    crate::tail::Error,
);
