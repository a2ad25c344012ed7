//! What can go wrong with Kafka, told apart by what has to be done about it.

use std::time::Duration;

use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::exit::ExitCode;

/// An error as librdkafka reports it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ClientError {
    pub(super) code: Code,
    pub(super) reason: String,
    pub(super) fatal: bool,
    pub(super) retriable: bool,
    pub(super) abort: bool,
}

impl ClientError {
    pub(crate) fn new(code: Code, reason: String) -> Self {
        ClientError {
            code,
            reason,
            fatal: false,
            retriable: false,
            abort: false,
        }
    }
}

/// Whether it is one that a client which reads tells of, and gets over by itself: a broker that is away, or a
/// partition whose leader moves.
pub(crate) fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// A failure of Kafka, or of what it holds.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client's settings are refused.
    #[error("invalid kafka client setting")]
    Settings(#[source] rdkafka::error::KafkaError),
    /// No broker answered.
    #[error(
        "no kafka broker answered at {brokers} within {} s: check kafka.brokers, and that the broker's \
         advertised listeners can be reached from here",
        timeout.as_secs()
    )]
    Unreachable {
        /// The configured list.
        brokers: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// A call took too long; it may be resumed by calling again.
    #[error("{call} did not finish in time")]
    Timeout {
        /// What was called.
        call: &'static str,
        /// librdkafka's words.
        source: ClientError,
    },
    /// A call that was resumed again and again, by a client that has lost the brokers for good.
    #[error(
        "{call} has not ended in {} s though the brokers answer: another producer takes over",
        waited.as_secs()
    )]
    Stuck {
        /// What was called.
        call: &'static str,
        /// How long.
        waited: Duration,
        /// librdkafka's words.
        source: ClientError,
    },
    /// The transaction has to be aborted, and may be tried again.
    #[error("{call} failed: the transaction has to be aborted")]
    Abortable {
        /// What was called.
        call: &'static str,
        /// librdkafka's words.
        source: ClientError,
    },
    /// Fenced, or timed out: librdkafka says the same for both.
    #[error("{call} failed: the producer is fenced or its transaction timed out")]
    Fenced {
        /// What was called.
        call: &'static str,
        /// librdkafka's words.
        source: ClientError,
    },
    /// Another fatal client error: the producer has to be made anew.
    #[error("{call} failed for good")]
    Fatal {
        /// What was called.
        call: &'static str,
        /// librdkafka's words.
        source: ClientError,
    },
    /// The broker refused us.
    #[error(
        "kafka refused {call}: check the credentials in [kafka.client] and the ACLs of the topics, the \
         group and the transactional id"
    )]
    Refused {
        /// What was called.
        call: &'static str,
        /// librdkafka's words.
        source: ClientError,
    },
    /// A failure that may pass.
    #[error("{call} failed")]
    Passing {
        /// What was called.
        call: &'static str,
        /// librdkafka's words.
        source: ClientError,
    },
    /// A record is larger than allowed.
    #[error(
        "a record of {bytes} bytes for topic {topic} is larger than {limit} bytes: raise \
         kafka.message_bytes_max and the topic's max.message.bytes"
    )]
    RecordTooLarge {
        /// Topic.
        topic: String,
        /// Key and value together.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// A topic's settings can't carry the stream.
    #[error("topic {topic}: {problem}; {remedy}")]
    TopicUnusable {
        /// Topic.
        topic: String,
        /// What is wrong.
        problem: String,
        /// How to mend it.
        remedy: String,
    },
    /// A topic could not be created.
    #[error("cannot create topic {topic}: {reason}")]
    CreateTopic {
        /// Topic.
        topic: String,
        /// The broker's words.
        reason: String,
    },
    /// A record of the position topic that this version cannot read.
    #[error("topic {topic} holds a position that this version cannot read at offset {offset}")]
    Position {
        /// Topic.
        topic: String,
        /// Where.
        offset: i64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Somebody's open transaction hides the end of a topic.
    #[error(
        "topic {topic} could not be read to its end within {} s: an open transaction holds it back; wait \
         for its time-out, or end its producer; if it outlives both, end it by kafka-transactions.sh",
        timeout.as_secs()
    )]
    HeldBack {
        /// Topic.
        topic: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// Reading failed.
    #[error("cannot read topic {topic}")]
    Read {
        /// Topic.
        topic: String,
        /// The client's words.
        source: rdkafka::error::KafkaError,
    },
    /// Topics cannot be described or listed.
    #[error("cannot ask the brokers for {what}")]
    Metadata {
        /// What for.
        what: String,
        /// The client's words.
        source: rdkafka::error::KafkaError,
    },
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
    /// The system gives no thread.
    #[error("cannot start a thread for a producer")]
    Thread(#[source] std::io::Error),
}

impl Error {
    /// Classifies what a call returned.
    pub(super) fn of(call: &'static str, source: ClientError) -> Error {
        use Code::{
            RD_KAFKA_RESP_ERR__AUTHENTICATION as AUTHENTICATION,
            RD_KAFKA_RESP_ERR__FENCED as FENCED, RD_KAFKA_RESP_ERR__TIMED_OUT as TIMED_OUT,
            RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED as CLUSTER,
            RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH as EPOCH,
            RD_KAFKA_RESP_ERR_PRODUCER_FENCED as PRODUCER_FENCED,
            RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED as SASL,
            RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as TOPIC,
            RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED as TRANSACTIONAL_ID,
        };
        let code = source.code;
        if [AUTHENTICATION, SASL, CLUSTER, TOPIC, TRANSACTIONAL_ID].contains(&code) {
            Error::Refused { call, source }
        } else if [FENCED, PRODUCER_FENCED, EPOCH].contains(&code) {
            Error::Fenced { call, source }
        } else if source.fatal {
            Error::Fatal { call, source }
        } else if source.abort {
            Error::Abortable { call, source }
        } else if source.retriable || code == TIMED_OUT {
            Error::Timeout { call, source }
        } else {
            Error::Passing { call, source }
        }
    }

    /// Whether the transaction has to be aborted and may then be tried again.
    pub fn is_abortable(&self) -> bool {
        matches!(self, Error::Abortable { .. })
    }

    /// Whether the fate of the transaction is unknown until the position has been read.
    pub fn is_ambiguous(&self) -> bool {
        matches!(
            self,
            Error::Fenced { .. } | Error::Fatal { .. } | Error::Stuck { .. }
        )
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Error::Unreachable { .. }
                | Error::Timeout { .. }
                | Error::Abortable { .. }
                | Error::Passing { .. }
                | Error::HeldBack { .. }
                | Error::Read { .. }
                | Error::Metadata { .. }
        )
    }

    /// The process's exit code when this ends it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Settings(_) => ExitCode::Configuration,
            Error::Unreachable { .. }
            | Error::Timeout { .. }
            | Error::Stuck { .. }
            | Error::Abortable { .. }
            | Error::Passing { .. }
            | Error::HeldBack { .. }
            | Error::Read { .. }
            | Error::Metadata { .. } => ExitCode::KafkaUnreachable,
            Error::Fenced { .. } => ExitCode::Fenced,
            Error::Fatal { .. } | Error::Refused { .. } => ExitCode::KafkaRefused,
            Error::RecordTooLarge { .. } => ExitCode::RecordTooLarge,
            Error::TopicUnusable { .. } | Error::CreateTopic { .. } => ExitCode::TopicUnusable,
            Error::Position { .. } => ExitCode::TopicContent,
            Error::Closed | Error::Thread(_) => ExitCode::Failure,
        }
    }
}
