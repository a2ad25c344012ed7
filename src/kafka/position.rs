//! The position record: where the stream stands, in the same Kafka transaction as the events before it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ad_hoc::{self, AdHocRecords};
use super::error::Error;
use super::member::{self, MemberRecords};
use super::progress::{self, SnapshotRecords};
use super::reader::Reader;
use crate::config::settings::Kafka;
use crate::event::{Epoch, Lsn, Position};

/// Key of the stream's record.
const STREAM_KEY: &[u8] = b"stream";
/// Begins the key of a topic's record; its name follows.
const TOPIC_KEY: &[u8] = b"topic/";
/// Version of the record's form.
const FORMAT_VERSION: u32 = 1;
/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the stream stands. LSNs are text in the record, as PostgreSQL writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionRecord {
    /// Version of this form.
    pub format_version: u32,
    /// Epoch of the source.
    pub epoch: Epoch,
    /// `system_identifier` of the source.
    pub system_id: String,
    /// Its timeline.
    pub timeline: u32,
    /// Database.
    pub database: String,
    /// Streaming resumes here: everything below has been published.
    pub resume_lsn: Lsn,
    /// Commit LSN of the last transaction with a published change.
    pub commit_lsn: Lsn,
    /// Its last published ordinal.
    pub ordinal: u64,
    /// LSN of that change, to recognise it by when the transaction was published in part.
    pub last_change_lsn: Lsn,
    /// Hash of the publication's name and the options that decide what is sent: inside a split
    /// transaction changes are skipped by number, which holds only while these are the same.
    pub options_hash: String,
    /// Number of transactional ids of snapshot workers.
    pub snapshot_workers: u16,
    /// Whether a snapshot is under way.
    pub snapshot: SnapshotProgress,
    /// A snapshot was read at several points, and the stream has not passed the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fences: Option<FencesRecord>,
    /// Counts the transactions of schema versions, which move nothing else: it tells their records apart.
    #[serde(default)]
    pub schema_changes: u64,
    /// Counts the transactions that record something of ad hoc snapshots, for the same reason.
    #[serde(default)]
    pub ad_hoc_changes: u64,
    /// Position of the record before this one.
    pub previous: Option<Position>,
}

/// Whether a snapshot is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotProgress {
    /// To be begun anew: what the topics hold is void.
    Begun,
    /// Begun at the resume LSN and not finished; the ranges that are recorded beside are in the topics.
    Reading,
    /// None, or finished.
    Done,
}

/// Which changes are tested against the recorded ranges of a snapshot: those that committed below the point
/// that their key was read at are in the topic already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencesRecord {
    /// The snapshot that the ranges belong to.
    pub begun: Position,
    /// The last point that any of them was read at.
    pub until: Lsn,
}

impl PositionRecord {
    /// The first record for a source.
    pub fn new(epoch: Epoch, system_id: &str, timeline: u32, database: &str) -> Self {
        PositionRecord {
            format_version: FORMAT_VERSION,
            epoch,
            system_id: system_id.to_owned(),
            timeline,
            database: database.to_owned(),
            resume_lsn: Lsn::ZERO,
            commit_lsn: Lsn::ZERO,
            ordinal: 0,
            last_change_lsn: Lsn::ZERO,
            options_hash: String::new(),
            snapshot_workers: 0,
            snapshot: SnapshotProgress::Done,
            fences: None,
            schema_changes: 0,
            ad_hoc_changes: 0,
            previous: None,
        }
    }

    /// The snapshot whose recorded ranges count.
    pub fn snapshot_begun(&self) -> Option<Position> {
        match self.snapshot {
            SnapshotProgress::Begun => None,
            SnapshotProgress::Reading => Some(Position::new(self.epoch, self.resume_lsn, 0)),
            SnapshotProgress::Done => self.fences.map(|fences| fences.begun),
        }
    }

