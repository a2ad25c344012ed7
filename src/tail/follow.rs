//! Reading a topic from its start or its end, until told to stop. Blocks: for a thread of its own.

use std::time::Duration;

use rdkafka::message::{Headers, Message};
use tokio_util::sync::CancellationToken;

use super::{DecodeError, Decoder, Lines};
use crate::config::settings::Kafka;
use crate::event::MARK_HEADER;
use crate::exit::ExitCode;
use crate::kafka::{self, Admin, Isolation, Polled, Reader};

/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The topic.
    pub topic: String,
    /// From its start; otherwise only what comes from now on.
    pub from_beginning: bool,
    /// End after so many records.
    pub count: Option<u64>,
    /// Values as they are instead of lines.
    pub raw: bool,
}

/// Why a topic cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    /// A record cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// There is no such topic.
    #[error(
        "topic {topic} does not exist: a table's topic is <prefix>.<schema>.<table>, and replicate \
         creates it"
    )]
    Missing {
        /// The topic.
        topic: String,
    },
    /// The section is missing.
    #[error("the configuration has no [kafka] section, which tail needs")]
    Unconfigured,
    /// The thread panicked.
    #[error("the reader of the topic failed")]
    Thread,
}

impl Error {
    /// How the process ends on it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Kafka(error) => error.exit_code(),
            Error::Decode(DecodeError::Registry(error)) => error.exit_code(),
            Error::Decode(DecodeError::Avro { .. }) => ExitCode::TopicContent,
            Error::Missing { .. } => ExitCode::TopicUnusable,
            Error::Unconfigured => ExitCode::Configuration,
            Error::Thread => ExitCode::Failure,
        }
    }
}

/// Hands every committed record's line to `print`, until `stop`, the count, or a `print` that says
/// that nobody reads any more (`false`). Records in Avro are shown as JSON where there is a `decoder`.
pub fn follow(
    kafka: &Kafka,
    options: &Options,
    mut decoder: Option<Decoder>,
    stop: &CancellationToken,
    mut print: impl FnMut(&str) -> bool,
) -> Result<(), Error> {
    let topic = options.topic.as_str();
    let admin = Admin::new(kafka)?;
    admin.reach(ANSWER_TIMEOUT)?;
    let partitions = admin.partitions(topic)?.ok_or_else(|| Error::Missing {
        topic: topic.to_owned(),
    })?;
    let mut reader = Reader::open(kafka, Isolation::Committed)?;
    let mut starts = Vec::new();
    for partition in 0..partitions {
        let (first, end) = reader.watermarks(topic, partition, ANSWER_TIMEOUT)?;
        let start = if options.from_beginning { first } else { end };
        starts.push((topic, partition, start));
    }
    reader.assign(&starts)?;
    let mut lines = Lines::default();
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 && !stop.is_cancelled() {
        let Polled::Record(message) = reader.poll(topic)? else {
            continue;
        };
        let mut read = |bytes: Option<&[u8]>| match (&mut decoder, bytes) {
            (Some(decoder), Some(bytes)) => decoder.json(bytes),
            (None, _) | (_, None) => Ok(None),
        };
        let (key_json, value_json) = (read(message.key())?, read(message.payload())?);
        let key = key_json.as_deref().or(message.key());
        let value = value_json.as_deref().or(message.payload());
        let line = if options.raw {
            value.map_or_else(|| "null".into(), String::from_utf8_lossy)
        } else {
            lines.line(key, value, mark(&message)).into()
        };
        if !print(&line) {
            return Ok(());
        }
        left -= 1;
    }
    Ok(())
}

fn mark<'m>(message: &'m rdkafka::message::BorrowedMessage<'_>) -> Option<&'m str> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == MARK_HEADER)?;
    std::str::from_utf8(header.value?).ok()
}
