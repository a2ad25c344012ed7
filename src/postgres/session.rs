//! `Session`: one connection on our own protocol client, for simple queries, large results and the
//! start of replication.
//!
//! Every session renders values the same way, fixed by start-up options that no role or database
//! default can override: UTC, ISO dates and intervals, hexadecimal bytea, shortest round-trip floats.

use std::collections::HashMap;

use postgres_protocol::message::frontend;

use super::auth::Login;
use super::buffer::{Excess, Span};
use super::copy::Cursor;
use super::error::{Error, RowsError};
use super::stream::ReplicationStream;
use super::wire::Wire;
use crate::connection::{self, Attempts, Connection, Dialed, ServerError, quote_identifier};
use crate::event::Lsn;

/// Most bytes that [`Session::query`] collects.
const QUERY_BYTES_MAX: usize = 16 << 20;

/// How values look and that nobody interrupts us: the same for every session.
const SETTINGS: [(&str, &str); 9] = [
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "iso_8601"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("row_security", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];
/// A walsender gives up on a silent client after twelve seconds; with the lock on the slot freed soon
/// after, the next replicator need not wait longer. That is also why it needs no user timeout, which
/// would end the connection of a client that is alive and reads nothing for a while: bytes that wait
/// for its window count as unacknowledged (tcp(7), TCP_USER_TIMEOUT).
///
/// A warning may say that changes are left out: no default may keep it from us.
const REPLICATION_SETTINGS: [(&str, &str); 3] = [
    ("wal_sender_timeout", "12s"),
    ("tcp_user_timeout", "0"),
    ("client_min_messages", "warning"),
];
/// Its SQLSTATE.
pub(super) const OBJECT_NOT_IN_PREREQUISITE_STATE: &str = "55000";
/// What failed when the publication did not exist at the time of a change.
pub(super) const PUBLICATION_ABSENT: &str =
    "decoding changes: was the publication created after them, or dropped?";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// Queries.
    Ordinary,
    /// Replication commands and queries; the role needs `REPLICATION`, the server a free walsender.
    Replication,
}