    /// Where streaming goes on: after the last published change.
    pub fn position(&self) -> Position {
        if self.commit_lsn >= self.resume_lsn {
            Position::new(self.epoch, self.commit_lsn, self.ordinal)
        } else {
            Position::new(self.epoch, self.resume_lsn, 0)
        }
    }

    /// The record that follows this one.
    #[must_use]
    pub fn next(
        &self,
        resume_lsn: Lsn,
        commit_lsn: Lsn,
        ordinal: u64,
        last_change_lsn: Lsn,
    ) -> Self {
        PositionRecord {
            resume_lsn,
            commit_lsn,
            ordinal,
            last_change_lsn,
            previous: Some(self.position()),
            ..self.clone()
        }
    }

    /// The record of a transaction of schema versions: it stands where this one does.
    #[must_use]
    pub fn next_schema_change(&self) -> Self {
        PositionRecord {
            schema_changes: self.schema_changes + 1,
            previous: Some(self.position()),
            ..self.clone()
        }
    }

    /// Key and value of its Kafka record.
    pub fn to_bytes(&self) -> (Vec<u8>, Vec<u8>) {
        // Serialising plain numbers and strings into memory does not fail.
        (
            STREAM_KEY.to_vec(),
            serde_json::to_vec(self).unwrap_or_default(),
        )
    }
}

/// What a topic was when the first event went there: recreated or repartitioned, it is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    /// Its id; nil where the broker was too old to tell.
    pub id: Uuid,
    /// Its partitions.
    pub partitions: i32,
}

impl TopicRecord {
    /// Key and value of its Kafka record.
    pub fn to_bytes(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        // As above.
        let value = serde_json::to_vec(self).unwrap_or_default();
        ([TOPIC_KEY, name.as_bytes()].concat(), value)
    }

    /// Whether `found` is the same topic.
    pub fn is_same(&self, found: &TopicRecord) -> bool {
        let same_id = self.id == found.id || self.id.is_nil() || found.id.is_nil();
        same_id && self.partitions == found.partitions
    }
}

impl fmt::Display for TopicRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} partitions with id {}", self.partitions, self.id)
    }
}

/// What a position topic holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The last committed position.
    pub position: Option<PositionRecord>,
    /// Topics that events went to, by name.
    pub topics: BTreeMap<String, TopicRecord>,
    /// What the snapshot under way has read, or what the stream has still to be told apart from.
    pub progress: SnapshotRecords,
    /// Requests to read tables again.
    pub ad_hoc: AdHocRecords,
    /// The tables that the publication has had.
    pub members: MemberRecords,
}

/// The records of a position topic as they are read.
#[derive(Debug, Default)]
struct Records {
    recorded: Recorded,
    progress: BTreeMap<Vec<u8>, Vec<u8>>,
    ad_hoc: BTreeMap<Vec<u8>, Vec<u8>>,
    members: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Records {
    fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), serde_json::Error> {
        for (prefix, records) in [
            (progress::PREFIX, &mut self.progress),
            (ad_hoc::PREFIX, &mut self.ad_hoc),
            (member::PREFIX, &mut self.members),
        ] {
            if key.starts_with(prefix.as_bytes()) {
                match value {
                    Some(value) => records.insert(key.to_vec(), value.to_vec()),
                    None => records.remove(key),
                };
                return Ok(());
            }
        }
        let Some(value) = value else { return Ok(()) };
        if key == STREAM_KEY {
            self.recorded.position = Some(serde_json::from_slice(value)?);
        } else if let Some(name) = key.strip_prefix(TOPIC_KEY) {
            let name = String::from_utf8_lossy(name).into_owned();
            let topics = &mut self.recorded.topics;
            topics.insert(name, serde_json::from_slice(value)?);
        }
        Ok(())
    }

    fn finish(self) -> Recorded {
        let position = self.recorded.position.as_ref();
        let begun = position.and_then(PositionRecord::snapshot_begun);
        Recorded {
            // None of them is of a snapshot that was never begun.
            progress: SnapshotRecords::of(begun.unwrap_or_default(), self.progress),
            ad_hoc: AdHocRecords::read(self.ad_hoc),
            members: MemberRecords::read(self.members),
            ..self.recorded
        }
    }
}

