//! Logical messages: heartbeats, requests for snapshots, and those of the users; in a transaction, or between
//! two.

use std::sync::Arc;
use std::time::Instant;

use super::rows::Wanted;
use super::{Capture, Point};
use crate::event::selection::Selection;
use crate::event::{
    BARRIER_PREFIX, Change, HEARTBEAT_PREFIX, LogicalMessage, Lsn, Outline, SNAPSHOT_PREFIX,
    Transaction,
};
use crate::replicate::Error;

/// Where logical messages go, and which.
#[derive(Debug, Default)]
pub(crate) struct MessageTopic {
    /// Their topic; `None` if none are published.
    pub(crate) outline: Option<Outline>,
    /// What the configuration selects.
    pub(crate) selection: Arc<Selection>,
}

impl MessageTopic {
    /// The topic of messages with this prefix.
    pub(super) fn topic(&self, prefix: &str) -> Option<&Outline> {
        self.outline
            .as_ref()
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
        match message.prefix {
            HEARTBEAT_PREFIX => {
                let topic = self.heartbeat_topic;
                self.encoder
                    .heartbeat(topic, change, message, &mut self.batch);
                Ok(())
            }
            SNAPSHOT_PREFIX => {
                if self.taken_back.is_none() {
                    self.requests.push(message.content.to_vec());
                }
                Ok(())
            }
            BARRIER_PREFIX => Ok(()),
            _ => {
                self.tell_begin(lsn)?;
                self.publish_message(change, message)
            }
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
        if published || self.messages.topic(message.prefix).is_none() {
            return Ok(());
        }
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
        self.publish_message(change, message)?;
        self.oldest.get_or_insert(now);
        self.set_boundary(Point {
            resume: self.boundary.point.resume.max(lsn),
            ..self.boundary.point
        });
        Ok(())
    }
}
