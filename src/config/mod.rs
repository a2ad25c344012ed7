//! Configuration: one TOML file and the environment become typed, bounded settings, once, at the edge.
//!
//! ```text
//! file ──┐
//!        ├─▶ Raw (dotted key → text) ─▶ Resolver (bounds, every fault) ─▶ Settings
//! env  ──┘
//! ```
//!
//! The only reader of the environment. Every key is a row of [`KEYS`]; a key that is not there is a
//! fault, and all faults are reported together, so that a file is mended in one go.

mod console;
mod find;
mod format;
mod gateway;
mod handling;
mod identity;
mod keys;
pub mod mapping;
mod outbox;
mod raw;
mod resolve;
mod retail;
mod row_store;
mod selection;
pub mod settings;
mod simulate;
#[cfg(test)]
mod tests;
mod verify;
mod webhook;

use std::path::{Path, PathBuf};

pub use keys::{KEYS, Key};
pub use raw::Raw;
pub(crate) use resolve::duration;
pub(crate) use simulate::http_url;

use crate::exit::ExitCode;
use settings::Settings;

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "tidewater.toml";

/// One fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, `kafka.partitions` for instance.
    pub key: String,
    /// What is wrong, with the value and the bound.
    pub problem: String,
    /// How to mend it.
    pub remedy: String,
}

/// Everything that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let faults = if self.0.len() == 1 { "fault" } else { "faults" };
        write!(f, "the configuration has {} {faults}", self.0.len())?;
        for fault in &self.0 {
            write!(f, "\n  {}: {}; {}", fault.key, fault.problem, fault.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl Faults {
    /// The process's exit code when this ends it.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::Configuration
    }
}

/// Reads the file (the default one if it exists and none is named) and the environment.
pub fn load(file: Option<&Path>) -> Result<Settings, Faults> {
    let default = PathBuf::from(DEFAULT_FILE);
    let file = file.or_else(|| default.exists().then_some(default.as_path()));
    let text = match file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Faults(vec![Fault {
                key: path.display().to_string(),
                problem: format!("cannot be read: {error}"),
                remedy: "name an existing file with --config".to_owned(),
            }])
        })?,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the environment"
    )]
    let environment = std::env::vars();
    parse(&text, environment)
}

/// Resolves a file's text and environment variables.
pub fn parse(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, Faults> {
    let mut faults = Vec::new();
    let raw = Raw::read(text, environment, &mut faults);
    let settings = resolve::resolve(&raw, &mut faults);
    match settings {
        Some(settings) if faults.is_empty() => Ok(settings),
        _ => Err(Faults(faults)),
    }
}
