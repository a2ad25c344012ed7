//! Which host is next: the URL's hosts in order, until one lets us in and is of the wanted kind.
//!
//! As in libpq, a host that refuses the login ends the search (the others would refuse too, and a
//! wrong password tried everywhere locks accounts); one that can't be reached, is starting up or is
//! of the wrong kind does not.

use std::fmt;

use super::socket::{Dialed, dial};
use super::{Connection, Error, Host, TargetSession};

/// The search for a host; see [`Attempts::next`].
pub(crate) struct Attempts<'a> {
    connection: &'a Connection,
    /// Hosts still to try, last first; the flag: any kind will do.
    remaining: Vec<(&'a Host, TargetSession)>,
    current: TargetSession,
    failure: Option<Error>,
}

impl<'a> Attempts<'a> {
    /// All hosts of `connection`; twice for `prefer-standby`, the second time content with any.
    pub(crate) fn new(connection: &'a Connection) -> Self {
        let passes: &[TargetSession] = match connection.target {
            TargetSession::PreferStandby => &[TargetSession::Any, TargetSession::Standby],
            TargetSession::Any => &[TargetSession::Any],
            TargetSession::ReadWrite => &[TargetSession::ReadWrite],
            TargetSession::ReadOnly => &[TargetSession::ReadOnly],
            TargetSession::Primary => &[TargetSession::Primary],
            TargetSession::Standby => &[TargetSession::Standby],
        };
        let hosts = connection.hosts.iter().rev();
        let remaining = passes
            .iter()
            .flat_map(|pass| hosts.clone().map(|host| (host, *pass)));
        let remaining = remaining.collect();
        Attempts {
            connection,
            remaining,
            current: TargetSession::Any,
            failure: None,
        }
    }

    /// Dials the next host that can be reached; an error when there is none left.
    pub(crate) async fn next(&mut self) -> Result<Dialed, Error> {
        while let Some((host, target)) = self.remaining.pop() {
            self.current = target;
            match dial(self.connection, host).await {
                Ok(dialed) => return Ok(dialed),
                Err(error) => self.failed(error)?,
            }
        }
        Err(self.failure.take().unwrap_or_else(|| Error::NoneSuitable {
            hosts: self.connection.to_string(),
            target: self.connection.target,
        }))
    }

    /// Notes why the current host won't do; gives the error back when no other may be tried.
    pub(crate) fn failed(&mut self, error: Error) -> Result<(), Error> {
        if error.is_refusal() || self.remaining.is_empty() {
            return Err(error);
        }
        tracing::debug!(error = %error, "trying the next host");
        self.failure = Some(error);
        Ok(())
    }

    /// The query whose single value tells whether the current host is of the wanted kind.
    pub(crate) fn question(&self) -> Option<&'static str> {
        match self.current {
            TargetSession::Any => None,
            TargetSession::ReadWrite | TargetSession::ReadOnly => {
                Some("show transaction_read_only")
            }
            TargetSession::Primary | TargetSession::Standby | TargetSession::PreferStandby => {
                Some("select case when pg_is_in_recovery() then 'on' else 'off' end")
            }
        }
    }

    /// Whether that answer will do.
    pub(crate) fn suits(&mut self, answer: Option<&str>) -> bool {
        let suits = match self.current {
            TargetSession::Any | TargetSession::PreferStandby => true,
            TargetSession::ReadWrite | TargetSession::Primary => answer == Some("off"),
            TargetSession::ReadOnly | TargetSession::Standby => answer == Some("on"),
        };
        if !suits {
            self.failure = None;
        }
        suits
    }
}

impl fmt::Display for TargetSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TargetSession::Any => "any",
            TargetSession::ReadWrite => "read-write",
            TargetSession::ReadOnly => "read-only",
            TargetSession::Primary => "primary",
            TargetSession::Standby => "standby",
            TargetSession::PreferStandby => "prefer-standby",
        })
    }
}
