//! Connections to the sink for reads: few, read-only, each statement bounded in time.

use std::time::Duration;

use axum::http::StatusCode;
use deadpool::managed::{Manager, Metrics, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use crate::config::settings::Gateway;
use crate::connection::{self, Connection, Database};
use crate::gateway::error::Error;
use crate::gateway::problem::Problem;
use crate::telemetry;

/// How long a read waits for a connection.
const WAIT: Duration = Duration::from_secs(2);

/// A value and its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Asks the sink; clones share its connections.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Reader {
    pool: Pool<Opener>,
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
        let settings = format!(
            "set statement_timeout = {}; set default_transaction_read_only = on",
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

impl Reader {
    /// Connects when it is first asked.
    pub(in crate::gateway) fn new(sink: &Connection, gateway: &Gateway) -> Result<Reader, Error> {
        let opener = Opener {
            connection: sink.clone(),
            statement_timeout: gateway.request_timeout,
        };
        let timeouts = Timeouts {
            wait: Some(WAIT),
            create: Some(gateway.request_timeout),
            recycle: None,
        };
        let pool = Pool::builder(opener)
            .max_size(gateway.read_connections)
            .timeouts(timeouts)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(Error::Reads)?;
        Ok(Reader { pool })
    }

    /// The one text that a statement returns.
    pub(super) async fn ask(
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
    pub(super) async fn ask_optional(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<String>, Problem> {
        let database = self.pool.get().await.map_err(|error| unreachable(&error))?;
        let rows = database.query_typed(sql, parameters).await;
        let rows = rows.map_err(|error| refused(&error))?;
        let first = rows.first().map(|row| row.try_get(0)).transpose();
        first.map_err(|error| refused(&error))
    }
}

fn unreachable(error: &PoolError<OpenError>) -> Problem {
    tracing::debug!(error = %telemetry::chain(error), "a read has no connection");
    let detail = match error {
        PoolError::Timeout(_) => "all connections for reads are taken (gateway.read_connections)",
        PoolError::Backend(_)
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(_) => "the sink does not answer",
    };
    Problem::unavailable("sink-unavailable", detail)
}

fn refused(error: &tokio_postgres::Error) -> Problem {
    if error.code() == Some(&SqlState::QUERY_CANCELED) {
        let detail = "the read took too long (gateway.request_timeout): ask for less";
        return Problem::unavailable("too-slow", detail);
    }
    // A refusal is this program's or the schema's fault; a lost connection is not.
    if error.as_db_error().is_some() {
        tracing::error!(error = %telemetry::chain(error), "the sink refused a read");
    }
    Problem::unavailable("sink-unavailable", "the sink does not answer")
}
