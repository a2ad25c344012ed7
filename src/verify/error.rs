//! Why a verification could not be carried out. Differences are no errors; they are its result.

use std::time::Duration;

use crate::config::settings::Unfoldable;
use crate::event::Lsn;
use crate::event::selection::SelectionError;
use crate::exit::ExitCode;
use crate::{connection, kafka, postgres, retail};

/// Why a verification could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration lacks a part that is needed.
    #[error(
        "[{section}] is not configured: verify compares source and topics, and topics and sink"
    )]
    Unconfigured {
        /// Section of the configuration file.
        section: &'static str,
    },
    /// The topics are written so that no state can be folded from them.
    #[error(transparent)]
    Format(Unfoldable),
    /// The source.
    #[error(transparent)]
    Source(#[from] postgres::Error),
    /// The source refused a query.
    #[error("{action} at the source")]
    SourceQuery {
        /// What was asked.
        action: &'static str,
        /// Its word.
        source: tokio_postgres::Error,
    },
    /// The sink was not reached or did not let us in.
    #[error("cannot log in to the sink")]
    SinkConnection(#[source] connection::Error),
    /// The sink refused a query.
    #[error("{action} at the sink: has `tidewater migrate` run there?")]
    SinkQuery {
        /// What was asked.
        action: &'static str,
        /// Its word.
        source: tokio_postgres::Error,
    },
    /// The sink was folded by another mapping.
    #[error(transparent)]
    Remapped(retail::mapped::Remapped),
    /// The sink was wiped or restored in between.
    #[error("the sink's offsets went back meanwhile, by a rebuild or a restore: verify it again")]
    WentBack,
    /// More rows differ than are written while the consumers wait.
    #[error(
        "{rows} rows of the sink differ, and --repair writes at most {rows_max} while the consumers \
         wait: `tidewater rebuild` folds the topics again"
    )]
    TooManyToRepair {
        /// Rows.
        rows: usize,
        /// The limit.
        rows_max: usize,
    },
    /// What was mended is wrong again.
    #[error(
        "{rows} rows of the sink differ again after {repairs} repairs: does anything but `tidewater \
         aggregate` write to its tables?"
    )]
    DiffersAgain {
        /// Rows.
        rows: usize,
        /// How many were carried out.
        repairs: u32,
    },
    /// The sink refused a statement of a repair.
    #[error("{action} at the sink: nothing was repaired, try it again")]
    Repair {
        /// What was tried.
        action: &'static str,
        /// Its word.
        source: tokio_postgres::Error,
    },
    /// The rules could not be evaluated on what was mended.
    #[error("evaluating the rules on the mended rows: nothing was repaired")]
    Evaluation(#[source] Box<retail::Error>),
    /// A table cannot be published as the configuration asks for.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// A writing transaction that is open at the source keeps the snapshot from being exported.
    #[error(
        "the source exported no snapshot within {} s: a transaction that writes stays open there \
         (see pg_stat_activity), or raise the time-out",
        after.as_secs()
    )]
    SnapshotTimeout {
        /// The limit.
        after: Duration,
    },
    /// The replicator has not published everything up to the consistent point.
    #[error(
        "the topics end at {}, below the source's {point}, after {} s: is `tidewater replicate` \
         running? its snapshot must be complete too; or raise the time-out",
        reached.map_or_else(|| "no position at all".to_owned(), |lsn| lsn.to_string()),
        after.as_secs()
    )]
    Behind {
        /// Resume position of the stream.
        reached: Option<Lsn>,
        /// Consistent point of the source's snapshot.
        point: Lsn,
        /// The limit.
        after: Duration,
    },
    /// The consumer has not applied everything that the topic holds.
    #[error(
        "the sink has not applied everything that {topic} held {} s ago: is `tidewater aggregate` \
         running?",
        after.as_secs()
    )]
    NotApplied {
        /// Topic.
        topic: String,
        /// The limit.
        after: Duration,
    },
    /// The publication lacks a table that the aggregates are made from.
    #[error("{table} is not published: `tidewater doctor` says what is wrong with the publication")]
    Unpublished {
        /// `schema.table`
        table: String,
    },
    /// A first snapshot of the table was read after the consistent point.
    #[error("{table} was first read by a snapshot while it was being verified: verify it again")]
    SnapshotRunning {
        /// `schema.table`
        table: String,
    },
    /// The configuration makes the topic tell other than the table.
    #[error(
        "{table} cannot be verified: {why}. leave it out with source.tables in a configuration of its own"
    )]
    Incomparable {
        /// `schema.table`
        table: String,
        /// What the configuration asks for.
        why: &'static str,
    },
    /// The start of a topic is no longer there.
    #[error(
        "{topic} begins at offset {first} of partition {partition}: its history is gone and nothing \
         can be folded from it. keep topics with retention.ms=-1 and cleanup.policy=delete"
    )]
    HistoryGone {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Its first offset.
        first: i64,
    },
    /// A record can't be read.
    #[error("{topic}, partition {partition}, offset {offset}: {what}")]
    Content {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Offset.
        offset: i64,
        /// What is wrong with it.
        what: String,
    },
    /// The thread that reads topics ended early.
    #[error("the thread that reads topics ended early")]
    Thread(#[from] tokio::task::JoinError),
}

