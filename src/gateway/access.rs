//! Who may do what: the valid keys, read every second, and how much each may do in a second.
//!
//! No request asks the sink: all keys are in memory, so a flood of unknown ones costs a hash each, and a key
//! that was made or revoked counts a second later. While the sink does not answer, the keys last read hold for
//! [`TRUSTED_FOR`]; nobody can revoke one in that time either.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio_util::sync::CancellationToken;

use super::key::{KeyId, Presented, Scope};
use super::key_table::{self, KeyError, ValidKey};
use crate::config::settings::{Gateway, Sink};
use crate::connection::{self, Database};
use crate::http::Problem;
use crate::telemetry;

/// How often the keys are read.
const READ_INTERVAL: Duration = Duration::from_secs(1);
/// How long a read of them may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the keys last read hold while the sink does not answer.
const TRUSTED_FOR: Duration = Duration::from_mins(5);

type Pace = DefaultKeyedRateLimiter<KeyId>;

/// The keys and their paces. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Access(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sink: Sink,
    known: RwLock<Known>,
    events: Pace,
    reads: Pace,
}

#[derive(Debug)]
struct Known {
    keys: HashMap<KeyId, ValidKey>,
    read_at: Instant,
}

/// Somebody whose key was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller(KeyId);

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Access {
    /// Reads the keys for the first time.
    pub(crate) async fn open(sink: &Sink, gateway: &Gateway) -> Result<Access, KeyError> {
        let mut database = None;
        let known = read(sink, &mut database).await?;
        let events = Quota::per_second(gateway.events_per_second);
        Ok(Access(Arc::new(Shared {
            sink: sink.clone(),
            known: RwLock::new(known),
            events: RateLimiter::keyed(events.allow_burst(gateway.events_burst)),
            reads: RateLimiter::keyed(Quota::per_second(gateway.reads_per_second)),
        })))
    }

    /// Reads the keys again and again, until `stop`.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let mut database = None;
        let mut failed = false;
        let mut ticks = tokio::time::interval(READ_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let result = tokio::time::timeout(READ_TIMEOUT, read(&self.0.sink, &mut database));
            match result.await {
                Ok(Ok(known)) => {
                    *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = known;
                    // Paces that are at rest need not be kept.
                    self.0.events.retain_recent();
                    self.0.reads.retain_recent();
                    failed = false;
                }
                Ok(Err(error)) => {
                    database = None;
                    if !std::mem::replace(&mut failed, true) {
                        let cause = telemetry::chain(&error);
                        tracing::warn!(%cause, for_at_most = ?TRUSTED_FOR, "the keys cannot be read; those known hold");
                    }
                }
                // The connection may be in the middle of an answer.
                Err(_) => database = None,
            }
        }
    }

    /// Whose key comes with the request, if it may do this.
    pub(crate) fn admit(&self, headers: &HeaderMap, scope: Scope) -> Result<Caller, Problem> {
        let presented = bearer(headers)?;
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.read_at.elapsed() > TRUSTED_FOR {
            let detail = "the keys have not been read for too long: the sink does not answer";
            return Err(Problem::unavailable("keys-unknown", detail));
        }
        let key = known.keys.get(&presented.id);
        let key = key.filter(|key| key.hash.is(&presented.hash));
        let Some(key) = key else {
            return Err(unauthorized(
                "the key is unknown or revoked",
                ", error=\"invalid_token\"",
            ));
        };
        if !key.scopes.contains(&scope) {
            let name = scope.name();
            let detail = format!("the key lacks the scope {name}");
            let challenge = format!(
                "Bearer realm=\"tidewater\", error=\"insufficient_scope\", scope=\"{name}\""
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
                .with("scope", name.into())
                .challenge(&challenge));
        }
        Ok(Caller(key.id))
    }

    /// Counts so many events of this caller, or says when there will be room for them.
    pub(crate) fn count_events(&self, caller: Caller, events: NonZeroU32) -> Result<(), Problem> {
        count(&self.0.events, caller, events, "gateway.events_per_second")
    }

    /// Counts a read of this caller.
    pub(crate) fn count_read(&self, caller: Caller) -> Result<(), Problem> {
        count(
            &self.0.reads,
            caller,
            NonZeroU32::MIN,
            "gateway.reads_per_second",
        )
    }
}

fn count(pace: &Pace, caller: Caller, number: NonZeroU32, setting: &str) -> Result<(), Problem> {
    let too_many = |wait| {
        let detail = format!("the key has used up its rate ({setting}): send it again later");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail).retry_after(wait)
    };
    match pace.check_key_n(&caller.0, number) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(not_until)) => Err(too_many(not_until.wait_time_from(pace.clock().now()))),
        // A request has at most as many events as may come at once: the configuration says so.
        Err(_) => Err(too_many(Duration::from_secs(1))),
    }
}

async fn read(sink: &Sink, database: &mut Option<Database>) -> Result<Known, KeyError> {
    let read_at = Instant::now();
    let client = match database {
        Some(client) => client,
        None => database.insert(
            connection::connect(&sink.connection)
                .await
                .map_err(KeyError::Connect)?,
        ),
    };
    let keys = key_table::valid(client).await?;
    Ok(Known {
        keys: keys.into_iter().map(|key| (key.id, key)).collect(),
        read_at,
    })
}

/// The one `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Result<Presented, Problem> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (given.next(), given.next()) else {
        return Err(unauthorized(
            "send one header, Authorization: Bearer KEY",
            "",
        ));
    };
    let token = header.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.and_then(Presented::read).ok_or_else(|| {
        unauthorized(
            "the header Authorization holds no key of this gateway",
            ", error=\"invalid_token\"",
        )
    })
}

fn unauthorized(detail: &str, more: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .challenge(&format!("Bearer realm=\"tidewater\"{more}"))
}
