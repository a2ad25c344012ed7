//! Capture files: the raw stream of a source, kept to be decoded and encoded again without a server.
//!
//! ```text
//! capture:  slot's copy or temporary slot ─▶ frames ─▶ (scramble) ─▶ file
//! replay:   file ─▶ capture (as while streaming) ─▶ records
//! ```
//!
//! For bug reports, tests and benchmarks. The subtle rule: what the encoder asks the catalog is kept in
//! the file too, before the first change that needs it, so a replay depends on nothing but the file.

mod error;
mod file;
mod record;
mod replay;
mod scramble;

pub use error::FileError;
pub use file::{Frame, Header, Reader, Writer};
pub use record::{Options, Summary, record};
pub use replay::{Replay, Replayed};
