//! What a registry can say instead of an id.

use crate::exit::ExitCode;

/// Why a schema has no id, or an id no schema.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used.
    #[error("format.registry: {problem}")]
    Settings {
        /// What is wrong.
        problem: String,
    },
    /// It did not answer.
    #[error("the schema registry at {url} cannot be reached to {doing}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What it was to do.
        doing: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered with an error.
    #[error(
        "the schema registry refuses to {doing} of subject \"{subject}\": status {status}, {message}"
    )]
    Status {
        /// What it was to do.
        doing: &'static str,
        /// Of which subject; empty for none.
        subject: String,
        /// Its status.
        status: u16,
        /// Its word.
        message: String,
    },
    /// It answered what is no answer.
    #[error(
        "the schema registry's answer to the request to {doing} cannot be read: is {url} a registry?"
    )]
    Answer {
        /// Its address.
        url: String,
        /// What it was to do.
        doing: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The schema may not follow the one before.
    #[error(
        "the schema of subject \"{subject}\" is not compatible with its latest version under the rule {rule}: \
         {reasons}. change the table so that it is, or set another rule for the subject \
         (PUT /config/{subject} with {{\"compatibility\":\"NONE\"}}), or write to other topics"
    )]
    Incompatible {
        /// The subject.
        subject: String,
        /// Its compatibility rule.
        rule: String,
        /// What the registry found.
        reasons: String,
    },
    /// The schema is not there and may not be registered.
    #[error(
        "the schema of subject \"{subject}\" is not registered, and format.registry.auto_register is \"false\": \
         register it, or set format.registry.auto_register = \"true\""
    )]
    NotRegistered {
        /// The subject.
        subject: String,
    },
}

impl Error {
    /// The status that it answered with.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Error::Status { status, .. } => Some(*status),
            Error::Settings { .. }
            | Error::Unreachable { .. }
            | Error::Answer { .. }
            | Error::Incompatible { .. }
            | Error::NotRegistered { .. } => None,
        }
    }

    /// Whether the same question may be answered later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable { .. } => true,
            Error::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            Error::Settings { .. }
            | Error::Answer { .. }
            | Error::Incompatible { .. }
            | Error::NotRegistered { .. } => false,
        }
    }

    /// How a process ends on it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Settings { .. } => ExitCode::Configuration,
            Error::Unreachable { .. } => ExitCode::RegistryUnreachable,
            Error::Status { .. } if self.is_transient() => ExitCode::RegistryUnreachable,
            Error::Status { .. }
            | Error::Answer { .. }
            | Error::Incompatible { .. }
            | Error::NotRegistered { .. } => ExitCode::RegistryRefused,
        }
    }
}
