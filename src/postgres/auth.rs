//! The login's question and answer: clear text over a private channel, md5, SCRAM-SHA-256 and -PLUS.
//!
//! The one subtle rule: after a SCRAM exchange was begun, `AuthenticationOk` counts only once the server
//! has proved that it knows the password too; with `channel_binding=require` only once it was bound.

use std::io;

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use super::copy::Cursor;
use crate::connection::{ChannelBinding, Connection, Error};

/// The state of one login.
pub(super) struct Login<'a> {
    connection: &'a Connection,
    host: String,
    /// Nobody can listen in on the channel.
    private: bool,
    /// `tls-server-end-point` of the channel.
    end_point: Option<Vec<u8>>,
    step: Step,
}

enum Step {
    Begin,
    /// A password went out; the server decides.
    Answered,
    /// SCRAM is under way; the flag: bound to the channel.
    Scram(Box<ScramSha256>, bool),
    /// The server proved itself; the flag: bound to the channel.
    Proved(bool),
}

impl<'a> Login<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        host: &str,
        private: bool,
        end_point: Option<Vec<u8>>,
    ) -> Self {
        Login {
            connection,
            host: host.to_owned(),
            private,
            end_point,
            step: Step::Begin,
        }
    }

    /// Answers one Authentication message by adding to `output`. `true`: the server lets us in.
    pub(super) fn answer(&mut self, body: &[u8], output: &mut BytesMut) -> Result<bool, Error> {
        let mut cursor = Cursor::new(body);
        let kind = cursor
            .i32()
            .ok_or_else(|| self.malformed("authentication request"))?;
        let step = std::mem::replace(&mut self.step, Step::Answered);
        match (kind, step) {
            (0, step) => return self.admitted(&step).map(|()| true),
            (3, Step::Begin) => self.clear_text(output)?,
            (5, Step::Begin) => self.md5(cursor, output)?,
            (10, Step::Begin) => self.begin_scram(cursor, output)?,
            (11, Step::Scram(mut scram, bound)) => {
                scram
                    .update(cursor.rest())
                    .map_err(|source| self.scram_failed(source))?;
                frontend::sasl_response(scram.message(), output)
                    .map_err(|source| self.scram_failed(source))?;
                self.step = Step::Scram(scram, bound);
            }
            (12, Step::Scram(mut scram, bound)) => {
                scram
                    .finish(cursor.rest())
                    .map_err(|source| self.scram_failed(source))?;
                self.step = Step::Proved(bound);
            }
            (3 | 5 | 10 | 11 | 12, _) => return Err(self.malformed("order of authentication")),
            (2 | 6 | 7 | 8 | 9, _) => return Err(Error::unknown_method(self.host.clone())),
            (_, _) => return Err(self.malformed("authentication request")),
        }
        Ok(false)
    }

    fn admitted(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Scram(..) => Err(self.malformed("end of the scram exchange")),
            Step::Proved(true) => Ok(()),
            Step::Begin | Step::Answered | Step::Proved(false) => self.unbound(),
        }
    }

    /// Fails where the channel had to be bound.
    fn unbound(&self) -> Result<(), Error> {
        if self.connection.channel_binding() != ChannelBinding::Require {
            return Ok(());
        }
        Err(Error::unbound(self.host.clone()))
    }

    fn password(&self) -> Result<&'a str, Error> {
        self.connection
            .password()
            .ok_or_else(|| Error::PasswordMissing {
                host: self.host.clone(),
                user: self.connection.user().to_owned(),
            })
    }

    fn clear_text(&self, output: &mut BytesMut) -> Result<(), Error> {
        self.unbound()?;
        if !self.private {
            return Err(self.method(
                "the password in clear text over an open channel".to_owned(),
                "use tls (sslmode=require or stricter), or scram-sha-256 in pg_hba.conf",
            ));
        }
        let password = self.password()?;
        frontend::password_message(password.as_bytes(), output)
            .map_err(|source| self.scram_failed(source))
    }

    fn md5(&self, mut cursor: Cursor<'_>, output: &mut BytesMut) -> Result<(), Error> {
        self.unbound()?;
        let salt = cursor
            .take(4)
            .and_then(|salt| <[u8; 4]>::try_from(salt).ok());
        let salt = salt.ok_or_else(|| self.malformed("md5 salt"))?;
        let user = self.connection.user().as_bytes();
        let hash = md5_hash(user, self.password()?.as_bytes(), salt);
        frontend::password_message(hash.as_bytes(), output)
            .map_err(|source| self.scram_failed(source))
    }

    fn begin_scram(&mut self, mut cursor: Cursor<'_>, output: &mut BytesMut) -> Result<(), Error> {
        let (mut plain, mut plus) = (false, false);
        while let Some(mechanism) = cursor.string().filter(|name| !name.is_empty()) {
            plain |= mechanism == SCRAM_SHA_256;
            plus |= mechanism == SCRAM_SHA_256_PLUS;
        }
        let wanted = self.connection.channel_binding() != ChannelBinding::Disable;
        let bound = match (&self.end_point, wanted, plus) {
            (Some(hash), true, true) => Some(hash.clone()),
            _ => None,
        };
        if bound.is_none() {
            self.unbound()?;
            if !plain {
                let method = "a sasl mechanism unknown here".to_owned();
                return Err(self.method(method, "store a scram-sha-256 password for this role"));
            }
        }
        let password = self.password()?;
        let is_bound = bound.is_some();
        let (mechanism, binding) = match bound {
            Some(hash) => (
                SCRAM_SHA_256_PLUS,
                sasl::ChannelBinding::tls_server_end_point(hash),
            ),
            // "We could have, but you did not offer": lets the server notice a third party that
            // removed its offer.
            None if wanted && self.end_point.is_some() => {
                (SCRAM_SHA_256, sasl::ChannelBinding::unrequested())
            }
            None => (SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
        };
        let scram = ScramSha256::new(password.as_bytes(), binding);
        frontend::sasl_initial_response(mechanism, scram.message(), output)
            .map_err(|source| self.scram_failed(source))?;
        self.step = Step::Scram(Box::new(scram), is_bound);
        Ok(())
    }

    fn method(&self, method: String, remedy: &'static str) -> Error {
        Error::Method {
            host: self.host.clone(),
            method,
            remedy,
        }
    }

    fn scram_failed(&self, source: io::Error) -> Error {
        Error::Scram {
            host: self.host.clone(),
            source,
        }
    }

    fn malformed(&self, what: &'static str) -> Error {
        let source = io::Error::new(io::ErrorKind::InvalidData, what);
        Error::Scram {
            host: self.host.clone(),
            source,
        }
    }
}
