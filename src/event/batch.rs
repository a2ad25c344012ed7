//! `Batch`: the arena that one Kafka transaction is built in.
//!
//! ```text
//! bytes    │key 0│value 0│key 1│value 1│ …          one growing buffer, recycled after the commit
//! records  [ {topic, partition, key, value} … ]     ranges into it
//! ```
//!
//! librdkafka is handed pointers into `bytes` without a copy, so a batch is frozen (behind an `Arc`)
//! before it is published, and reused only when the transaction has ended and nothing is in flight.

use std::ops::{Deref, Range};
use std::sync::Arc;

/// A record header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Header name.
    pub name: HeaderName,
    /// Where the header's value lies in the batch's bytes.
    pub value: Range<usize>,
}

/// The name of a header, which no record has of its own.
#[derive(Clone, Debug)]
pub enum HeaderName {
    /// One of ours.
    Fixed(&'static str),
    /// One that the configuration has.
    Chosen(Arc<str>),
}

impl Deref for HeaderName {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            HeaderName::Fixed(name) => name,
            HeaderName::Chosen(name) => name,
        }
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for HeaderName {}

/// One Kafka record: ranges into the batch's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Index of the topic in the pipeline's topic table.
    pub topic: u32,
    /// Explicit partition, or `None` for the key's own (murmur2, as Java's default).
    pub partition: Option<i32>,
    /// Its time, milliseconds since 1970, or `None` for that of its publication.
    pub timestamp_ms: Option<i64>,
    /// Key bytes; `None` for a null key.
    pub key: Option<Range<usize>>,
    /// Value bytes; `None` for a tombstone.
    pub value: Option<Range<usize>>,
    /// Index range into [`Batch::headers`]; empty for almost every record.
    pub headers: Range<u32>,
}

