//! `ReplicationStream`: the two-way copy of a replication connection.
//!
//! A walsender sends each change with a `send` of its own. A reader that comes back for each of them
//! costs itself two system calls per row and the walsender a wake-up, and both are slower for it. So
//! while data is hot the reader pauses *before* it reads and then takes everything at once. The pause
//! blocks the thread on purpose (timers of the runtime are too coarse): the stream belongs on a thread
//! of its own with a current-thread runtime.

use std::time::{Duration, Instant};

use super::Error;
use super::buffer::Span;
pub use super::copy::Frame;
use super::copy::Status;
use super::session::{OBJECT_NOT_IN_PREREQUISITE_STATE, PUBLICATION_ABSENT, slot_error};
use super::wire::Wire;
use crate::event::Lsn;

/// The pause before a read while data is hot; shorter than anything that people notice.
const PAUSE: Duration = Duration::from_micros(400);
/// A read that brought this much leaves data hot: about eight rows.
const HOT_BYTES: usize = 2 << 10;
/// So does one that came this soon after the one before.
const HOT_GAP: Duration = Duration::from_micros(100);
/// How long a close waits for the server to end its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A running logical replication.
#[derive(Debug)]
pub struct ReplicationStream {
    wire: Wire,
    slot: String,
    pace: Pace,
    /// The latest status that has not been written; a later one replaces it.
    status: Option<Status>,
}

/// Whether data is hot, and whether its pause has been made.
#[derive(Debug)]
struct Pace {
    hot: bool,
    paused: bool,
    last_read: Instant,
}

impl ReplicationStream {
    pub(super) fn new(wire: Wire, slot: String) -> Self {
        let pace = Pace {
            hot: false,
            paused: false,
            last_read: Instant::now(),
        };
        ReplicationStream {
            wire,
            slot,
            pace,
            status: None,
        }
    }

    /// Largest message held, bytes; 16 MiB unless set. A larger change goes past and comes out as
    /// [`Frame::Condensed`].
    pub fn set_message_bytes_max(&mut self, bound: usize) {
        self.wire.set_message_bytes_max(bound);
    }

    /// Waits until more bytes have arrived and takes them all. Cancel-safe. While data is hot it blocks
    /// the thread for the length of one pause, once per read.
    pub async fn fill(&mut self) -> Result<(), Error> {
        self.pace.pause();
        let count = self.wire.fill().await?;
        self.pace.note(count, Instant::now());
        Ok(())
    }

    /// The next complete frame of the buffer; never reads. `None`: [`ReplicationStream::fill`] first.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Error> {
        let Some(span) = self.next_span()? else {
            return Ok(None);
        };
        match span.tag {
            b'd' => match (Frame::parse(self.wire.body(span)), self.wire.excess(span)) {
                (Some(frame), None) => Ok(Some(frame)),
                (Some(frame), Some(excess)) => Ok(Some(frame.condensed(excess))),
                (None, _) => Err(Error::Malformed {
                    host: self.wire.host().to_owned(),
                    what: "a frame of the replication stream".to_owned(),
                }),
            },
            b'c' | b'C' => Err(Error::StreamEnded {
                host: self.wire.host().to_owned(),
            }),
            b'E' => Err(slot_error(&self.slot, self.wire.server_error(span))),
            _ => Err(self.wire.unexpected(span, "replication")),
        }
    }

    /// A parameter that changes in the middle of the stream means nothing to us.
    fn next_span(&mut self) -> Result<Option<Span>, Error> {
        loop {
            match self.wire.take_or_condense()? {
                Some(span) if matches!(span.tag, b'S' | b'A') => {}
                Some(span) if span.tag == b'N' => self.check_notice(span)?,
                found => return Ok(found),
            }
        }
    }

    /// Changes made while the publication does not exist end the stream with an error; from 18 on the
    /// server leaves them out instead and warns (pgoutput.c, `LoadPublications`). To go on would lose
    /// them. Its words are translated, its code is not.
    fn check_notice(&self, span: Span) -> Result<(), Error> {
        let notice = self.wire.server_error(span);
        if notice.code != OBJECT_NOT_IN_PREREQUISITE_STATE {
            return Ok(());
        }
        Err(Error::Server {
            action: PUBLICATION_ABSENT,
            source: notice,
        })
    }

    /// Queues a status: everything below `confirmed` is safe and need not be sent again. `reply` asks
    /// the server to answer with a keepalive.
    pub fn queue_status(&mut self, confirmed: Lsn, now_us: i64, reply: bool) {
        let unanswered = self.status.is_some_and(|status| status.reply);
        self.status = Some(Status {
            confirmed,
            now_us,
            reply: reply || unanswered,
        });
    }

    /// Writes what is queued. Cancel-safe.
    pub async fn flush(&mut self) -> Result<(), Error> {
        if !self.wire.output.is_empty() {
            self.wire.flush().await?;
        }
        if let Some(status) = self.status.take() {
            self.wire.output.extend_from_slice(&status.encode());
            self.wire.flush().await?;
        }
        Ok(())
    }

    /// Writes what is queued and ends the stream; returns when the server has freed the slot, or after
    /// two seconds.
    pub async fn close(mut self) -> Result<(), Error> {
        self.flush().await?;
        // CopyDone, then Terminate: the walsender handles the status before either.
        self.wire
            .output
            .extend_from_slice(b"c\0\0\0\x04X\0\0\0\x04");
        self.wire.flush().await?;
        let drain = async {
            while self.wire.fill().await.is_ok() {
                while let Ok(Some(_)) = self.wire.take() {}
            }
        };
        // Late is not wrong: the server notices the closed socket by itself.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, drain).await;
        Ok(())
    }
}

impl Pace {
    fn pause(&mut self) {
        if self.hot && !self.paused {
            std::thread::sleep(PAUSE);
            self.paused = true;
        }
    }

    fn note(&mut self, count: usize, now: Instant) {
        let soon = !self.paused && now.saturating_duration_since(self.last_read) < HOT_GAP;
        self.hot = count >= HOT_BYTES || soon;
        self.paused = false;
        self.last_read = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_hot_after_a_large_or_an_immediate_read_and_cools_down() {
        let start = Instant::now();
        let mut pace = Pace {
            hot: false,
            paused: false,
            last_read: start,
        };
        pace.note(100, start + Duration::from_millis(5));
        assert!(!pace.hot, "little after a silence");
        pace.note(
            100,
            start + Duration::from_millis(5) + Duration::from_micros(20),
        );
        assert!(pace.hot, "little, but at once");
        pace.pause();
        assert!(pace.paused);
        pace.note(HOT_BYTES, start + Duration::from_millis(6));
        assert!(pace.hot && !pace.paused, "much after a pause");
        pace.pause();
        pace.note(
            100,
            start + Duration::from_millis(6) + Duration::from_micros(20),
        );
        assert!(!pace.hot, "little after a pause, however soon");
    }
}