impl Error {
    /// What the process exits with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Unconfigured { .. }
            | Error::Incomparable { .. }
            | Error::Format(_)
            | Error::Remapped(_) => ExitCode::Configuration,
            Error::Selection(_) | Error::Unpublished { .. } => ExitCode::SourceTables,
            Error::Source(error) => error.exit_code(),
            Error::SourceQuery { .. } => ExitCode::SourceUnreachable,
            Error::SinkConnection(error) if error.is_refusal() => ExitCode::SinkRefused,
            Error::SinkConnection(_) => ExitCode::SinkUnreachable,
            Error::SinkQuery { source, .. } if source.as_db_error().is_some() => {
                ExitCode::SinkSchema
            }
            Error::SinkQuery { .. } => ExitCode::SinkUnreachable,
            Error::Repair { source, .. } if source.as_db_error().is_none() => {
                ExitCode::SinkUnreachable
            }
            Error::Evaluation(error) => error.exit_code(),
            Error::Kafka(error) => error.exit_code(),
            Error::SnapshotTimeout { .. }
            | Error::Behind { .. }
            | Error::NotApplied { .. }
            | Error::SnapshotRunning { .. }
            | Error::WentBack
            | Error::TooManyToRepair { .. }
            | Error::DiffersAgain { .. }
            | Error::Repair { .. }
            | Error::Thread(_) => ExitCode::Failure,
            Error::HistoryGone { .. } | Error::Content { .. } => ExitCode::TopicContent,
        }
    }

    /// Whether another try may do better as things stand.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Source(error) => error.is_transient(),
            Error::SinkConnection(error) => error.is_transient(),
            Error::Kafka(error) => error.is_transient(),
            Error::SourceQuery { source, .. } | Error::SinkQuery { source, .. } => {
                source.as_db_error().is_none()
            }
            Error::SnapshotTimeout { .. }
            | Error::Behind { .. }
            | Error::SnapshotRunning { .. }
            | Error::NotApplied { .. }
            | Error::Unpublished { .. }
            | Error::WentBack
            | Error::DiffersAgain { .. }
            | Error::Repair { .. } => true,
            Error::Evaluation(error) => error.is_transient(),
            Error::Unconfigured { .. }
            | Error::Format(_)
            | Error::Remapped(_)
            | Error::Incomparable { .. }
            | Error::Selection(_)
            | Error::HistoryGone { .. }
            | Error::Content { .. }
            | Error::TooManyToRepair { .. }
            | Error::Thread(_) => false,
        }
    }
}