/// Where a batch ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchEnd {
    /// Its records.
    pub records: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Their headers.
    pub headers: usize,
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

    /// The headers of a record.
    pub fn headers_of(&self, record: &Record) -> &[Header] {
        let range = record.headers.start as usize..record.headers.end as usize;
        self.headers.get(range).unwrap_or_default()
    }

    /// A copy: for the rare case that librdkafka still points into the original.
    #[must_use]
    pub fn duplicate(&self) -> Batch {
        Batch {
            bytes: self.bytes.clone(),
            records: self.records.clone(),
            headers: self.headers.clone(),
        }
    }

    /// Appends a record of a partition of its own, for what no encoder writes.
    pub fn append(&mut self, topic: u32, partition: i32, key: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.records.push(Record {
            topic,
            partition: Some(partition),
            timestamp_ms: None,
            key: Some(start..middle),
            value: Some(middle..self.bytes.len()),
            headers: 0..0,
        });
    }

    /// Where it ends now.
    pub fn end(&self) -> BatchEnd {
        BatchEnd {
            records: self.records.len(),
            bytes: self.bytes.len(),
            headers: self.headers.len(),
        }
    }

    /// Takes back what came after `end`.
    pub fn cut(&mut self, end: BatchEnd) {
        self.records.truncate(end.records);
        self.bytes.truncate(end.bytes);
        self.headers.truncate(end.headers);
    }

    /// Forgets the records, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.headers.clear();
    }

    /// Moves what came after `end` to the end of `other`.
    pub fn move_tail(&mut self, end: BatchEnd, other: &mut Batch) {
        let BatchEnd {
            records,
            bytes,
            headers,
        } = end;
        let byte_shift =
            |range: Range<usize>, to: usize| range.start - bytes + to..range.end - bytes + to;
        let (to, first) = (other.bytes.len(), other.headers.len());
        let header_shift = |index: u32| {
            let moved = index as usize - headers + first;
            u32::try_from(moved).unwrap_or(u32::MAX)
        };
        let tail = self.bytes.get(bytes..).unwrap_or_default();
        other.bytes.extend_from_slice(tail);
        other
            .headers
            .extend(self.headers.drain(headers..).map(|header| Header {
                value: byte_shift(header.value, to),
                ..header
            }));
        other
            .records
            .extend(self.records.drain(records..).map(|record| Record {
                key: record.key.map(|range| byte_shift(range, to)),
                value: record.value.map(|range| byte_shift(range, to)),
                // A record without headers may carry any empty range, one before the cut included.
                headers: if record.headers.is_empty() {
                    0..0
                } else {
                    header_shift(record.headers.start)..header_shift(record.headers.end)
                },
                ..record
            }));
        self.bytes.truncate(bytes);
    }

    /// Forgets the records for another use, and gives back the memory that only an unusually large row
    /// needed: more than `bytes_max` is not kept.
    pub fn recycle(&mut self, bytes_max: usize) {
        self.clear();
        if self.bytes.capacity() > bytes_max {
            self.bytes.shrink_to(bytes_max);
        }
    }

    /// Bytes that its contents take, records and headers included: what a limit is compared with.
    pub fn size(&self) -> usize {
        self.bytes.len()
            + self.records.len() * size_of::<Record>()
            + self.headers.len() * size_of::<Header>()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn push(batch: &mut Batch, key: &str, value: Option<&str>, header: Option<&str>) {
        let mut put = |text: &str| {
            let start = batch.bytes.len();
            batch.bytes.extend_from_slice(text.as_bytes());
            start..batch.bytes.len()
        };
        let (key, value) = (Some(put(key)), value.map(&mut put));
        let header = header.map(&mut put);
        let first = u32::try_from(batch.headers.len()).unwrap();
        batch.headers.extend(header.map(|value| Header {
            name: HeaderName::Fixed("h"),
            value,
        }));
        let last = u32::try_from(batch.headers.len()).unwrap();
        batch.records.push(Record {
            topic: 0,
            partition: None,
            timestamp_ms: None,
            key,
            value,
            headers: first..last,
        });
    }

    fn texts(batch: &Batch) -> Vec<String> {
        let text = |range: &Range<usize>| String::from_utf8_lossy(batch.slice(range)).into_owned();
        let of = |record: &Record| {
            let key = record.key.as_ref().map(text).unwrap_or_default();
            let value = record.value.as_ref().map_or("null".to_owned(), text);
            let range = record.headers.start as usize..record.headers.end as usize;
            let headers: Vec<String> = batch.headers[range]
                .iter()
                .map(|header| text(&header.value))
                .collect();
            format!("{key}={value}{}", headers.concat())
        };
        batch.records.iter().map(of).collect()
    }

    #[test]
    fn a_tail_moves_with_its_bytes_and_headers() {
        let mut batch = Batch::default();
        push(&mut batch, "a", Some("1"), Some("!"));
        let cut = batch.end();
        push(&mut batch, "b", Some("22"), Some("?"));
        push(&mut batch, "c", None, None);
        let mut other = Batch::default();
        push(&mut other, "z", Some("0"), Some("."));
        batch.move_tail(cut, &mut other);
        assert_eq!(texts(&batch), ["a=1!"]);
        assert_eq!(texts(&other), ["z=0.", "b=22?", "c=null"]);
        assert_eq!(batch.end(), cut);
    }

    #[test]
    fn size_counts_records_and_headers_too() {
        let mut batch = Batch::default();
        assert_eq!((batch.size(), batch.is_empty()), (0, true));
        push(&mut batch, "a", Some("1"), Some("!"));
        assert_eq!(batch.size(), 3 + size_of::<Record>() + size_of::<Header>());
    }

    #[test]
    fn memory_of_a_large_row_is_given_back() {
        let mut batch = Batch::default();
        push(&mut batch, &"x".repeat(1_000_000), None, None);
        batch.recycle(1_000);
        assert!(batch.is_empty() && batch.bytes.is_empty());
        let kept = batch.bytes.capacity();
        assert!((1..=1_000).contains(&kept), "{kept}");
        batch.recycle(1_000_000);
        assert_eq!(batch.bytes.capacity(), kept);
    }
}
