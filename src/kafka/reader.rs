//! Reading partitions from given offsets, without a group.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Quiet, consumer_config};
use super::error::{Error, passes};
use crate::config::settings::Kafka;

/// What a reader sees of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Only what was committed.
    Committed,
    /// Everything, open and aborted transactions included.
    Uncommitted,
}

impl Isolation {
    fn setting(self) -> &'static str {
        match self {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        }
    }
}

/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks at the last stable offset.
const SETTLE_POLL: Duration = Duration::from_millis(10);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// A consumer with partitions assigned by hand.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    /// What the client has not got over since it last gave anything.
    disturbance: Option<KafkaError>,
}

/// What a poll gave.
pub enum Polled<'a> {
    /// A record.
    Record(BorrowedMessage<'a>),
    /// The end that this partition has now.
    End(i32),
    /// Nothing, or an error that the client gets over by itself.
    Nothing,
}

impl Reader {
    /// Opens a reader without partitions.
    pub fn open(kafka: &Kafka, isolation: Isolation) -> Result<Self, Error> {
        let consumer = consumer_config(kafka)
            .set("isolation.level", isolation.setting())
            .set("fetch.wait.max.ms", "20")
            .set("enable.partition.eof", "true")
            .create_with_context(Quiet)
            .map_err(Error::Settings)?;
        Ok(Reader {
            consumer,
            disturbance: None,
        })
    }

    /// First and end offset of a partition. The end is the last stable offset for committed reading,
    /// the high watermark otherwise.
    pub fn offsets(
        kafka: &Kafka,
        topic: &str,
        partition: i32,
        isolation: Isolation,
        timeout: Duration,
    ) -> Result<(i64, i64), Error> {
        let reader = Reader::open(kafka, isolation)?;
        reader.watermarks(topic, partition, timeout)
    }

    /// As [`Reader::offsets`], with this reader's isolation.
    pub fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<(i64, i64), Error> {
        self.consumer
            .fetch_watermarks(topic, partition, timeout)
            .map_err(|source| Error::Read {
                topic: topic.to_owned(),
                source,
            })
    }

