//! A capture file, through decoder and encoder: what would have been published.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Instant;

use super::FileError;
use super::file::{Described, Frame, Header, Reader};
use crate::config::settings::{OnTooLarge, Settings};
use crate::event::selection::{Routed, Selection};
use crate::event::{Batch, Plan, Record, SourceName};
use crate::kafka::topics;
use crate::replicate::capture::{Arrival, Capture, CapturedTable, MessageTopic, Point, Unmet};
use crate::replicate::{Error, start};

/// Records are handed over when a batch has grown to this.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Indexes of the topics that are no table's.
const HEARTBEATS: u32 = 0;
const MESSAGES: u32 = 1;
const PASSED_OVER: u32 = 2;
const TRANSACTIONS: u32 = 3;
/// What a configuration without `[kafka]` stands for: prefix, partitions, largest record.
const UNCONFIGURED: (&str, i32, usize) = ("retail", 6, 1_000_000);

/// Replays capture files.
pub struct Replay {
    capture: Capture,
    prefix: String,
    partitions: i32,
    topics: Vec<String>,
    selection: Arc<Selection>,
    tables: HashMap<u32, Described>,
    spare: Option<(Batch, Vec<i64>)>,
    replayed: Replayed,
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Messages of the server.
    pub messages: u64,
    /// Records made of them.
    pub records: u64,
    /// Bytes of the records' keys and values.
    pub bytes: u64,
    /// Whether the file ends inside a transaction, whose changes are not among the records.
    pub unfinished: bool,
}

impl Replay {
    /// Encodes as the settings say, the changes of a capture with that header.
    pub fn new(settings: &Settings, header: &Header) -> Self {
        let (prefix, partitions, record_bytes_max) =
            settings.kafka.as_ref().map_or(UNCONFIGURED, |kafka| {
                (&kafka.prefix, kafka.partitions, kafka.message_bytes_max)
            });
        let name = SourceName {
            prefix: prefix.to_owned(),
            database: header.database.clone(),
        };
        let encoder = start::encoder(settings, &name, record_bytes_max);
        // A replay asks no registry.
        let mut told = encoder.outline_messages(MESSAGES);
        let mut transactions = encoder.outline_transactions(TRANSACTIONS);
        for frames in [told.frames_mut(), transactions.frames_mut()] {
            frames.identify_key(0);
            frames.identify_value(0);
        }
        let selection = Arc::clone(&settings.selection);
        let messages = MessageTopic {
            outline: Some(told),
            selection: Arc::clone(&selection),
        };
        let source = settings.source.as_ref();
        let passes_over = source.is_some_and(|source| source.on_too_large == OnTooLarge::PassOver);
        let mut capture = Capture::new(encoder, 1, HEARTBEATS, Point::default())
            .telling(messages)
            .passing_over(passes_over.then_some(PASSED_OVER))
            .skipping(settings.format.skip);
        if settings.format.transactions {
            capture = capture.counting(transactions);
        }
        Replay {
            capture,
            prefix: prefix.to_owned(),
            partitions,
            topics: vec![
                topics::heartbeat(prefix),
                topics::messages(prefix),
                topics::passed_over(prefix),
                topics::transactions(prefix),
            ],
            selection,
            tables: HashMap::new(),
            spare: None,
            replayed: Replayed::default(),
        }
    }

    /// Replays a whole file. `each` is given the topic's name, the batch and a record of it; `false`
    /// ends the replay.
    pub fn run<R: BufRead>(
        mut self,
        reader: &mut Reader<R>,
        mut each: impl FnMut(&str, &Batch, &Record) -> bool,
    ) -> Result<Replayed, Error> {
        // One reading of the clock: files are replayed for what does not depend on it.
        let now = Instant::now();
        while let Some(frame) = reader.next_frame()? {
            match frame {
                Frame::Table(described) => {
                    self.tables.insert(described.relation, *described);
                }
                Frame::Message {
                    lsn,
                    server_time_us,
                    data,
                } => {
                    self.replayed.messages += 1;
                    let arrival = Arrival {
                        lsn,
                        data,
                        excess: None,
                    };
                    while let Some(unmet) = self.capture.apply(arrival, now, server_time_us)? {
                        match unmet {
                            Unmet::Relation(relation) => self.describe(relation.id)?,
                            Unmet::Route { relation, value } => self.route(relation, &value)?,
                        }
                    }
                }
            }
            if self.capture.fill().bytes >= BATCH_BYTES_MAX && !self.hand_over(true, &mut each) {
                return Ok(self.replayed);
            }
        }
        self.replayed.unfinished = self.capture.is_open();
        self.hand_over(false, &mut each);
        Ok(self.replayed)
    }

    fn describe(&mut self, relation: u32) -> Result<(), Error> {
        let described = self.tables.get(&relation);
        let Described {
            table, identity, ..
        } = described.ok_or(FileError::Undescribed(relation))?;
        let table = self.selection.select(table.clone(), identity)?;
        let index = if self.selection.outbox(&table.schema, &table.name).is_some() {
            Plan::ROUTED
        } else {
            let name = topics::routed(&self.selection, &self.prefix, &table.schema, &table.name);
            self.topic(name)
        };
        let mut plan = self.capture.encoder().compile(&table, index);
        // A replay asks no registry.
        plan.frames_mut().identify_key(0);
        plan.frames_mut().identify_value(0);
        let route = self.selection.route(&table.schema, &table.name);
        let partitions = route.and_then(|route| route.partitions);
        let partitions = partitions.unwrap_or(self.partitions);
        self.capture
            .describe(relation, CapturedTable { plan, partitions });
        Ok(())
    }

    /// The index of a topic.
    fn topic(&mut self, name: String) -> u32 {
        let known = self.topics.iter().position(|topic| *topic == name);
        let index = known.unwrap_or(self.topics.len());
        if known.is_none() {
            self.topics.push(name);
        }
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Makes a topic known that rows of an outbox name so.
    fn route(&mut self, relation: u32, value: &[u8]) -> Result<(), Error> {
        let outbox = self.selection.outbox.clone().unwrap_or_default();
        let text = String::from_utf8_lossy(value);
        let Some(plan) = self.capture.plan(relation) else {
            return Ok(());
        };
        let name = outbox.topic(&Routed {
            prefix: &self.prefix,
            schema: plan.schema(),
            table: plan.table(),
            value: &text,
        })?;
        let partitions = outbox.partitions.unwrap_or(self.partitions);
        let index = self.topic(name);
        let Some(plan) = self.capture.plan(relation) else {
            return Ok(());
        };
        let mut target = plan.target(&text, index, partitions);
        // A replay asks no registry.
        target.frames_mut().identify_key(0);
        target.frames_mut().identify_value(0);
        self.capture.meet(relation, value, target);
        Ok(())
    }

    /// Hands over what the batch holds; whole transactions only, unless it is to be split.
    fn hand_over(
        &mut self,
        split: bool,
        each: &mut impl FnMut(&str, &Batch, &Record) -> bool,
    ) -> bool {
        let (spare, times) = self.spare.take().unwrap_or_default();
        let closed = self.capture.close(split, spare, times);
        for record in &closed.batch.records {
            let parts = [&record.key, &record.value].into_iter().flatten();
            self.replayed.records += 1;
            self.replayed.bytes += parts.map(|part| part.len() as u64).sum::<u64>();
            // Every index was given out here.
            let topic = self.topics.get(record.topic as usize);
            if !each(topic.map_or("", String::as_str), &closed.batch, record) {
                return false;
            }
        }
        self.spare = Some((closed.batch, closed.commit_times_us));
        true
    }
}
