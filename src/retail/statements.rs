//! Prepared statements of one sink connection, each prepared when it is first used.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::{GenericClient, Statement};

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

    fn lookup(&self, sql: &'static str) -> Option<Statement> {
        self.prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(sql)
            .cloned()
    }
}
