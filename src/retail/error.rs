//! Why the retail half cannot go on.

use super::change::Malformed;
use super::mapped;
use crate::config::settings::Unfoldable;
use crate::connection::{self, ServerError};
use crate::exit::ExitCode;

/// Why the retail half cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A section is missing.
    #[error("the configuration has no [{section}], which this role needs")]
    Missing {
        /// The section's name.
        section: &'static str,
    },
    /// The replicator would not write what the aggregates need.
    #[error(
        "format.truncate is {found}, but the aggregates need each-partition: with any other the rows of a \
         truncated table would stay in them. set format.truncate = \"each-partition\""
    )]
    Truncate {
        /// The setting.
        found: &'static str,
    },
    /// The replicator would write what the aggregates cannot read.
    #[error(transparent)]
    Format(Unfoldable),
    /// The sink cannot be reached or refuses us.
    #[error("cannot connect to the sink database")]
    Connect(#[source] connection::Error),
    /// The sink refused a statement.
    #[error("the sink refused to {doing}: {source}")]
    Sink {
        /// What the statement does.
        doing: &'static str,
        /// The server's word, without row values.
        source: ServerError,
    },
    /// The connection to the sink broke.
    #[error("lost the connection to the sink, or misread it, while it was to {doing}")]
    Lost {
        /// What the statement does.
        doing: &'static str,
        /// The client's word.
        source: tokio_postgres::Error,
    },
    /// The sink holds what this program never writes.
    #[error("the sink holds what tidewater never writes ({what}): run tidewater rebuild")]
    Damaged {
        /// Where.
        what: &'static str,
    },
    /// The sink knows no such time zone.
    #[error(
        "retail.day_zone: the sink knows no time zone \"{zone}\": name one of pg_timezone_names, \
         Europe/Berlin for instance"
    )]
    DayZone {
        /// As configured.
        zone: String,
    },
    /// Customers were in other arms in a part of the period.
    #[error(
        "the shares of the arms changed at {changed}, within the period: codes and orders from before tell \
         nothing of them; set --since to that moment or a later one"
    )]
    SharesChanged {
        /// When.
        changed: String,
    },
    /// The source's tables are not what they are mapped for.
    #[error(transparent)]
    Mapping(#[from] mapped::Fault),
    /// The derived tables rest on another mapping.
    #[error(transparent)]
    Remapped(mapped::Remapped),
    /// The sink's schema cannot be made ours.
    #[error(transparent)]
    Schema(#[from] super::migrate::SchemaError),
    /// A Kafka client could not be made, or Kafka refused.
    #[error("kafka refused to {doing}")]
    Kafka {
        /// What was asked.
        doing: &'static str,
        /// librdkafka's word.
        source: rdkafka::error::KafkaError,
    },
    /// Topics that are ours cannot be made, written or read.
    #[error("kafka")]
    Topics(#[from] crate::kafka::Error),
    /// The webhook cannot be used as it is configured.
    #[error("webhook: {problem}")]
    Webhook {
        /// What is wrong with it, and what mends it.
        problem: String,
    },
    /// No broker answered.
    #[error("no kafka broker answered at {brokers}: check kafka.brokers and that they run")]
    KafkaUnreachable {
        /// As configured.
        brokers: String,
        /// librdkafka's word.
        source: rdkafka::error::KafkaError,
    },
    /// A topic has another number of partitions than before.
    #[error(
        "topic {topic} has {found} partitions and the sink knows {known}: the count of a topic that \
         retail reads is fixed; choose a new kafka.prefix and run tidewater rebuild"
    )]
    Repartitioned {
        /// The topic.
        topic: String,
        /// As registered.
        known: i64,
        /// As Kafka has it.
        found: i32,
    },
    /// The beginning that is still needed was deleted.
    #[error(
        "topic {topic}, partition {partition}, begins at offset {low} and offset {needed} is needed: \
         restore the topic from its archive, or take a new snapshot under a new kafka.prefix, which \
         loses the hourly history"
    )]
    HistoryGone {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// First offset needed.
        needed: i64,
        /// First offset there.
        low: i64,
    },
    /// A topic is shorter than it was.
    #[error(
        "topic {topic}, partition {partition}, ends at offset {high} and the sink has applied up to \
         offset {applied}: the topic was recreated; run tidewater rebuild"
    )]
    TopicRecreated {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Stored offset.
        applied: i64,
        /// End offset.
        high: i64,
    },
    /// A record that cannot be read.
    #[error(
        "the record at offset {offset} of topic {topic}, partition {partition}, cannot be used"
    )]
    Record {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// Why.
        source: Malformed,
    },
    /// A record of the promotions topic is no code.
    #[error(
        "{topic}, partition {partition}, offset {offset}: this is no code as the dispatcher publishes it, and the ledger \
         cannot be completed from it: who else writes to the topic?"
    )]
    Code {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
    /// A thread could not be started or has panicked.
    #[error("the {name} thread failed")]
    Thread {
        /// Its name.
        name: &'static str,
    },
}

