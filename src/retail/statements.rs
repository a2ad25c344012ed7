//! A connection to the sink with its prepared statements, each prepared when it is first used.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row, Statement, Transaction};

use super::error::Error;
use crate::connection::{self, Connection, Database};

/// The cache. It belongs to one connection: a new connection starts with an empty one.
#[derive(Debug, Default)]
pub struct Statements {
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

impl Statements {
    /// The prepared form of `sql` on `client`, which must be on this cache's connection.
    pub async fn get(
        &self,
        client: &impl GenericClient,
        sql: &'static str,
    ) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.lookup(sql) {
            return Ok(statement);
        }
        let statement = client.prepare(sql).await?;
        self.prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(sql, statement.clone());
        Ok(statement)
    }

    /// Runs `sql` on `client` and returns its rows; `doing` says what for, should it fail.
    pub(super) async fn query(
        &self,
        client: &impl GenericClient,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let query = async {
            let statement = self.get(client, sql).await?;
            client.query(&statement, parameters).await
        };
        query.await.map_err(|error| Error::sink(doing, error))
    }

    /// Runs `sql` on `client` and says how many rows it concerned.
    pub(super) async fn execute(
        &self,
        client: &impl GenericClient,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let execute = async {
            let statement = self.get(client, sql).await?;
            client.execute(&statement, parameters).await
        };
        execute.await.map_err(|error| Error::sink(doing, error))
    }

    fn lookup(&self, sql: &'static str) -> Option<Statement> {
        self.prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(sql)
            .cloned()
    }
}

/// A connection and its statements.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) database: Database,
    statements: Statements,
    planned_at: Instant,
}

/// Statements are short, and are taken for long ones where the planner cannot count: compiling one takes a
/// second, and running it a hundredth of that. Nor is one worth another plan for its parameters, of which the
/// planner only sees how many there are: keys are looked up, one by one, whatever they are.
const SETTINGS: &str = "set jit = off; set plan_cache_mode = force_generic_plan";

/// How long a plan is kept. One that was made for a table of a few rows reads all of it, or takes whichever index,
/// and would go on so until the server looks at the table by itself, a minute or more later.
const PLANS_KEPT: Duration = Duration::from_secs(10);

impl Session {
    /// Logs in.
    pub(super) async fn connect(connection: &Connection) -> Result<Session, Error> {
        let database = connection::connect(connection)
            .await
            .map_err(Error::Connect)?;
        database
            .batch_execute(SETTINGS)
            .await
            .map_err(|error| Error::sink("set up the session", error))?;
        Ok(Session {
            database,
            statements: Statements::default(),
            planned_at: Instant::now(),
        })
    }

    /// As [`Statements::query`], outside of a transaction.
    pub(super) async fn query(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.statements
            .query(&*self.database, doing, sql, parameters)
            .await
    }

    /// As [`Statements::execute`], outside of a transaction.
    pub(super) async fn execute(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        self.statements
            .execute(&*self.database, doing, sql, parameters)
            .await
    }

    /// Begins a transaction; its statements are the connection's.
    pub(super) async fn begin(&mut self) -> Result<(Transaction<'_>, &Statements), Error> {
        if self.planned_at.elapsed() > PLANS_KEPT {
            let discarded = self.database.batch_execute("discard plans").await;
            discarded.map_err(|error| Error::sink("discard old plans", error))?;
            self.planned_at = Instant::now();
        }
        let begun = self.database.transaction().await;
        let transaction = begun.map_err(|error| Error::sink("begin", error))?;
        Ok((transaction, &self.statements))
    }

    /// The statements, to be used on this connection alone.
    pub(super) fn statements(&self) -> &Statements {
        &self.statements
    }
}

/// Commits.
pub(super) async fn commit(transaction: Transaction<'_>) -> Result<(), Error> {
    let committed = transaction.commit().await;
    committed.map_err(|error| Error::sink("commit", error))
}

/// One column of a row, by name.
pub(super) fn column<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    name: &'static str,
) -> Result<T, Error> {
    row.try_get(name)
        .map_err(|error| Error::sink("read a column", error))
}