/// What was committed last, once every earlier producer is fenced: the truth. Waits until no transaction
/// hides a later record.
pub fn read_recorded(kafka: &Kafka, topic: &str) -> Result<Recorded, Error> {
    let wait = kafka.transaction_timeout + ANSWER_TIMEOUT;
    collect(topic, |each| {
        Reader::read_settled(kafka, topic, 0, wait, each)
    })
}

/// What was committed last and can be seen now. A producer that is not fenced yet may supersede it at
/// any time; waiting for its transaction would be waiting for one that died to time out.
pub fn read_recorded_now(kafka: &Kafka, topic: &str) -> Result<Recorded, Error> {
    collect(topic, |each| {
        Reader::read_stable(kafka, topic, 0, ANSWER_TIMEOUT, each)
    })
}

type Each<'a> = &'a mut dyn FnMut(i64, Option<&[u8]>, Option<&[u8]>);

fn collect(
    topic: &str,
    read: impl FnOnce(Each<'_>) -> Result<(), Error>,
) -> Result<Recorded, Error> {
    let mut records = Records::default();
    let mut failure = None;
    read(&mut |offset, key, value| {
        let Some(key) = key else { return };
        if let Err(source) = records.take(key, value) {
            failure.get_or_insert(Error::Position {
                topic: topic.to_owned(),
                offset,
                source,
            });
        }
    })?;
    failure.map_or_else(|| Ok(records.finish()), Err)
}

/// The last committed position alone.
pub fn read_last_committed(kafka: &Kafka, topic: &str) -> Result<Option<PositionRecord>, Error> {
    Ok(read_recorded(kafka, topic)?.position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_recognised_by_id_and_partitions() {
        let recorded = TopicRecord {
            id: Uuid::from_u128(7),
            partitions: 6,
        };
        let check = |id, partitions, same| {
            let id = Uuid::from_u128(id);
            assert_eq!(recorded.is_same(&TopicRecord { id, partitions }), same);
        };
        check(7, 6, true);
        check(7, 7, false);
        check(8, 6, false);
        check(0, 6, true);
    }

    #[test]
    fn records_are_told_apart_by_their_keys() {
        let position = PositionRecord::new(1, "7", 1, "shop");
        let topic = TopicRecord {
            id: Uuid::from_u128(7),
            partitions: 6,
        };
        let mut records = Records::default();
        for (key, value) in [position.to_bytes(), topic.to_bytes("retail.public.orders")] {
            records.take(&key, Some(&value)).unwrap();
        }
        records.take(b"snapshot/7/", Some(b"{}")).unwrap();
        records.take(b"another", Some(b"{}")).unwrap();
        assert!(records.take(STREAM_KEY, Some(b"{}")).is_err());
        let recorded = records.finish();
        assert_eq!(recorded.position, Some(position));
        assert_eq!(recorded.topics.get("retail.public.orders"), Some(&topic));
        assert!(recorded.progress.tables.is_empty());
        assert_eq!(
            recorded.progress.forget().len(),
            1,
            "it is only to be removed"
        );
    }

    #[test]
    fn a_removed_record_is_gone() {
        let mut records = Records::default();
        records.take(b"snapshot/7/", Some(b"{}")).unwrap();
        records.take(b"snapshot/7/", None).unwrap();
        assert!(records.finish().progress.forget().is_empty());
    }

    #[test]
    fn a_record_without_fences_is_read_as_before() {
        let record = PositionRecord::new(1, "7", 1, "shop");
        let (_, value) = record.to_bytes();
        assert!(!String::from_utf8_lossy(&value).contains("fences"));
        assert_eq!(
            serde_json::from_slice::<PositionRecord>(&value).unwrap(),
            record
        );
    }
}
