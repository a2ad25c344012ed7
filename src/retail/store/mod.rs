//! The sink in SQL: images and aggregates of whole batches, read and written by `unnest`.
//!
//! One statement per kind of row and batch, never one per event. Rows go in key order, which is the
//! order in which every instance takes its locks.

mod aggregates;
mod images;
mod offsets;
mod values;
mod whole;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Transaction};

use super::error::Error;
use super::statements::Statements;
use crate::connection::{self, Database};

pub(super) use offsets::{Advance, Owned, Progress};

/// A connection to the sink.
#[derive(Debug)]
pub(super) struct Sink {
    database: Database,
    statements: Statements,
}

impl Sink {
    /// Logs in.
    pub(super) async fn connect(connection: &connection::Connection) -> Result<Sink, Error> {
        let database = connection::connect(connection)
            .await
            .map_err(Error::Connect)?;
        Ok(Sink {
            database,
            statements: Statements::default(),
        })
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> Result<Work<'_>, Error> {
        let transaction = self
            .database
            .transaction()
            .await
            .map_err(|error| Error::sink("begin", error))?;
        Ok(Work {
            transaction,
            statements: &self.statements,
        })
    }
}

/// One open transaction; dropped, it rolls back.
pub(super) struct Work<'a> {
    transaction: Transaction<'a>,
    statements: &'a Statements,
}

impl<'a> Work<'a> {
    /// The transaction itself, for the promotion rules.
    pub(super) fn transaction(&self) -> &Transaction<'a> {
        &self.transaction
    }

    /// Prepared statements of its connection.
    pub(super) fn statements(&self) -> &Statements {
        self.statements
    }

    /// Commits.
    pub(super) async fn commit(self) -> Result<(), Error> {
        self.transaction
            .commit()
            .await
            .map_err(|error| Error::sink("commit", error))
    }

    async fn query(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let query = async {
            let statement = self.statements.get(&self.transaction, sql).await?;
            self.transaction.query(&statement, parameters).await
        };
        query.await.map_err(|error| Error::sink(doing, error))
    }

    async fn execute(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let execute = async {
            let statement = self.statements.get(&self.transaction, sql).await?;
            self.transaction.execute(&statement, parameters).await
        };
        execute.await.map_err(|error| Error::sink(doing, error))
    }
}

/// One column of a row, by name.
fn column<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    name: &'static str,
) -> Result<T, Error> {
    row.try_get(name)
        .map_err(|error| Error::sink("read a column", error))
}
