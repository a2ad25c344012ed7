//! Reading partitions from given offsets, without a group.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Quiet, consumer_config};
use super::error::Error;
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
        Ok(Reader { consumer })
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
            match self.consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => last = message.payload().map(<[u8]>::to_vec),
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(source)) => {
                    let topic = topic.to_owned();
                    return Err(Error::Read { topic, source });
                }
            }
        }
        Ok(last)
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

    /// The consumer, for reading that does not end at an offset.
    pub fn consumer(&self) -> &BaseConsumer<Quiet> {
        &self.consumer
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
            match self.consumer.poll(POLL) {
                Some(Ok(message)) if message.offset() >= end => return Ok(()),
                Some(Ok(message)) => {
                    each(&message)?;
                    if message.offset() + 1 == end {
                        return Ok(());
                    }
                    deadline = Instant::now() + silence_max;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(source)) => {
                    let topic = topic.to_owned();
                    return Err(Error::Read { topic, source }.into());
                }
                None if Instant::now() >= deadline => {
                    let held_back = Error::HeldBack {
                        topic: topic.to_owned(),
                        timeout: silence_max,
                    };
                    return Err(held_back.into());
                }
                None => {}
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
        let held_back = || Error::HeldBack {
            topic: topic.to_owned(),
            timeout,
        };
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
                return Err(held_back());
            }
            std::thread::sleep(SETTLE_POLL);
        }
        if reader.read_to_end(topic, partition, deadline, each)? {
            Ok(())
        } else {
            Err(held_back())
        }
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
        if reader.read_to_end(topic, partition, deadline, each)? {
            Ok(())
        } else {
            Err(Error::HeldBack {
                topic: topic.to_owned(),
                timeout,
            })
        }
    }

    /// Reads a partition from its first record to its end; `false` when the time is up before.
    fn read_to_end(
        mut self,
        topic: &str,
        partition: i32,
        deadline: Instant,
        mut each: impl FnMut(i64, Option<&[u8]>, Option<&[u8]>),
    ) -> Result<bool, Error> {
        let (first, _) = self.watermarks(topic, partition, ANSWER_TIMEOUT)?;
        self.assign(&[(topic, partition, first)])?;
        while Instant::now() < deadline {
            match self.consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => each(message.offset(), message.key(), message.payload()),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(true),
                Some(Err(source)) => {
                    return Err(Error::Read {
                        topic: topic.to_owned(),
                        source,
                    });
                }
            }
        }
        Ok(false)
    }
}
