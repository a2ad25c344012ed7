//! Prepared statements of one sink connection, each prepared when it is first used.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row, Statement};

use super::error::Error;

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

/// One column of a row, by name.
pub(super) fn column<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    name: &'static str,
) -> Result<T, Error> {
    row.try_get(name)
        .map_err(|error| Error::sink("read a column", error))
}
