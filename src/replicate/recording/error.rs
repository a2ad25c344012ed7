//! What can be wrong with a capture file.

use std::path::PathBuf;

use crate::exit::ExitCode;

/// A capture file that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is there already.
    #[error("{0} exists: name another file, or remove it")]
    Exists(PathBuf),
    /// The operating system refuses.
    #[error("cannot {action} the capture file {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// Not one of ours.
    #[error("{0} is no capture file: it does not begin with the words of one")]
    Foreign(PathBuf),
    /// Of another version.
    #[error("{path} has the form {found}, this tidewater reads {known}: use the one that wrote it")]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What is known.
        known: u32,
    },
    /// Bytes that are not what they should be.
    #[error("{path}: at byte {at}: {what}; the file is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// A change of a table that the file does not describe.
    #[error("the file has changes of the relation {0}, and no description of it: it is damaged")]
    Undescribed(u32),
}

impl FileError {
    /// The exit code of a process that ends because of it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            FileError::Io { .. } => ExitCode::Failure,
            FileError::Exists(_)
            | FileError::Foreign(_)
            | FileError::Version { .. }
            | FileError::Damaged { .. }
            | FileError::Undescribed(_) => ExitCode::Configuration,
        }
    }
}
