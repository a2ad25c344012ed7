//! Transaction metadata: which place an event has in its transaction, and records of where transactions
//! begin and end.
//!
//! ```text
//! each event     "transaction":{"id":"755:24023720","total_order":2,"data_collection_order":1}
//! its topic      {"id":"755:…"}  {"status":"BEGIN","id":"755:…","event_count":null,…}
//!                {"id":"755:…"}  {"status":"END","id":"755:…","event_count":3,"data_collections":[…],…}
//! ```
//!
//! What is counted are events: a change of key is two, a tombstone none, a truncate one whatever the number
//! of its partitions. Memory is one number for each table that was ever met.

use std::collections::HashMap;

use super::change::Transaction;
use super::encoder::{Encoder, no_headers};
use super::error::EncodeError;
use super::format::{Encoding, ValueFormat};
use super::frame::{Failed, Frames};
use super::json;
use super::plan::{Plan, quoted_content};
use super::schema::transaction_schemas;
use super::{Batch, Lsn, Record};

/// A topic whose records are not those of a table: its index, and what stands around keys and values.
#[derive(Clone, Debug)]
pub struct Outline {
    pub(super) topic: u32,
    pub(super) frames: Frames,
}

impl Outline {
    /// JSON without a schema.
    pub fn bare(topic: u32) -> Self {
        Outline {
            topic,
            frames: Frames::BARE,
        }
    }

    /// For the registry's ids to be set.
    pub fn frames_mut(&mut self) -> &mut Frames {
        &mut self.frames
    }
}

/// What the counts are kept by: a table, or what else events come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Collection(u32);

impl Collection {
    /// Logical messages, all of them.
    pub(super) const MESSAGES: Collection = Collection(0);
}

/// Debezium's name for where logical messages come from.
const MESSAGES: &str = "LOGICAL_DECODING_MESSAGE";

/// What has been counted of the transaction that is encoded.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    outline: Outline,
    /// Debezium's ids name the operation; without loss one id names the transaction.
    by_operation: bool,
    /// `,"transaction":{"id":"755:`; empty outside of a transaction.
    opening: Vec<u8>,
    commit_lsn: Lsn,
    commit_time_us: i64,
    total: u64,
    /// The total before the change that is encoded.
    total_before: u64,
    collections: HashMap<String, Collection>,
    /// Names as they stand in a JSON string, and events so far, each by its collection.
    counted: Vec<(Vec<u8>, u64)>,
    /// Those of the transaction, in the order in which they were met.
    met: Vec<Collection>,
}

/// What comes before an id in the envelope.
const OPENING: &[u8] = br#","transaction":{"id":""#;

impl Counts {
    fn new(outline: Outline, values: ValueFormat) -> Self {
        let mut counts = Counts {
            outline,
            by_operation: values == ValueFormat::Debezium,
            opening: Vec::new(),
            commit_lsn: Lsn::ZERO,
            commit_time_us: 0,
            total: 0,
            total_before: 0,
            collections: HashMap::new(),
            counted: Vec::new(),
            met: Vec::new(),
        };
        counts.collection(MESSAGES);
        counts
    }

    fn collection(&mut self, name: &str) -> Collection {
        if let Some(known) = self.collections.get(name) {
            return *known;
        }
        let new = Collection(u32::try_from(self.counted.len()).unwrap_or(u32::MAX));
        self.collections.insert(name.to_owned(), new);
        self.counted.push((quoted_content(name), 0));
        new
    }

    /// Forgets the last transaction.
    pub(super) fn begin(&mut self, transaction: &Transaction) {
        for met in self.met.drain(..) {
            if let Some((_, count)) = self.counted.get_mut(met.0 as usize) {
                *count = 0;
            }
        }
        self.total = 0;
        self.commit_lsn = transaction.commit_lsn;
        self.commit_time_us = transaction.commit_time_us;
        self.opening.clear();
        if let Some(xid) = transaction.xid {
            self.opening.extend_from_slice(OPENING);
            json::number(xid, &mut self.opening);
            self.opening.push(b':');
        }
    }