impl Error {
    /// A statement failed.
    pub(super) fn sink(doing: &'static str, error: tokio_postgres::Error) -> Error {
        match error.as_db_error() {
            Some(refusal) => Error::Sink {
                doing,
                source: ServerError::from(refusal),
            },
            None => Error::Lost {
                doing,
                source: error,
            },
        }
    }

    /// Whether the same work may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Connect(source) => source.is_transient(),
            Error::Sink { source, .. } => source.is_transient(),
            // A value of an unexpected kind is a difference of schemas, which waiting does not mend.
            Error::Lost { source, .. } => std::error::Error::source(source)
                .is_none_or(<dyn std::error::Error + 'static>::is::<std::io::Error>),
            Error::Schema(source) => source.is_transient(),
            Error::KafkaUnreachable { .. } => true,
            // Whatever happened to the producer, the next attempt has a new one.
            Error::Topics(source) => source.is_transient() || source.is_ambiguous(),
            Error::Missing { .. }
            | Error::Truncate { .. }
            | Error::Format(_)
            | Error::DayZone { .. }
            | Error::SharesChanged { .. }
            | Error::Mapping(_)
            | Error::Remapped(_)
            | Error::Damaged { .. }
            | Error::Webhook { .. }
            | Error::Kafka { .. }
            | Error::Repartitioned { .. }
            | Error::HistoryGone { .. }
            | Error::TopicRecreated { .. }
            | Error::Record { .. }
            | Error::Code { .. }
            | Error::Thread { .. } => false,
        }
    }

    /// How the process ends on it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Missing { .. }
            | Error::Truncate { .. }
            | Error::Format(_)
            | Error::Webhook { .. }
            | Error::DayZone { .. }
            | Error::SharesChanged { .. }
            | Error::Remapped(_) => ExitCode::Configuration,
            Error::Mapping(_) => ExitCode::SourceTables,
            Error::Connect(source) if source.is_transient() => ExitCode::SinkUnreachable,
            Error::Lost { .. } => ExitCode::SinkUnreachable,
            Error::Connect(_) | Error::Sink { .. } => ExitCode::SinkRefused,
            Error::Damaged { .. } => ExitCode::SinkSchema,
            Error::Schema(source) => source.exit_code(),
            Error::Topics(source) => source.exit_code(),
            Error::Kafka { .. } => ExitCode::KafkaRefused,
            Error::KafkaUnreachable { .. } => ExitCode::KafkaUnreachable,
            Error::Repartitioned { .. } => ExitCode::TopicUnusable,
            Error::HistoryGone { .. }
            | Error::TopicRecreated { .. }
            | Error::Record { .. }
            | Error::Code { .. } => ExitCode::TopicContent,
            Error::Thread { .. } => ExitCode::Failure,
        }
    }
}
