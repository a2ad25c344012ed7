//! How far behind each half is: asked by `status`, and exported as metrics by the roles.
//!
//! Two ages are end to end and need no stage's word: that of the newest heartbeat in Kafka (the
//! replicator) and that of `applied_until` (the consumer). Each grows by itself while a stage stands
//! still, also while the server that would tell is gone.

mod request;
mod sink;
mod source;
mod watch;

pub use request::RequestLag;
pub use sink::{PartitionLag, SinkLag, State, sink};
pub use source::{SnapshotLag, SourceLag, TopicsLag, source, topics};
pub use watch::{Watched, watch};

use crate::exit::ExitCode;
use crate::{connection, kafka, postgres};

/// A part that could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source.
    #[error("source")]
    Source(#[from] postgres::Error),
    /// The source was not reached, or did not let us in.
    #[error("source database")]
    SourceConnection(#[source] connection::Error),
    /// Kafka.
    #[error("kafka")]
    Kafka(#[from] kafka::Error),
    /// The sink was not reached, or did not let us in.
    #[error("sink database")]
    SinkConnection(#[source] connection::Error),
    /// The sink refused a query.
    #[error("the sink does not answer as it should: run tidewater migrate there")]
    Sink(#[source] tokio_postgres::Error),
    /// A thread panicked.
    #[error("the reader of the topics failed")]
    Thread,
}

impl Error {
    /// How the process ends on it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Source(error) => error.exit_code(),
            Error::SourceConnection(error) => error.exit_code(),
            Error::Kafka(error) => error.exit_code(),
            Error::SinkConnection(error) if error.is_transient() => ExitCode::SinkUnreachable,
            Error::SinkConnection(_) => ExitCode::SinkRefused,
            Error::Sink(_) => ExitCode::SinkSchema,
            Error::Thread => ExitCode::Failure,
        }
    }
}
