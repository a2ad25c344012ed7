//! The position record: where the stream stands, in the same Kafka transaction as the events before it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::reader::Reader;
use crate::config::settings::Kafka;
use crate::event::{Epoch, Lsn, Position};

/// Key of the stream's record.
const STREAM_KEY: &[u8] = b"stream";
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
    /// Hash of the publication's name and the options that decide what is sent.
    pub options_hash: String,
    /// Number of transactional ids of snapshot workers.
    pub snapshot_workers: u16,
    /// Whether a snapshot is under way.
    pub snapshot: SnapshotProgress,
    /// Position of the record before this one.
    pub previous: Option<Position>,
}

/// Whether a snapshot is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotProgress {
    /// Begun at the resume LSN and not finished.
    Begun,
    /// None, or finished.
    Done,
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
            previous: None,
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

    /// Key and value of its Kafka record.
    pub fn to_bytes(&self) -> (Vec<u8>, Vec<u8>) {
        // Serialising plain numbers and strings into memory does not fail.
        (
            STREAM_KEY.to_vec(),
            serde_json::to_vec(self).unwrap_or_default(),
        )
    }
}

/// The last committed record. Before every earlier producer is fenced it may be superseded at any
/// time; after that it is the position.
pub fn read_last_committed(kafka: &Kafka, topic: &str) -> Result<Option<PositionRecord>, Error> {
    let mut last = Ok(None);
    let wait = kafka.transaction_timeout + ANSWER_TIMEOUT;
    Reader::read_settled(kafka, topic, 0, wait, |offset, key, value| {
        let Some(value) = value.filter(|_| key == Some(STREAM_KEY)) else {
            return;
        };
        if last.is_ok() {
            last = serde_json::from_slice(value)
                .map(Some)
                .map_err(|source| Error::Position {
                    topic: topic.to_owned(),
                    offset,
                    source,
                });
        }
    })?;
    last
}
