//! The read buffer: bytes as they came from the socket, and the complete messages in them.
//!
//! ```text
//! bytes  │ consumed │ message │ message │ part of o│        room       │
//!                   ▲ start                         ▲ end
//! ```
//!
//! Messages are handed out as ranges of the buffer, never copied. A message's length only decides how
//! much has to arrive before it is complete; memory grows with the bytes that have arrived, doubling, up
//! to `message_bytes_max`. A larger one is refused, or read past without being held: then a
//! [`Condenser`] keeps what is small of it.

use super::copy::XLOG_DATA_HEAD_BYTES;
use crate::pgoutput::Condenser;

/// Initial and idle size, and the least that one read may bring.
const READ_BYTES: usize = 256 << 10;
/// Least room offered to a read.
const ROOM_BYTES_MIN: usize = 64 << 10;
/// Length word and tag.
const HEADER_BYTES: usize = 5;

/// A complete message: its tag and where its body lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// What kind of message it is.
    pub tag: u8,
    /// It was too large to be held, and its body is what was kept of it.
    condensed: bool,
    start: usize,
    end: usize,
}

/// By how much a message was too large to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Its length, bytes.
    pub bytes: usize,
    /// The bound, bytes.
    pub bytes_max: usize,
}

/// A message that goes past.
#[derive(Debug)]
struct Passing {
    tag: u8,
    excess: Excess,
    /// Bytes that have not arrived.
    left: usize,
    condenser: Condenser,
}

/// What is wrong with the bytes themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A length below its own four bytes.
    #[error("message {tag:?} claims a length of {length} bytes, less than its own length word")]
    Length {
        /// Kind of message.
        tag: char,
        /// Its claim, bytes.
        length: i32,
    },
    /// More than we are willing to hold.
    #[error("message {tag:?} of {length} bytes is larger than {bound}")]
    TooLarge {
        /// Kind of message.
        tag: char,
        /// Its claim, bytes.
        length: usize,
        /// What is held at most, bytes.
        bound: usize,
    },
    /// It has gone past, and nothing could be kept of it.
    #[error("message {tag:?} of {length} bytes is larger than {bound}, and no change or row")]
    NotCondensable {
        /// Kind of message.
        tag: char,
        /// Its length, bytes.
        length: usize,
        /// What is held at most, bytes.
        bound: usize,
    },
}

/// The read buffer.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    message_bytes_max: usize,
    passing: Option<Passing>,
    /// What was kept of the last message that has gone past, and how large that was.
    condensed: Option<(Vec<u8>, Excess)>,
}

impl Buffer {
    /// Holds messages of up to so many bytes.
    pub fn new(message_bytes_max: usize) -> Self {
        Buffer {
            bytes: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            message_bytes_max,
            passing: None,
            condensed: None,
        }
    }

    pub(super) fn set_message_bytes_max(&mut self, bound: usize) {
        self.message_bytes_max = bound;
    }