    /// Counts an event; its place within the transaction and within its collection, from 1.
    #[inline]
    pub(super) fn count(&mut self, collection: Collection) -> (u64, u64) {
        self.total += 1;
        let order = match self.counted.get_mut(collection.0 as usize) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => 0,
        };
        if order == 1 {
            self.met.push(collection);
        }
        (self.total, order)
    }

    /// Takes back what was counted of the change that is encoded.
    fn uncount(&mut self, collection: Collection) {
        let events = self.total - self.total_before;
        self.total = self.total_before;
        if let Some((_, count)) = self.counted.get_mut(collection.0 as usize)
            && events > 0
        {
            *count -= events;
            if *count == 0 {
                self.met.retain(|met| *met != collection);
            }
        }
    }

    /// Counts an event and appends its block with the comma before it. Outside of a transaction nothing is
    /// counted.
    #[inline]
    pub(super) fn block(&mut self, collection: Collection, lsn: Lsn, bytes: &mut Vec<u8>) {
        if self.opening.is_empty() {
            bytes.extend_from_slice(br#","transaction":null"#);
            return;
        }
        let (total, order) = self.count(collection);
        bytes.extend_from_slice(&self.opening);
        json::number(self.of(lsn).0, bytes);
        bytes.extend_from_slice(br#"","total_order":"#);
        json::number(total, bytes);
        bytes.extend_from_slice(br#","data_collection_order":"#);
        json::number(order, bytes);
        bytes.push(b'}');
    }

    /// The LSN in an id.
    #[inline]
    fn of(&self, operation: Lsn) -> Lsn {
        if self.by_operation {
            operation
        } else {
            self.commit_lsn
        }
    }

    fn id(&self, operation: Lsn, bytes: &mut Vec<u8>) {
        let xid = self.opening.get(OPENING.len()..).unwrap_or_default();
        bytes.extend_from_slice(xid);
        json::number(self.of(operation).0, bytes);
    }

    fn key(&self, operation: Lsn, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(br#"{"id":""#);
        self.id(operation, bytes);
        bytes.extend_from_slice(br#""}"#);
    }

    fn value(&self, boundary: Boundary, operation: Lsn, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(br#"{"status":""#);
        bytes.extend_from_slice(boundary.status());
        bytes.extend_from_slice(br#"","id":""#);
        self.id(operation, bytes);
        bytes.extend_from_slice(br#"","event_count":"#);
        match boundary {
            Boundary::Begin => bytes.extend_from_slice(br#"null,"data_collections":null"#),
            Boundary::End => self.events(bytes),
        }
        bytes.extend_from_slice(br#","ts_ms":"#);
        json::number(self.commit_time_us.div_euclid(1000), bytes);
        bytes.push(b'}');
    }

    fn events(&self, bytes: &mut Vec<u8>) {
        json::number(self.total, bytes);
        bytes.extend_from_slice(br#","data_collections":["#);
        let met = self.met.iter();
        let counted = met.filter_map(|collection| self.counted.get(collection.0 as usize));
        for (place, (name, count)) in counted.enumerate() {
            if place > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(br#"{"data_collection":""#);
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(br#"","event_count":"#);
            json::number(*count, bytes);
            bytes.push(b'}');
        }
        bytes.push(b']');
    }
}

/// Which end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Before its first event.
    Begin,
    /// Behind its last one: with the counts.
    End,
}

impl Boundary {
    fn status(self) -> &'static [u8] {
        match self {
            Boundary::Begin => b"BEGIN",
            Boundary::End => b"END",
        }
    }
}

impl Encoder {
    /// What the records of transactions' boundaries are made of, for a topic of that index.
    pub fn outline_transactions(&self, topic: u32) -> Outline {
        let encoding = self.format.encoding;
        let frames = match encoding {
            Encoding::Json => Frames::BARE,
            Encoding::JsonSchema | Encoding::Avro => Frames::of(&transaction_schemas(), encoding),
        };
        Outline { topic, frames }
    }

    /// Counts events from the next transaction on, and says so in each of them.
    #[must_use]
    pub fn counting(mut self, outline: Outline) -> Self {
        self.counts = Some(Counts::new(outline, self.format.values));
        self
    }

    /// Whether events are counted.
    pub fn is_counting(&self) -> bool {
        self.counts.is_some()
    }

    /// Has a table's events counted as those of its name.
    pub fn count_by_name(&mut self, plan: &mut Plan) {
        if let Some(counts) = &mut self.counts {
            plan.collection = counts.collection(&plan.full_name());
        }
    }

    /// A record of the begin or the end of the transaction, if they are counted. `lsn` is that of the
    /// server's message.
    pub fn boundary(
        &mut self,
        boundary: Boundary,
        lsn: Lsn,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let Some(counts) = &self.counts else {
            return Ok(());
        };
        let key = out.framed(&counts.outline.frames.key, &mut self.framing, |bytes| {
            counts.key(lsn, bytes);
        });
        let value = out.framed(&counts.outline.frames.value, &mut self.framing, |bytes| {
            counts.value(boundary, lsn, bytes);
        });
        let of_topic = |failed: Failed<'_>| failed.of_table("transaction".to_owned());
        let (key, value) = (key.map_err(of_topic)?, value.map_err(of_topic)?);
        let headers = no_headers(out);
        out.records.push(Record {
            topic: counts.outline.topic,
            partition: None,
            timestamp_ms: None,
            key: Some(key),
            value: Some(value),
            headers,
        });
        Ok(())
    }

    /// A change begins: what is counted from here on can be taken back.
    #[inline]
    pub fn count_from_here(&mut self) {
        if let Some(counts) = &mut self.counts {
            counts.total_before = counts.total;
        }
    }

    /// Takes back the events of a change of that table that is passed over.
    pub fn uncount(&mut self, plan: &Plan) {
        if let Some(counts) = &mut self.counts {
            counts.uncount(plan.collection);
        }
    }

    /// The same of a logical message.
    pub fn uncount_message(&mut self) {
        if let Some(counts) = &mut self.counts {
            counts.uncount(Collection::MESSAGES);
        }
    }

    /// Counts an event that has no block.
    pub(super) fn count(&mut self, plan: &Plan) {
        if let Some(counts) = &mut self.counts {
            counts.count(plan.collection);
        }
    }
}
