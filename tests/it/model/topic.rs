//! What a topic holds under read_committed, partition by partition.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_mins(3);

/// One record, copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Record {
    /// The same with another name wherever its topics' prefix stands.
    pub(crate) fn renamed(self, prefix: &str, name: &str) -> Record {
        let rename = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(prefix, name).into_bytes()
        };
        let headers = self.headers.into_iter();
        Record {
            key: self.key.map(rename),
            value: self.value.map(rename),
            headers: headers
                .map(|(header, value)| (header, value.replace(prefix, name)))
                .collect(),
            ..self
        }
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Every committed record of a topic, each partition in its order. Waits until no transaction is open
/// in it, so that what is returned is all there is.
pub(crate) fn read_topic(brokers: &str, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    scan_topic(brokers, topic, |record| records.push(record));
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// As [`read_topic`], of every topic with that beginning, by name; those without a record are left out.
pub(crate) fn read_topics(brokers: &str, beginning: &str) -> BTreeMap<String, Vec<Record>> {
    let consumer = consumer(brokers, "read_committed");
    let uncommitted = self::consumer(brokers, "read_uncommitted");
    let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
    let mut assignment = TopicPartitionList::new();
    for topic in metadata.topics() {
        if !topic.name().starts_with(beginning) {
            continue;
        }
        let partitions: Vec<i32> = topic
            .partitions()
            .iter()
            .map(rdkafka::metadata::MetadataPartition::id)
            .collect();
        for (partition, _) in stable_ends((&consumer, &uncommitted), topic.name(), &partitions) {
            assignment
                .add_partition_offset(topic.name(), partition, Offset::Beginning)
                .unwrap();
        }
    }
    consumer.assign(&assignment).unwrap();
    let mut records: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    // Nobody writes any more: each partition's end is met once.
    let mut open = assignment.count();
    while open > 0 {
        assert!(Instant::now() < deadline, "{open} partitions not read");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => records
                .entry(message.topic().to_owned())
                .or_default()
                .push(copy(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("{beginning}: {error}"),
            None => {}
        }
    }
    for records in records.values_mut() {
        records.sort_by_key(|record| (record.partition, record.offset));
    }
    records
}

/// As [`read_topic`], one record after the other, each partition in its order.
pub(crate) fn scan_topic(brokers: &str, topic: &str, mut each: impl FnMut(Record)) {
    let consumer = consumer(brokers, "read_committed");
    let partitions = partitions(&consumer, topic);
    let uncommitted = self::consumer(brokers, "read_uncommitted");
    let ends = stable_ends((&consumer, &uncommitted), topic, &partitions);
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        assignment
            .add_partition_offset(topic, *partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut open: Vec<i32> = ends
        .iter()
        .filter(|(_, end)| *end > 0)
        .map(|(p, _)| *p)
        .collect();
    let mut heard = Instant::now();
    while !open.is_empty() {
        assert!(
            heard.elapsed() < PATIENCE,
            "{topic}: nothing of partitions {open:?} for {PATIENCE:?}"
        );
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                each(copy(&message));
                heard = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|p| *p != partition),
            Some(Err(error)) => panic!("{topic}: {error}"),
            None => {}
        }
    }
}

fn consumer(brokers: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "naive-model")
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .create()
        .unwrap()
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partitions: Vec<i32> = metadata.topics()[0]
        .partitions()
        .iter()
        .map(rdkafka::metadata::MetadataPartition::id)
        .collect();
    assert!(!partitions.is_empty(), "no topic {topic}");
    partitions
}

/// The end offsets, once the last stable offset of each partition is its high watermark.
fn stable_ends(
    (committed, uncommitted): (&BaseConsumer, &BaseConsumer),
    topic: &str,
    partitions: &[i32],
) -> Vec<(i32, i64)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ends = partitions.iter().map(|partition| {
            let stable = end(committed, topic, *partition)?;
            let high = end(uncommitted, topic, *partition)?;
            (stable == high).then_some((*partition, stable))
        });
        if let Some(ends) = ends.collect() {
            return ends;
        }
        assert!(
            Instant::now() < deadline,
            "{topic}: a transaction stays open, or a partition has no leader"
        );
        std::thread::yield_now();
    }
}

/// A partition's end; none while its leader is only about to be one, as just after its topic was made.
fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> Option<i64> {
    match consumer.fetch_watermarks(topic, partition, PATIENCE) {
        Ok((_, end)) => Some(end),
        Err(KafkaError::MetadataFetch(RDKafkaErrorCode::NotLeaderForPartition)) => None,
        Err(error) => panic!("{topic}: {error}"),
    }
}

fn copy(message: &impl Message) -> Record {
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers
            .map(|header| {
                let value = header.value.unwrap_or_default();
                (
                    header.key.to_owned(),
                    String::from_utf8(value.to_vec()).unwrap(),
                )
            })
            .collect(),
    }
}
