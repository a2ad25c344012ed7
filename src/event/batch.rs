//! `Batch`: the arena that one Kafka transaction is built in.
//!
//! ```text
//! bytes    │key 0│value 0│key 1│value 1│ …          one growing buffer, recycled after the commit
//! records  [ {topic, partition, key, value} … ]     ranges into it
//! ```
//!
//! librdkafka is handed pointers into `bytes` without a copy, so a batch is frozen (behind an `Arc`)
//! before it is published, and reused only when the transaction has ended and nothing is in flight.

use std::ops::Range;

/// A record header; both parts are static or per-table text, never row values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Header name.
    pub name: &'static str,
    /// Where the header's value lies in the batch's bytes.
    pub value: Range<usize>,
}

/// One Kafka record: ranges into the batch's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Index of the topic in the pipeline's topic table.
    pub topic: u32,
    /// Explicit partition, or `None` for the key's own (murmur2, as Java's default).
    pub partition: Option<i32>,
    /// Key bytes; `None` for a null key.
    pub key: Option<Range<usize>>,
    /// Value bytes; `None` for a tombstone.
    pub value: Option<Range<usize>>,
    /// Index range into [`Batch::headers`]; empty for almost every record.
    pub headers: Range<u32>,
}

/// Records of one Kafka transaction and the bytes they point into.
#[derive(Debug, Default)]
pub struct Batch {
    /// Keys, values and header values, back to back.
    pub bytes: Vec<u8>,
    /// The records in publication order.
    pub records: Vec<Record>,
    /// Headers of the few records that have any.
    pub headers: Vec<Header>,
}

impl Batch {
    /// An empty batch with room for `bytes` bytes and `records` records.
    pub fn with_capacity(bytes: usize, records: usize) -> Self {
        Batch {
            bytes: Vec::with_capacity(bytes),
            records: Vec::with_capacity(records),
            headers: Vec::new(),
        }
    }

    /// Forgets the records, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.headers.clear();
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The bytes of a key or value; empty if the range is not of this batch.
    pub fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}
