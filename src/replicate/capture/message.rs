//! Logical messages: heartbeats, requests for snapshots, and those of the users.

use std::sync::Arc;
use std::time::Instant;

use super::rows::Wanted;
use super::{Capture, Point};
use crate::event::selection::Selection;
use crate::event::{
    BARRIER_PREFIX, Change, HEARTBEAT_PREFIX, LogicalMessage, Lsn, SNAPSHOT_PREFIX, Transaction,
};
use crate::replicate::Error;

/// Where logical messages go, and which.
#[derive(Debug, Default)]
pub(crate) struct MessageTopic {
    /// Index of the topic; `None` if none are published.
    pub(crate) topic: Option<u32>,
    /// What the configuration selects.
    pub(crate) selection: Arc<Selection>,
}

impl MessageTopic {
    /// The topic of messages with this prefix.
    fn topic(&self, prefix: &str) -> Option<u32> {
        self.topic
            .filter(|_| self.selection.messages.matches(prefix))
    }
}

impl Capture {
    pub(super) fn message(
        &mut self,
        lsn: Lsn,
        now_us: i64,
        message: &LogicalMessage<'_>,
    ) -> Result<(), Error> {
        let Wanted {
            change, publish, ..
        } = self.change(lsn, now_us)?;
        if !publish {
            return Ok(());
        }
        let topic = match message.prefix {
            HEARTBEAT_PREFIX => Some(self.heartbeat_topic),
            SNAPSHOT_PREFIX => {
                self.requests.push(message.content.to_vec());
                None
            }
            BARRIER_PREFIX => None,
            prefix => self.messages.topic(prefix),
        };
        match topic {
            None => Ok(()),
            Some(topic) => self.publish_message(topic, change, message),
        }
    }

    /// A message outside of any transaction, at the end of its record in the log. It stands between two
    /// transactions, and once it is published streaming resumes behind it.
    pub(super) fn lone_message(
        &mut self,
        lsn: Lsn,
        now: Instant,
        now_us: i64,
        message: &LogicalMessage<'_>,
    ) -> Result<(), Error> {
        if self.open.is_some() {
            return Err(Error::OutOfPlace {
                message: "message",
                lsn,
            });
        }
        let published = self.published;
        let published = published.is_some_and(|point| point.is_past_message(lsn));
        let topic = self.messages.topic(message.prefix);
        let Some(topic) = topic.filter(|_| !published) else {
            return Ok(());
        };
        self.encoder.begin(&Transaction {
            epoch: self.epoch,
            commit_lsn: lsn,
            commit_time_us: now_us,
            xid: None,
            last_commit_lsn: self.last_commit_lsn,
        });
        let change = Change {
            lsn,
            ordinal: 0,
            now_us,
        };
        self.publish_message(topic, change, message)?;
        self.oldest.get_or_insert(now);
        self.set_boundary(Point {
            resume: self.boundary.point.resume.max(lsn),
            ..self.boundary.point
        });
        Ok(())
    }
}