    /// The next complete message, now consumed. `None`: more bytes are needed.
    pub fn take(&mut self) -> Result<Option<Span>, FramingError> {
        let unread = self.unread();
        let Some(&[tag, a, b, c, d]) = unread.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes([a, b, c, d]);
        let Some(body) = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_sub(4))
        else {
            return Err(FramingError::Length {
                tag: char::from(tag),
                length,
            });
        };
        if body > self.message_bytes_max {
            let tag = char::from(tag);
            return Err(FramingError::TooLarge {
                tag,
                length: body,
                bound: self.message_bytes_max,
            });
        }
        if unread.len() < HEADER_BYTES + body {
            return Ok(None);
        }
        let start = self.start + HEADER_BYTES;
        let end = start + body;
        self.start = end;
        Ok(Some(Span {
            tag,
            condensed: false,
            start,
            end,
        }))
    }

    /// As [`Buffer::take`], but a CopyData or DataRow that is too large is read past, and what is small of
    /// it kept, see [`Buffer::excess`]. One that cannot be shortened is refused when it has gone past.
    #[inline]
    pub fn take_or_condense(&mut self) -> Result<Option<Span>, FramingError> {
        if self.passing.is_some() {
            return self.pass();
        }
        match self.take() {
            Err(FramingError::TooLarge { tag, length, bound }) => {
                self.begin_to_pass(tag, length, bound)
            }
            taken => taken,
        }
    }

    #[cold]
    fn begin_to_pass(
        &mut self,
        tag: char,
        length: usize,
        bound: usize,
    ) -> Result<Option<Span>, FramingError> {
        let condenser = match tag {
            'd' => Condenser::message(XLOG_DATA_HEAD_BYTES),
            'D' => Condenser::data_row(),
            _ => return Err(FramingError::TooLarge { tag, length, bound }),
        };
        let tag = self.unread().first().copied().unwrap_or_default();
        self.start += HEADER_BYTES;
        self.condensed = None;
        self.passing = Some(Passing {
            tag,
            excess: Excess {
                bytes: length,
                bytes_max: bound,
            },
            left: length,
            condenser,
        });
        self.pass()
    }

    /// Lets go past what has arrived of a large message; its span once that is all.
    #[cold]
    fn pass(&mut self) -> Result<Option<Span>, FramingError> {
        let Some(mut passing) = self.passing.take() else {
            return Ok(None);
        };
        let unread = self.unread();
        let piece = unread.get(..passing.left.min(unread.len()));
        let piece = piece.unwrap_or_default();
        passing.condenser.feed(piece);
        passing.left -= piece.len();
        self.start += piece.len();
        if passing.left > 0 {
            self.passing = Some(passing);
            return Ok(None);
        }
        let Passing { tag, excess, .. } = passing;
        let Some(kept) = passing.condenser.finish() else {
            return Err(FramingError::NotCondensable {
                tag: char::from(tag),
                length: excess.bytes,
                bound: excess.bytes_max,
            });
        };
        let end = kept.len();
        self.condensed = Some((kept, excess));
        Ok(Some(Span {
            tag,
            condensed: true,
            start: 0,
            end,
        }))
    }

    /// How large a message was that has gone past; `None` for one that is held. Of the span taken last.
    #[inline]
    pub fn excess(&self, span: Span) -> Option<Excess> {
        if !span.condensed {
            return None;
        }
        self.condensed.as_ref().map(|(_, excess)| *excess)
    }

    /// The body of a span taken since the last [`Buffer::room`].
    #[inline]
    pub fn body(&self, span: Span) -> &[u8] {
        let bytes = if span.condensed {
            self.condensed.as_ref().map_or(&[][..], |(kept, _)| kept)
        } else {
            &self.bytes
        };
        bytes.get(span.start..span.end).unwrap_or_default()
    }

    /// The bytes after the last message taken: at most part of the next.
    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Room for more bytes. Ends the life of all spans.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.bytes.len() > READ_BYTES {
                self.bytes.truncate(READ_BYTES);
                self.bytes.shrink_to(READ_BYTES);
            }
        }
        if self.bytes.len() - self.end < ROOM_BYTES_MIN {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() - self.end < ROOM_BYTES_MIN {
            let bound = self.message_bytes_max + HEADER_BYTES + ROOM_BYTES_MIN;
            let grown = (self.bytes.len() * 2)
                .min(bound)
                .max(self.end + ROOM_BYTES_MIN);
            self.bytes.reserve_exact(grown - self.bytes.len());
            self.bytes.resize(grown, 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// `count` bytes of the room now hold data.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(buffer: &mut Buffer, bytes: &[u8]) {
        for part in bytes.chunks(ROOM_BYTES_MIN) {
            buffer.room()[..part.len()].copy_from_slice(part);
            buffer.filled(part.len());
        }
    }

    /// `Z`, length 5, 'I'
    const READY: &[u8] = b"Z\0\0\0\x05I";

    #[test]
    fn messages_come_whole_whatever_the_reads() {
        let mut bytes = READY.to_vec();
        bytes.extend_from_slice(b"d\0\0\0\x04");
        bytes.extend_from_slice(READY);
        for cut in 0..=bytes.len() {
            let mut buffer = Buffer::new(100);
            let mut found = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                feed(&mut buffer, part);
                while let Some(span) = buffer.take().unwrap() {
                    found.push((span.tag, buffer.body(span).to_vec()));
                }
            }
            let expected = [(b'Z', vec![b'I']), (b'd', vec![]), (b'Z', vec![b'I'])];
            assert_eq!(found, expected, "cut at {cut}");
            assert!(buffer.unread().is_empty());
        }
    }

    #[test]
    fn a_length_below_four_is_malformed_at_once() {
        for length in [3_i32, 0, -1, i32::MIN] {
            let mut buffer = Buffer::new(100);
            feed(&mut buffer, b"d");
            feed(&mut buffer, &length.to_be_bytes());
            assert_eq!(
                buffer.take(),
                Err(FramingError::Length { tag: 'd', length })
            );
        }
    }

    #[test]
    fn a_large_length_is_refused_before_memory_is_taken() {
        let mut buffer = Buffer::new(1 << 20);
        feed(&mut buffer, b"d");
        feed(&mut buffer, &i32::MAX.to_be_bytes());
        let length = i32::MAX as usize - 4;
        assert_eq!(
            buffer.take(),
            Err(FramingError::TooLarge {
                tag: 'd',
                length,
                bound: 1 << 20
            })
        );
        assert_eq!(buffer.bytes.len(), READ_BYTES);
    }

    /// A `CopyData` with an insert of (7, large) into relation 42.
    fn large_insert(value: usize) -> Vec<u8> {
        let length = |bytes: usize| i32::try_from(bytes).unwrap().to_be_bytes();
        let mut body = vec![b'w'];
        body.extend_from_slice(&[1; 24]);
        body.extend_from_slice(b"I\0\0\0\x2AN\0\x02t\0\0\0\x017t");
        body.extend_from_slice(&length(value));
        body.resize(body.len() + value, b'x');
        [&b"d"[..], &length(body.len() + 4), &body].concat()
    }

    #[test]
    fn a_large_message_goes_past_without_being_held() {
        const BOUND: usize = 1 << 20;
        let large = large_insert(64 << 20);
        let mut bytes = READY.to_vec();
        bytes.extend_from_slice(&large);
        bytes.extend_from_slice(READY);
        let mut buffer = Buffer::new(BOUND);
        let mut found = Vec::new();
        for part in bytes.chunks(ROOM_BYTES_MIN - 1) {
            feed(&mut buffer, part);
            while let Some(span) = buffer.take_or_condense().unwrap() {
                found.push((span.tag, buffer.body(span).to_vec(), buffer.excess(span)));
            }
            assert_eq!(buffer.bytes.len(), READ_BYTES, "nothing of it is held");
        }
        let excess = Excess {
            bytes: large.len() - HEADER_BYTES,
            bytes_max: BOUND,
        };
        let kept = [&large[HEADER_BYTES..HEADER_BYTES + 25 + 8 + 6], b"u"].concat();
        let ready = (b'Z', vec![b'I'], None);
        assert_eq!(found, [ready.clone(), (b'd', kept, Some(excess)), ready]);
    }

    #[test]
    fn only_rows_and_changes_go_past() {
        let taken = |tag: u8| {
            let mut buffer = Buffer::new(20);
            feed(&mut buffer, &[tag, 0, 0, 0, 104]);
            feed(&mut buffer, &[b'k'; 100]);
            buffer.take_or_condense()
        };
        let (length, bound) = (100, 20);
        let tag = 'T';
        assert_eq!(
            taken(b'T'),
            Err(FramingError::TooLarge { tag, length, bound })
        );
        let tag = 'd';
        assert_eq!(
            taken(b'd'),
            Err(FramingError::NotCondensable { tag, length, bound })
        );
    }

    #[test]
    fn memory_grows_with_what_arrived_and_shrinks_again() {
        let bound = 3 << 20;
        let mut buffer = Buffer::new(bound);
        let mut message = b"d".to_vec();
        message.extend_from_slice(&i32::try_from(bound + 4).unwrap().to_be_bytes());
        feed(&mut buffer, &message);
        assert_eq!(buffer.take(), Ok(None));
        buffer.room();
        assert_eq!(
            buffer.bytes.len(),
            READ_BYTES,
            "a claimed length alone takes no memory"
        );
        feed(&mut buffer, &vec![7; bound]);
        let span = buffer.take().unwrap().unwrap();
        assert_eq!(buffer.body(span).len(), bound);
        assert!(buffer.bytes.len() <= bound + HEADER_BYTES + ROOM_BYTES_MIN);
        buffer.room();
        assert_eq!(buffer.bytes.len(), READ_BYTES);
    }
}