    /// Reads these partitions, each from its offset, instead of those before.
    pub fn assign(&mut self, partitions: &[(&str, i32, i64)]) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in partitions {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .map_err(|source| Error::Read {
                    topic: (*topic).to_owned(),
                    source,
                })?;
        }
        let topic = partitions
            .first()
            .map(|(topic, ..)| (*topic).to_owned())
            .unwrap_or_default();
        self.consumer
            .assign(&list)
            .map_err(|source| Error::Read { topic, source })
    }

    /// The value of a partition's last committed record. Looks at the last few offsets, since
    /// transaction markers take some; none if there is no record among them.
    pub fn last_value(&mut self, topic: &str, partition: i32) -> Result<Option<Vec<u8>>, Error> {
        const TAIL: i64 = 8;
        let (first, end) = self.watermarks(topic, partition, ANSWER_TIMEOUT)?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        self.assign(&[(topic, partition, first.max(end - TAIL))])?;
        let mut last = None;
        while Instant::now() < deadline {
            match self.poll(topic)? {
                Polled::Nothing => {}
                Polled::Record(message) => last = message.payload().map(<[u8]>::to_vec),
                Polled::End(_) => return Ok(last),
            }
        }
        Err(self.silent(topic, ANSWER_TIMEOUT))
    }

    /// Whether a topic has never held a record, or holds none any more.
    pub fn is_empty(kafka: &Kafka, topic: &str, timeout: Duration) -> Result<bool, Error> {
        let reader = Reader::open(kafka, Isolation::Uncommitted)?;
        let metadata = reader.consumer.fetch_metadata(Some(topic), timeout);
        let metadata = metadata.map_err(|source| Error::Read {
            topic: topic.to_owned(),
            source,
        })?;
        for partition in metadata
            .topics()
            .iter()
            .flat_map(rdkafka::metadata::MetadataTopic::partitions)
        {
            let (first, end) = reader.watermarks(topic, partition.id(), timeout)?;
            if first != end {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Polls once, for a tenth of a second at most. `topic` is named in an error.
    pub fn poll(&mut self, topic: &str) -> Result<Polled<'_>, Error> {
        match self.consumer.poll(POLL) {
            None => Ok(Polled::Nothing),
            Some(Ok(message)) => {
                self.disturbance = None;
                Ok(Polled::Record(message))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.disturbance = None;
                Ok(Polled::End(partition))
            }
            Some(Err(error)) if passes(&error) => {
                // The client says so every two seconds.
                if self.disturbance.replace(error.clone()).is_none() {
                    tracing::warn!(%error, topic, "kafka is disturbed; the client goes on by itself");
                }
                Ok(Polled::Nothing)
            }
            Some(Err(source)) => Err(Error::Read {
                topic: topic.to_owned(),
                source,
            }),
        }
    }

    /// Why nothing has come for so long.
    pub fn silent(&mut self, topic: &str, timeout: Duration) -> Error {
        let topic = topic.to_owned();
        match self.disturbance.take() {
            Some(source) => Error::Read { topic, source },
            None => Error::HeldBack { topic, timeout },
        }
    }

    /// Hands over every committed record of a partition from one offset up to, and not including, another;
    /// what lies between may be markers of transactions. Gives up when nothing comes for `silence_max`.
    pub fn read_range<E: From<Error>>(
        &mut self,
        topic: &str,
        partition: i32,
        (start, end): (i64, i64),
        silence_max: Duration,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.assign(&[(topic, partition, start)])?;
        let mut deadline = Instant::now() + silence_max;
        loop {
            match self.poll(topic)? {
                Polled::Record(message) if message.offset() >= end => return Ok(()),
                Polled::Record(message) => {
                    each(&message)?;
                    if message.offset() + 1 == end {
                        return Ok(());
                    }
                    deadline = Instant::now() + silence_max;
                }
                Polled::End(_) => return Ok(()),
                Polled::Nothing => {}
            }
            if Instant::now() >= deadline {
                return Err(self.silent(topic, silence_max).into());
            }
        }
    }

    /// Reads one partition from its start to the end it has when every transaction that is open now
    /// has ended: `each(offset, key, value)`.
    ///
    /// Under read_committed a partition ends at the last *stable* offset, which an open transaction
    /// holds back; so that offset has to reach the high watermark first, and only then does the
    /// client's end of partition mean the end.
    pub fn read_settled(
        kafka: &Kafka,
        topic: &str,
        partition: i32,
        timeout: Duration,
        each: impl FnMut(i64, Option<&[u8]>, Option<&[u8]>),
    ) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        let (_, high) = Reader::offsets(
            kafka,
            topic,
            partition,
            Isolation::Uncommitted,
            ANSWER_TIMEOUT,
        )?;
        let reader = Reader::open(kafka, Isolation::Committed)?;
        while reader.watermarks(topic, partition, ANSWER_TIMEOUT)?.1 < high {
            if Instant::now() >= deadline {
                return Err(Error::HeldBack {
                    topic: topic.to_owned(),
                    timeout,
                });
            }
            std::thread::sleep(SETTLE_POLL);
        }
        reader.read_to_end(topic, partition, (deadline, timeout), each)
    }

    /// As [`Reader::read_settled`], to the end that committed reading has now: what an open transaction
    /// hides is left out, and nothing waits for it.
    pub fn read_stable(
        kafka: &Kafka,
        topic: &str,
        partition: i32,
        timeout: Duration,
        each: impl FnMut(i64, Option<&[u8]>, Option<&[u8]>),
    ) -> Result<(), Error> {
        let reader = Reader::open(kafka, Isolation::Committed)?;
        let deadline = Instant::now() + timeout;
        reader.read_to_end(topic, partition, (deadline, timeout), each)
    }

    /// Reads a partition from its first record to its end; an error when the time is up before.
    fn read_to_end(
        mut self,
        topic: &str,
        partition: i32,
        (deadline, timeout): (Instant, Duration),
        mut each: impl FnMut(i64, Option<&[u8]>, Option<&[u8]>),
    ) -> Result<(), Error> {
        let (first, _) = self.watermarks(topic, partition, ANSWER_TIMEOUT)?;
        self.assign(&[(topic, partition, first)])?;
        while Instant::now() < deadline {
            match self.poll(topic)? {
                Polled::Nothing => {}
                Polled::Record(message) => each(message.offset(), message.key(), message.payload()),
                Polled::End(_) => return Ok(()),
            }
        }
        Err(self.silent(topic, timeout))
    }
}
