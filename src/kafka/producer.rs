//! The producer: batches of records, each in one transaction.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings::rd_kafka_resp_err_t as Code;

use super::client::{producer_config, transactional_config};
use super::error::{ClientError, Error};
use super::native::{self, Handle};
use crate::config::settings::Kafka;
use crate::event::{Batch, Record};

/// A producer; blocking, for a thread of its own.
#[derive(Debug)]
pub struct Producer {
    handle: Handle,
    names: Vec<String>,
    /// Indexes of one batch's records by topic, in order.
    by_topic: Vec<Vec<u32>>,
    brokers: String,
    record_bytes_max: usize,
    served: bool,
}

impl Producer {
    /// A producer whose records become visible to read_committed readers by [`Producer::commit`].
    pub fn transactional(kafka: &Kafka, transactional_id: &str) -> Result<Self, Error> {
        Self::open(kafka, &transactional_config(kafka, transactional_id))
    }

    /// A producer without transactions: records are visible at once, each once per attempt.
    pub fn idempotent(kafka: &Kafka) -> Result<Self, Error> {
        Self::open(kafka, &producer_config(kafka))
    }

    fn open(kafka: &Kafka, config: &rdkafka::ClientConfig) -> Result<Self, Error> {
        let handle = Handle::new(config).map_err(|source| Error::Refused {
            call: "client settings",
            source,
        })?;
        Ok(Producer {
            handle,
            names: Vec::new(),
            by_topic: Vec::new(),
            brokers: kafka.brokers.clone(),
            record_bytes_max: kafka.message_bytes_max,
            served: false,
        })
    }

    /// The index that names a topic in records. The topic must exist.
    pub fn topic(&mut self, name: &str) -> Result<u32, Error> {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            return Ok(u32::try_from(index).unwrap_or(u32::MAX));
        }
        let index = self
            .handle
            .topic(name)
            .map_err(|source| Error::of("topic", source))?;
        self.names.push(name.to_owned());
        self.by_topic.push(Vec::new());
        Ok(index)
    }

    /// Waits until the partitions of every topic named so far are known.
    pub fn await_topics(&mut self, timeout: Duration) -> Result<(), Error> {
        self.handle
            .await_topics(timeout)
            .map_err(|source| Error::of("metadata", source))
    }

    /// Fences every other producer with this transactional id and ends what it had under way.
    pub fn init_transactions(&mut self, timeout: Duration) -> Result<(), Error> {
        let result = self.handle.init_transactions(timeout);
        match result.map_err(|source| Error::of("init_transactions", source)) {
            Ok(()) => {
                self.served = true;
                Ok(())
            }
            Err(Error::Timeout { .. }) if !self.served => Err(Error::Unreachable {
                brokers: self.brokers.clone(),
                timeout,
            }),
            Err(error) => Err(error),
        }
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> Result<(), Error> {
        self.handle
            .begin()
            .map_err(|source| Error::of("begin_transaction", source))
    }

    /// Enqueues every record of the batch, in order within each topic. The batch is kept until nothing
    /// of it is in flight.
    pub fn publish(&mut self, batch: &Arc<Batch>) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        self.handle.hold(batch);
        for (index, record) in (0_u32..).zip(&batch.records) {
            if record.headers.is_empty() && record.timestamp_ms.is_none() {
                if let Some(run) = self.by_topic.get_mut(record.topic as usize) {
                    run.push(index);
                }
            } else {
                self.enqueue_topic(batch, record.topic)?;
                let enqueued = self.handle.enqueue_with_headers(batch, record);
                enqueued.map_err(|source| self.refused(source, record))?;
            }
        }
        for topic in (0_u32..).take(self.names.len()) {
            self.enqueue_topic(batch, topic)?;
        }
        Ok(())
    }

    fn enqueue_topic(&mut self, batch: &Batch, topic: u32) -> Result<(), Error> {
        let Some(slot) = self.by_topic.get_mut(topic as usize) else {
            return Ok(());
        };
        if slot.is_empty() {
            return Ok(());
        }
        let mut run = std::mem::take(slot);
        let enqueued = self.handle.enqueue(batch, topic, &run);
        let refused = enqueued.map_err(|refused| {
            let record = run
                .get(refused.index)
                .and_then(|at| batch.records.get(*at as usize));
            let source = ClientError::new(refused.code, native::describe(refused.code));
            match record {
                Some(record) => self.refused(source, record),
                None => Error::of("produce", source),
            }
        });
        run.clear();
        if let Some(slot) = self.by_topic.get_mut(topic as usize) {
            *slot = run;
        }
        refused
    }

    fn refused(&self, mut source: ClientError, record: &Record) -> Error {
        let length = |range: &Option<std::ops::Range<usize>>| {
            range.as_ref().map_or(0, ExactSizeIterator::len)
        };
        if source.code == Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE {
            return Error::RecordTooLarge {
                topic: self
                    .names
                    .get(record.topic as usize)
                    .cloned()
                    .unwrap_or_default(),
                bytes: length(&record.key) + length(&record.value),
                limit: self.record_bytes_max,
            };
        }
        if let Some(fatal) = self.handle.fatal() {
            return Error::of("produce", fatal);
        }
        // Part of the batch may be enqueued: whatever it was, the transaction is over.
        source.abort = true;
        Error::of("produce", source)
    }

    /// Enqueues one record, copied.
    pub fn send(
        &mut self,
        topic: u32,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.handle
            .enqueue_copy(topic, partition, key, value)
            .map_err(|mut source| {
                source.abort = true;
                Error::of("produce", self.handle.fatal().unwrap_or(source))
            })
    }

    /// Commits. A time-out is resumed by calling again.
    pub fn commit(&mut self, timeout: Duration) -> Result<(), Error> {
        self.handle
            .commit(timeout)
            .map_err(|source| Error::of("commit_transaction", source))
    }

    /// Aborts. A time-out is resumed by calling again.
    pub fn abort(&mut self, timeout: Duration) -> Result<(), Error> {
        self.by_topic.iter_mut().for_each(Vec::clear);
        self.handle
            .abort(timeout)
            .map_err(|source| Error::of("abort_transaction", source))
    }

    /// Waits until everything is acknowledged (without transactions).
    pub fn flush(&mut self, timeout: Duration) -> Result<(), Error> {
        self.handle
            .flush(timeout)
            .map_err(|source| Error::of("flush", source))?;
        match self.handle.fatal() {
            None => Ok(()),
            Some(fatal) => Err(Error::of("flush", fatal)),
        }
    }
}
