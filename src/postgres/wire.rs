//! `Wire`: a socket with the read buffer before it and the bytes to be written behind it.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::buffer::{Buffer, Excess, FramingError, Span};
use super::error::Error;
use crate::connection::{Dialed, ServerError, Socket};
use crate::event::Lsn;

/// Largest message held, unless the owner sets another bound: a row with its old image.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// A connection to one server, speaking messages.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    host: String,
    input: Buffer,
    /// Encoded messages that [`Wire::flush`] will write.
    pub(super) output: BytesMut,
}

impl Wire {
    pub(super) fn new(dialed: Dialed) -> Self {
        Wire {
            socket: dialed.socket,
            host: dialed.host,
            input: Buffer::new(MESSAGE_BYTES_MAX),
            output: BytesMut::with_capacity(1024),
        }
    }

    /// The host as in the URL.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn set_message_bytes_max(&mut self, bound: usize) {
        self.input.set_message_bytes_max(bound);
    }

    /// Reads what there is, and waits when there is nothing. Cancel-safe. Returns how many bytes came.
    pub(super) async fn fill(&mut self) -> Result<usize, Error> {
        let room = self.input.room();
        let count = self
            .socket
            .read(room)
            .await
            .map_err(|source| lost(&self.host, source))?;
        if count == 0 {
            let source = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(lost(&self.host, source));
        }
        self.input.filled(count);
        Ok(count)
    }

    /// The next complete message in the buffer, without reading. Notices and notifications, which may
    /// come at any time, are passed over.
    pub(super) fn take(&mut self) -> Result<Option<Span>, Error> {
        loop {
            match self.take_any()? {
                Some(span) if matches!(span.tag, b'N' | b'A') => {}
                found => return Ok(found),
            }
        }
    }

    /// As [`Wire::take`], with notices and notifications.
    pub(super) fn take_any(&mut self) -> Result<Option<Span>, Error> {
        self.input.take().map_err(|error| self.framing(error))
    }

    /// As [`Wire::take_any`], where changes and rows that are too large go past, see [`Wire::excess`].
    #[inline]
    pub(super) fn take_or_condense(&mut self) -> Result<Option<Span>, Error> {
        let taken = self.input.take_or_condense();
        taken.map_err(|error| self.framing(error))
    }

    /// How large a message was that has gone past.
    #[inline]
    pub(super) fn excess(&self, span: Span) -> Option<Excess> {
        self.input.excess(span)
    }

    /// The body of a message just taken.
    pub(super) fn body(&self, span: Span) -> &[u8] {
        self.input.body(span)
    }

    /// The next message, read if need be. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<Span, Error> {
        loop {
            if let Some(span) = self.take()? {
                return Ok(span);
            }
            self.fill().await?;
        }
    }

    /// Writes the output. Cancel-safe: what was written is gone from it, the rest is kept.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        while !self.output.is_empty() {
            let written = self.socket.write_buf(&mut self.output).await;
            if written.map_err(|source| lost(&self.host, source))? == 0 {
                return Err(lost(&self.host, io::Error::from(io::ErrorKind::WriteZero)));
            }
        }
        self.socket
            .flush()
            .await
            .map_err(|source| lost(&self.host, source))
    }

    /// The error that an ErrorResponse carries.
    pub(super) fn server_error(&self, span: Span) -> ServerError {
        ServerError::from_fields(self.body(span))
    }

    /// A message that has no place here.
    pub(super) fn unexpected(&self, span: Span, state: &'static str) -> Error {
        Error::Unexpected {
            host: self.host.clone(),
            tag: char::from(span.tag),
            state,
        }
    }

    fn framing(&self, error: FramingError) -> Error {
        match error {
            FramingError::Length { .. } => Error::Malformed {
                host: self.host.clone(),
                what: error.to_string(),
            },
            FramingError::TooLarge { length, bound, .. }
            | FramingError::NotCondensable { length, bound, .. } => Error::MessageTooLarge {
                length,
                bound,
                lsn: Lsn::ZERO,
            },
        }
    }
}

fn lost(host: &str, source: io::Error) -> Error {
    crate::connection::Error::Lost {
        host: host.to_owned(),
        source: source.into(),
    }
    .into()
}