/// A row of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowBody<'a> {
    /// The body of a DataRow: a count (i16), then for each column a length (i32, −1 for null) and its bytes.
    Whole(&'a [u8]),
    /// A row that was too large to be held, and has gone past: what was kept of it, in pgoutput's layout.
    Condensed(&'a [u8], Excess),
}

/// One connection to the source.
#[derive(Debug)]
pub struct Session {
    wire: Wire,
    user: String,
    parameters: HashMap<String, String>,
    backend_pid: i32,
    /// A result is being read: rows up to its end belong to it.
    selecting: bool,
}

impl Session {
    /// Logs in to the first host of `connection` that will do. `options` are server settings for the
    /// session, beside those that every session has.
    pub async fn connect(
        connection: &Connection,
        kind: SessionKind,
        options: &[(&str, &str)],
    ) -> Result<Session, Error> {
        let mut attempts = Attempts::new(connection);
        loop {
            let dialed = attempts.next().await?;
            let host = dialed.host.clone();
            let after = connection.connect_timeout();
            let login = Box::pin(Session::log_in(connection, dialed, kind, options));
            let login = tokio::time::timeout(after, login).await;
            let timed_out = || connection::Error::TimedOut { host, after }.into();
            let mut session = match login.unwrap_or_else(|_| Err(timed_out())) {
                Ok(session) => session,
                Err(Error::Connection(error)) => {
                    attempts.failed(error)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(question) = attempts.question() else {
                return Ok(session);
            };
            let answer = session.query(question).await?;
            let value = answer
                .first()
                .and_then(|row| row.first())
                .and_then(Option::as_deref);
            if attempts.suits(value) {
                return Ok(session);
            }
        }
    }

    async fn log_in(
        connection: &Connection,
        mut dialed: Dialed,
        kind: SessionKind,
        options: &[(&str, &str)],
    ) -> Result<Session, Error> {
        let end_point = dialed.end_point.take();
        let mut login = Login::new(connection, &dialed.host, dialed.private, end_point);
        let mut session = Session {
            wire: Wire::new(dialed),
            user: connection.user().to_owned(),
            parameters: HashMap::new(),
            backend_pid: 0,
            selecting: false,
        };
        session.start_up(connection, kind, options)?;
        session.wire.flush().await?;
        let mut admitted = false;
        loop {
            let span = session.wire.receive().await?;
            match span.tag {
                b'R' if !admitted => {
                    let body = session.wire.body(span).to_vec();
                    admitted = login.answer(&body, &mut session.wire.output)?;
                    session.wire.flush().await?;
                }
                b'S' if admitted => session.note_parameter(span)?,
                b'K' if admitted => session.note_key(span)?,
                b'Z' if admitted => return Ok(session),
                b'E' => return Err(session.refused(span, kind)),
                // The server would speak an older minor version of the protocol.
                b'v' => {}
                _ => return Err(session.wire.unexpected(span, "the login")),
            }
        }
    }

    fn start_up(
        &mut self,
        connection: &Connection,
        kind: SessionKind,
        options: &[(&str, &str)],
    ) -> Result<(), Error> {
        let keepalive = connection.keepalive().server_settings();
        let keepalive = keepalive
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let replication = kind == SessionKind::Replication;
        let sender = replication.then_some(REPLICATION_SETTINGS);
        let settings = keepalive
            .chain(SETTINGS)
            .chain(sender.into_iter().flatten())
            .chain(options.iter().copied());
        let options = connection.start_up_options(settings);
        let mut parameters = vec![
            ("user", connection.user()),
            ("database", connection.database()),
            ("application_name", connection.application_name()),
            ("client_encoding", "UTF8"),
            ("options", options.as_str()),
        ];
        if replication {
            parameters.push(("replication", "database"));
        }
        frontend::startup_message(parameters, &mut self.wire.output)
            .map_err(|error| self.invalid(&error))
    }

    fn note_parameter(&mut self, span: Span) -> Result<(), Error> {
        let mut cursor = Cursor::new(self.wire.body(span));
        let read = (cursor.string(), cursor.string());
        let (Some(name), Some(value)) = read else {
            return Err(self.malformed("a parameter"));
        };
        let (name, value) = (name.to_owned(), value.to_owned());
        self.parameters.insert(name, value);
        Ok(())
    }

    fn note_key(&mut self, span: Span) -> Result<(), Error> {
        let pid = Cursor::new(self.wire.body(span)).i32();
        self.backend_pid = pid.ok_or_else(|| self.malformed("the backend's key"))?;
        Ok(())
    }

    /// Sorts an ErrorResponse to the login.
    fn refused(&self, span: Span, kind: SessionKind) -> Error {
        let source = self.wire.server_error(span);
        let replication = kind == SessionKind::Replication;
        match source.code.as_str() {
            "42501" if replication => Error::ReplicationRight {
                user: self.user.clone(),
            },
            "53300" if replication && source.message.contains("max_wal_senders") => {
                Error::NoFreeSender
            }
            _ => {
                let (host, user) = (self.wire.host().to_owned(), self.user.clone());
                connection::Error::Refused { host, user, source }.into()
            }
        }
    }

    /// A server parameter reported at the login, `server_version` for instance.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The server's process for this session.
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// The role logged in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Largest message held, bytes; 16 MiB unless set.
    pub fn set_message_bytes_max(&mut self, bound: usize) {
        self.wire.set_message_bytes_max(bound);
    }

    /// Runs statements by the simple protocol and collects the rows of all of them, as text.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        self.send_query(sql).await?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut failure = None;
        loop {
            let span = self.wire.receive().await?;
            match span.tag {
                b'D' => {
                    let body = self.wire.body(span);
                    bytes += body.len();
                    if bytes > QUERY_BYTES_MAX {
                        return Err(Error::ResultTooLarge {
                            bound: QUERY_BYTES_MAX,
                        });
                    }
                    rows.push(text_row(body).ok_or_else(|| self.malformed("a row"))?);
                }
                b'E' => failure = Some(self.wire.server_error(span)),
                b'Z' => break,
                b'T' | b'C' | b'I' => {}
                b'S' => self.note_parameter(span)?,
                _ => return Err(self.wire.unexpected(span, "a query")),
            }
        }
        failure.map_or(Ok(rows), |source| {
            Err(Error::Server {
                action: "running a query",
                source,
            })
        })
    }

    /// Begins a query whose rows [`Session::next_rows`] hands over as they arrive.
    pub async fn select(&mut self, sql: &str) -> Result<(), Error> {
        self.send_query(sql).await?;
        loop {
            let span = self.wire.receive().await?;
            match span.tag {
                b'T' => {
                    self.selecting = true;
                    return Ok(());
                }
                b'S' => self.note_parameter(span)?,
                b'E' => return Err(self.end_of_query(span).await),
                _ => return Err(self.wire.unexpected(span, "a select")),
            }
        }
    }

    /// Hands over every row that has arrived, and waits for some when there are none. `false`: that was
    /// the last of the result. Between calls at most one read buffer waits.
    pub async fn next_rows<E: std::error::Error + 'static>(
        &mut self,
        mut each: impl FnMut(RowBody<'_>) -> Result<(), E>,
    ) -> Result<bool, RowsError<E>> {
        let mut handed_over = false;
        while self.selecting {
            let Some(span) = self.wire.take_or_condense()? else {
                if handed_over {
                    return Ok(true);
                }
                self.wire.fill().await?;
                continue;
            };
            match span.tag {
                b'D' => {
                    let body = self.wire.body(span);
                    let row = match self.wire.excess(span) {
                        None => RowBody::Whole(body),
                        Some(excess) => RowBody::Condensed(body, excess),
                    };
                    each(row).map_err(RowsError::Row)?;
                    handed_over = true;
                }
                // Notices and notifications may come at any time.
                b'C' | b'N' | b'A' => {}
                b'S' => self.note_parameter(span)?,
                b'Z' => self.selecting = false,
                b'E' => {
                    self.selecting = false;
                    return Err(self.end_of_query(span).await.into());
                }
                _ => return Err(self.wire.unexpected(span, "a select's rows").into()),
            }
        }
        Ok(false)
    }

    /// Reads up to the end of a failed query, so that the session can be used again.
    async fn end_of_query(&mut self, error: Span) -> Error {
        let source = self.wire.server_error(error);
        loop {
            match self.wire.receive().await {
                Ok(span) if span.tag == b'Z' => {
                    return Error::Server {
                        action: "running a query",
                        source,
                    };
                }
                Ok(_) => {}
                // The session ended with it; the first error is the cause.
                Err(_) => {
                    return Error::Server {
                        action: "running a query",
                        source,
                    };
                }
            }
        }
    }

    async fn send_query(&mut self, sql: &str) -> Result<(), Error> {
        if self.selecting {
            return Err(self.malformed("a query while rows of another are unread"));
        }
        frontend::query(sql, &mut self.wire.output).map_err(|error| self.invalid(&error))?;
        self.wire.flush().await
    }

    /// Starts streaming from the slot at `start`. `options` go to the output plugin.
    pub async fn start_replication(
        mut self,
        slot: &str,
        start: Lsn,
        options: &[(&str, &str)],
    ) -> Result<ReplicationStream, Error> {
        let options: Vec<String> = options
            .iter()
            .map(|(name, value)| {
                format!("{} {}", quote_identifier(name), replication_literal(value))
            })
            .collect();
        let slot_name = quote_identifier(slot);
        let options = options.join(", ");
        self.send_query(&format!(
            "START_REPLICATION SLOT {slot_name} LOGICAL {start} ({options})"
        ))
        .await?;
        loop {
            let span = self.wire.receive().await?;
            match span.tag {
                b'W' => return Ok(ReplicationStream::new(self.wire, slot.to_owned())),
                b'S' => self.note_parameter(span)?,
                b'E' => return Err(slot_error(slot, self.wire.server_error(span))),
                _ => return Err(self.wire.unexpected(span, "the start of replication")),
            }
        }
    }

    fn malformed(&self, what: &str) -> Error {
        Error::Malformed {
            host: self.wire.host().to_owned(),
            what: what.to_owned(),
        }
    }

    fn invalid(&self, error: &std::io::Error) -> Error {
        self.malformed(&error.to_string())
    }
}

/// A literal of the replication grammar, which knows no escapes but the doubled quote.
pub(super) fn replication_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What an error about a slot means.
pub(super) fn slot_error(slot: &str, source: ServerError) -> Error {
    let slot = slot.to_owned();
    match source.code.as_str() {
        // object_in_use: "… is active for PID 1234"
        "55006" => {
            let pid = source
                .message
                .rsplit(' ')
                .next()
                .and_then(|word| word.parse().ok());
            Error::SlotBusy { slot, pid }
        }
        "42704" if source.message.starts_with("publication") => Error::Server {
            action: PUBLICATION_ABSENT,
            source,
        },
        "42704" => Error::SlotMissing { slot },
        "42710" => Error::SlotExists { slot },
        OBJECT_NOT_IN_PREREQUISITE_STATE
            // Up to 15, from 16, and from 18 on.
            if source.message.contains("cannot read from logical")
                || source.message.contains("can no longer")
                || source.message.contains("invalidated") =>
        {
            Error::SlotLost {
                slot,
                why: source.message,
                confirmed: None,
            }
        }
        OBJECT_NOT_IN_PREREQUISITE_STATE if source.message.contains("wal_level") => {
            Error::WalLevel {
                found: "replica".to_owned(),
            }
        }
        OBJECT_NOT_IN_PREREQUISITE_STATE if source.message.contains("slot") => {
            Error::SlotUnusable {
                slot,
                why: source.message,
            }
        }
        "53400" if source.message.contains("replication slots") => Error::NoFreeSlot,
        _ => Error::Server {
            action: "replicating",
            source,
        },
    }
}

fn text_row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let mut cursor = Cursor::new(body);
    let count = usize::try_from(cursor.i16()?).ok()?;
    let mut row = Vec::new();
    for _ in 0..count {
        let column = match cursor.i32()? {
            -1 => None,
            length => {
                let bytes = cursor.take(usize::try_from(length).ok()?)?;
                Some(std::str::from_utf8(bytes).ok()?.to_owned())
            }
        };
        row.push(column);
    }
    cursor.rest().is_empty().then_some(row)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
