//! `Cursor`: reads big-endian numbers and strings off a slice, or says at which offset it could not.

/// The bytes are not a message. A server that speaks the protocol never sends such bytes, so this is
/// a bug on one side or a damaged connection that TLS did not protect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A field reaches past the end.
    #[error("malformed replication message: {field} ends after the message does, at byte {offset}")]
    Short {
        /// What was being read.
        field: &'static str,
        /// Where it begins.
        offset: usize,
    },
    /// Bytes are left over.
    #[error("malformed replication message: {count} bytes left over at byte {offset}")]
    Leftover {
        /// How many.
        count: usize,
        /// Where they begin.
        offset: usize,
    },
    /// A tag or a field has a value that the protocol does not know.
    #[error("malformed replication message: unknown {field} 0x{value:02x} at byte {offset}")]
    Unknown {
        /// What was being read.
        field: &'static str,
        /// What was found.
        value: u64,
        /// Where it lies.
        offset: usize,
    },
    /// A name is not UTF-8 although the session's encoding is.
    #[error("malformed replication message: {field} at byte {offset} is not utf-8")]
    NotUtf8 {
        /// What was being read.
        field: &'static str,
        /// Where it begins.
        offset: usize,
    },
}

impl ParseError {
    /// The exit code of a process that ends because of it.
    pub fn exit_code(&self) -> crate::exit::ExitCode {
        crate::exit::ExitCode::Failure
    }

    /// Never: the same bytes would be malformed again.
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// A place in a message.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor {
            rest: bytes,
            length: bytes.len(),
        }
    }

    pub(super) fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn bytes(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], ParseError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(ParseError::Short {
                field,
                offset: self.offset(),
            });
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ParseError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(ParseError::Short {
                field,
                offset: self.offset(),
            });
        };
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, ParseError> {
        self.array(field).map(|[byte]| byte)
    }

    /// A count that the protocol sends as a signed 16-bit number.
    #[inline]
    pub(super) fn count16(&mut self, field: &'static str) -> Result<u16, ParseError> {
        let offset = self.offset();
        let value = u16::from_be_bytes(self.array(field)?);
        if value > i16::MAX.unsigned_abs() {
            return Err(ParseError::Unknown {
                field,
                value: value.into(),
                offset,
            });
        }
        Ok(value)
    }

    #[inline]
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, ParseError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// A length or count that the protocol sends as a signed 32-bit number.
    #[inline]
    pub(super) fn count32(&mut self, field: &'static str) -> Result<usize, ParseError> {
        let offset = self.offset();
        let value = self.u32(field)?;
        match usize::try_from(value) {
            Ok(count) if value <= i32::MAX.unsigned_abs() => Ok(count),
            _ => Err(ParseError::Unknown {
                field,
                value: value.into(),
                offset,
            }),
        }
    }

    #[inline]
    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, ParseError> {
        self.array(field).map(i32::from_be_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, ParseError> {
        self.array(field).map(u64::from_be_bytes)
    }

    #[inline]
    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, ParseError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// Text up to a zero byte, which is skipped.
    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, ParseError> {
        let offset = self.offset();
        let Some(end) = memchr::memchr(0, self.rest) else {
            return Err(ParseError::Short { field, offset });
        };
        let text = self.bytes(end, field)?;
        self.u8(field)?;
        std::str::from_utf8(text).map_err(|_| ParseError::NotUtf8 { field, offset })
    }

    /// Refuses leftover bytes.
    #[inline]
    pub(super) fn finish(self) -> Result<(), ParseError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(ParseError::Leftover {
                count,
                offset: self.offset(),
            }),
        }
    }
}
