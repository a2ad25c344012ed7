//! Bodies of messages: a bounds-checked cursor, and the three messages inside CopyBoth. Pure.
//!
//! ```text
//! XLogData   'w'  start: u64  end: u64  server time: i64  data …
//! Keepalive  'k'  end: u64  server time: i64  reply requested: u8
//! Status     'r'  written: u64  flushed: u64  applied: u64  client time: i64  reply requested: u8
//! ```
//!
//! The protocol's clock counts microseconds from 2000-01-01; everything outside this file from 1970.

use super::buffer::Excess;
use crate::event::Lsn;

/// What stands before the data of an XLogData: its kind, two LSNs and a time.
pub(super) const XLOG_DATA_HEAD_BYTES: usize = 1 + 3 * 8;
/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;
const STATUS_LENGTH: u32 = 38;
/// Tag, length, 'r', three LSNs, time, flag.
const STATUS_BYTES: usize = 1 + 4 + 1 + 3 * 8 + 8 + 1;
const _: () = assert!(
    STATUS_BYTES == 1 + STATUS_LENGTH as usize,
    "the length counts all but the tag"
);

/// One frame of the stream, borrowed from the read buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message of the output plugin.
    XLogData {
        /// Where in the log the message comes from; zero for relation and type messages.
        start: Lsn,
        /// End of the log on the server.
        end: Lsn,
        /// The server's clock, microseconds since 1970.
        server_time_us: i64,
        /// The message.
        data: &'a [u8],
    },
    /// A message of the output plugin that was too large to be held, and has gone past.
    Condensed {
        /// Where in the log the message comes from.
        start: Lsn,
        /// What was kept of it: large values are marked as unchanged.
        data: &'a [u8],
        /// How large it was.
        excess: Excess,
    },
    /// The server shows where it stands.
    Keepalive {
        /// The last position it has sent, or would have if there had been anything for us.
        end: Lsn,
        /// The server's clock, microseconds since 1970.
        server_time_us: i64,
        /// It wants a status at once.
        reply_requested: bool,
    },
}

impl<'a> Frame<'a> {
    /// Reads the body of a CopyData message; `None` if it is malformed.
    pub fn parse(body: &'a [u8]) -> Option<Frame<'a>> {
        let mut cursor = Cursor::new(body);
        match cursor.u8()? {
            b'w' => Some(Frame::XLogData {
                start: cursor.lsn()?,
                end: cursor.lsn()?,
                server_time_us: cursor.time_us()?,
                data: cursor.rest(),
            }),
            b'k' => {
                let end = cursor.lsn()?;
                let server_time_us = cursor.time_us()?;
                let reply_requested = cursor.u8()? != 0;
                let keepalive = Frame::Keepalive {
                    end,
                    server_time_us,
                    reply_requested,
                };
                cursor.rest().is_empty().then_some(keepalive)
            }
            _ => None,
        }
    }

    /// The same frame, of a message that has gone past.
    pub(super) fn condensed(self, excess: Excess) -> Frame<'a> {
        match self {
            Frame::XLogData { start, data, .. } => Frame::Condensed {
                start,
                data,
                excess,
            },
            Frame::Condensed { .. } | Frame::Keepalive { .. } => self,
        }
    }
}

/// What is told to the server: everything below `confirmed` is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) confirmed: Lsn,
    pub(super) now_us: i64,
    pub(super) reply: bool,
}

impl Status {
    /// The whole CopyData message.
    pub(super) fn encode(&self) -> [u8; STATUS_BYTES] {
        let lsn = self.confirmed.0.to_be_bytes();
        let time = self.now_us.saturating_sub(EPOCH_US).to_be_bytes();
        let length = STATUS_LENGTH.to_be_bytes();
        let parts: [&[u8]; 8] = [
            b"d",
            &length,
            b"r",
            &lsn,
            &lsn,
            &lsn,
            &time,
            &[u8::from(self.reply)],
        ];
        let mut message = [0; STATUS_BYTES];
        let bytes = parts.into_iter().flatten();
        message
            .iter_mut()
            .zip(bytes)
            .for_each(|(place, byte)| *place = *byte);
        message
    }
}

/// Reads big-endian numbers and strings; `None` past the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes }
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*chunk)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.chunk().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.chunk().map(i32::from_be_bytes)
    }

    pub(super) fn lsn(&mut self) -> Option<Lsn> {
        self.chunk().map(|bytes| Lsn(u64::from_be_bytes(bytes)))
    }

    fn time_us(&mut self) -> Option<i64> {
        self.chunk()
            .map(|bytes| i64::from_be_bytes(bytes).saturating_add(EPOCH_US))
    }

    /// A zero-terminated string.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        let length = memchr::memchr(0, self.bytes)?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest.get(1..)?;
        std::str::from_utf8(text).ok()
    }

    /// `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keepalive_is_read() {
        let body = [
            b'k', // keepalive
            0, 0, 0, 0x16, 0xB3, 0x74, 0xD8, 0x48, // end 16/B374D848
            0, 0, 0, 0, 0, 0, 0, 1, // one microsecond past 2000-01-01
            1, // reply requested
        ];
        let expected = Frame::Keepalive {
            end: Lsn(0x16_B374_D848),
            server_time_us: 946_684_800_000_001,
            reply_requested: true,
        };
        assert_eq!(Frame::parse(&body), Some(expected));
    }

    #[test]
    fn xlog_data_is_borrowed() {
        let body = [
            b'w', // XLogData
            0, 0, 0, 0, 0, 0, 0, 9, // start 0/9
            0, 0, 0, 0, 0, 0, 0, 10, // end 0/A
            0, 0, 0, 0, 0, 0, 0, 0, // 2000-01-01
            b'I', b'!', // data
        ];
        let expected = Frame::XLogData {
            start: Lsn(9),
            end: Lsn(10),
            server_time_us: EPOCH_US,
            data: b"I!",
        };
        assert_eq!(Frame::parse(&body), Some(expected));
    }

    #[test]
    fn malformed_bodies_are_refused() {
        let keepalive = [b'k', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for length in 0..keepalive.len() {
            assert_eq!(
                Frame::parse(&keepalive[..length]),
                None,
                "keepalive of {length} bytes"
            );
        }
        assert!(Frame::parse(&keepalive).is_some());
        assert_eq!(
            Frame::parse(&[&keepalive[..], &[0]].concat()),
            None,
            "a byte left over"
        );
        assert_eq!(
            Frame::parse(&[b'w'; 24]),
            None,
            "xlog data without its header"
        );
        assert_eq!(Frame::parse(b"x"), None, "an unknown frame");
    }

    #[test]
    fn a_status_is_written() {
        let status = Status {
            confirmed: Lsn(0x0102),
            now_us: EPOCH_US + 3,
            reply: true,
        };
        let expected = [
            b'd', 0, 0, 0, 38,   // CopyData
            b'r', // status
            0, 0, 0, 0, 0, 0, 1, 2, // written
            0, 0, 0, 0, 0, 0, 1, 2, // flushed
            0, 0, 0, 0, 0, 0, 1, 2, // applied
            0, 0, 0, 0, 0, 0, 0, 3, // three microseconds past 2000-01-01
            1, // reply requested
        ];
        assert_eq!(status.encode(), expected);
    }
}
