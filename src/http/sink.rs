//! Connections to the sink for reads: few, read-only, each statement bounded in time.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use deadpool::managed::{
    BuildError, Manager, Metrics, Pool, PoolError, RecycleError, RecycleResult, Timeouts,
};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::problem::Problem;
use crate::connection::{self, Connection, Database};
use crate::telemetry;

/// How long a read waits for a connection.
const WAIT: Duration = Duration::from_secs(2);

/// A value and its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// An answer that the sink has written.
pub(crate) fn json(body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// How many connections there are, and how long a statement may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SinkLimits {
    /// The setting that bounds the connections, for people.
    pub(crate) connections_key: &'static str,
    /// Connections.
    pub(crate) connections: usize,
    /// The setting that bounds a statement's time, for people.
    pub(crate) timeout_key: &'static str,
    /// How long a statement may take.
    pub(crate) timeout: Duration,
}

/// Asks the sink; clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct SinkReader {
    pool: Pool<Opener>,
    limits: SinkLimits,
}

#[derive(Debug)]
struct Opener {
    connection: Connection,
    statement_timeout: Duration,
}

/// A connection cannot be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("cannot connect to the sink database")]
    Connect(#[source] connection::Error),
    #[error("the sink refused its settings")]
    Settings(#[source] tokio_postgres::Error),
}

impl Manager for Opener {
    type Type = Database;
    type Error = OpenError;

    async fn create(&self) -> Result<Database, OpenError> {
        let opened = connection::connect(&self.connection).await;
        let database = opened.map_err(OpenError::Connect)?;
        // Compiling a statement takes seconds, and a page of rows milliseconds.
        let settings = format!(
            "set statement_timeout = {}; set default_transaction_read_only = on; set jit = off; \
             set intervalstyle = 'postgres'",
            self.statement_timeout.as_millis()
        );
        let set = database.batch_execute(&settings).await;
        set.map_err(OpenError::Settings)?;
        Ok(database)
    }

    async fn recycle(&self, database: &mut Database, _: &Metrics) -> RecycleResult<OpenError> {
        if database.is_closed() {
            return Err(RecycleError::message("it is closed"));
        }
        Ok(())
    }
}

impl SinkReader {
    /// Connects when it is first asked.
    pub(crate) fn new(sink: &Connection, limits: SinkLimits) -> Result<SinkReader, BuildError> {
        let opener = Opener {
            connection: sink.clone(),
            statement_timeout: limits.timeout,
        };
        let timeouts = Timeouts {
            wait: Some(WAIT),
            create: Some(limits.timeout),
            recycle: None,
        };
        let pool = Pool::builder(opener)
            .max_size(limits.connections)
            .timeouts(timeouts)
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        Ok(SinkReader { pool, limits })
    }

    /// The one text that a statement returns.
    pub(crate) async fn ask(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<String, Problem> {
        let text = self.ask_optional(sql, parameters).await?;
        text.ok_or_else(|| {
            tracing::error!("a read has returned nothing");
            let detail = "the read met a bug, which the log tells of";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", detail)
        })
    }

    /// The one text that a statement returns, or none.
    pub(crate) async fn ask_optional(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<String>, Problem> {
        let database = self.pool.get().await;
        let database = database.map_err(|error| self.unreachable(&error))?;
        let rows = database.query_typed(sql, parameters).await;
        let rows = rows.map_err(|error| self.refused(&error))?;
        let first = rows.first().map(|row| row.try_get(0)).transpose();
        first.map_err(|error| self.refused(&error))
    }

    fn unreachable(&self, error: &PoolError<OpenError>) -> Problem {
        tracing::debug!(error = %telemetry::chain(error), "a read has no connection");
        let detail = match error {
            PoolError::Timeout(_) => format!(
                "all connections for reads are taken ({})",
                self.limits.connections_key
            ),
            PoolError::Backend(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => "the sink does not answer".to_owned(),
        };
        Problem::unavailable("sink-unavailable", detail)
    }

    fn refused(&self, error: &tokio_postgres::Error) -> Problem {
        if error.code() == Some(&SqlState::QUERY_CANCELED) {
            let key = self.limits.timeout_key;
            let detail = format!("the read took too long ({key}): ask for less");
            return Problem::unavailable("too-slow", detail);
        }
        // A refusal is this program's or the schema's fault; a lost connection is not.
        if error.as_db_error().is_some() {
            tracing::error!(error = %telemetry::chain(error), "the sink refused a read");
        }
        Problem::unavailable("sink-unavailable", "the sink does not answer")
    }
}
