//! Logical messages, op `m`, and heartbeats, which are messages of our own.
//!
//! ```text
//! lossless   {"before":null,"after":null,"source":{…},"transaction":…,"op":"m","ts_ms":…,…,
//!              "message":{"transactional":true,"prefix":"app.orders","content":"aGVsbG8="}}
//! debezium   {"op":"m","ts_ms":…,"source":{…},"transaction":…,
//!              "message":{"prefix":"app.orders","content":"aGVsbG8="}}
//! ```
//!
//! Heartbeats are the lossless ones in either format: consumers of both know them by their prefix.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::change::{Change, LogicalMessage};
use super::debezium::write_bytes;
use super::encoder::{Encoder, Op, no_headers};
use super::error::EncodeError;
use super::format::{Encoding, ValueFormat};
use super::frame::{Failed, Frames};
use super::json;
use super::plan::quoted_content;
use super::schema::message_schemas;
use super::transaction::{Collection, Outline};
use super::{Batch, Record};

/// `source` of what belongs to no table.
const NO_TABLE: &[u8] = br#"","table":""#;

impl Encoder {
    /// What logical messages are made of, for a topic of that index: only Debezium's have schemas.
    pub fn outline_messages(&self, topic: u32) -> Outline {
        let encoding = self.format.encoding;
        if encoding == Encoding::Json || self.format.values != ValueFormat::Debezium {
            return Outline::bare(topic);
        }
        let schemas = message_schemas(&self.format);
        Outline {
            topic,
            frames: Frames::of(&schemas, encoding),
        }
    }

    /// A logical message, keyed by its prefix.
    pub fn message(
        &mut self,
        outline: &Outline,
        change: Change,
        message: &LogicalMessage<'_>,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let prefix = quoted_content(message.prefix);
        let end = out.end();
        let of_topic = |failed: Failed<'_>| failed.of_table("message".to_owned());
        let Frames { key, value } = &outline.frames;
        let framed = out.framed(key, &mut self.framing, |bytes| {
            bytes.extend_from_slice(br#"{"prefix":""#);
            bytes.extend_from_slice(&prefix);
            bytes.extend_from_slice(br#""}"#);
        });
        let key = framed.map_err(of_topic)?;
        let start = out.bytes.len();
        value.open(&mut out.bytes);
        match self.format.values {
            ValueFormat::Lossless => {
                self.own_message(change, Collection::MESSAGES, message, &mut out.bytes);
            }
            ValueFormat::Debezium => self.debezium_message(change, &prefix, message, out),
        }
        let closed = value.close(start, &mut self.framing, &mut out.bytes);
        closed.map_err(of_topic)?;
        let (bytes, bytes_max) = (
            key.len() + out.bytes.len() - start,
            self.format.record_bytes_max,
        );
        if bytes > bytes_max {
            out.cut(end);
            let of = message.titled();
            return Err(EncodeError::RecordTooLarge {
                of,
                bytes,
                bytes_max,
            });
        }
        let headers = no_headers(out);
        out.records.push(Record {
            topic: outline.topic,
            partition: None,
            timestamp_ms: None,
            key: Some(key),
            value: Some(start..out.bytes.len()),
            headers,
        });
        Ok(())
    }

    /// A heartbeat, keyed by the source. It is not counted as an event.
    pub fn heartbeat(
        &mut self,
        topic: u32,
        change: Change,
        message: &LogicalMessage<'_>,
        out: &mut Batch,
    ) {
        let bytes = &mut out.bytes;
        let start = bytes.len();
        bytes.extend_from_slice(br#"{"source":""#);
        bytes.extend_from_slice(&self.prefix);
        bytes.extend_from_slice(br#""}"#);
        let key = start..bytes.len();
        let counts = self.counts.take();
        self.own_message(change, Collection::MESSAGES, message, bytes);
        self.counts = counts;
        let value = key.end..bytes.len();
        let headers = no_headers(out);
        out.records.push(Record {
            topic,
            partition: None,
            timestamp_ms: None,
            key: Some(key),
            value: Some(value),
            headers,
        });
    }

    fn own_message(
        &mut self,
        change: Change,
        collection: Collection,
        message: &LogicalMessage<'_>,
        bytes: &mut Vec<u8>,
    ) {
        bytes.extend_from_slice(br#"{"before":null,"after":null,"#);
        self.source(change, NO_TABLE, bytes);
        self.close(Op::Message, change, collection, bytes);
        bytes.extend_from_slice(br#","message":{"transactional":"#);
        let transactional: &[u8] = if message.transactional {
            b"true"
        } else {
            b"false"
        };
        bytes.extend_from_slice(transactional);
        bytes.extend_from_slice(br#","prefix":""#);
        bytes.extend_from_slice(&quoted_content(message.prefix));
        bytes.extend_from_slice(br#"","content":""#);
        bytes.extend_from_slice(STANDARD.encode(message.content).as_bytes());
        bytes.extend_from_slice(br#""}}"#);
    }

    fn debezium_message(
        &mut self,
        change: Change,
        prefix: &[u8],
        message: &LogicalMessage<'_>,
        out: &mut Batch,
    ) {
        let bytes = &mut out.bytes;
        bytes.extend_from_slice(br#"{"op":"m","ts_ms":"#);
        json::number(change.now_us.div_euclid(1000), bytes);
        bytes.push(b',');
        self.source(change, NO_TABLE, bytes);
        bytes.push(b'}');
        match &mut self.counts {
            None => bytes.extend_from_slice(br#","transaction":null"#),
            Some(counts) => counts.block(Collection::MESSAGES, change.lsn, bytes),
        }
        bytes.extend_from_slice(br#","message":{"prefix":""#);
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(br#"","content":"#);
        write_bytes(message.content, self.format.handling.binary, bytes);
        bytes.extend_from_slice(b"}}");
    }
}
