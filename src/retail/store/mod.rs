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

use super::arm;
use super::error::Error;
use super::evaluation::{Evaluation, Policy, RuleTuple};
use super::issue::issue_missed;
use super::promotion::redemption;
use super::statements::{Session, Statements, column, commit};
use super::touched::Unsettled;
use crate::config::settings::Arms;
use crate::connection;

pub(crate) use aggregates::LOCK_PAIRS;
pub(super) use offsets::{Advance, Owned, Progress};

/// A consumer that stops in the midst of a transaction must not hold its rows for longer than its group
/// waits for it; and a statement must see what others have committed before it.
const SESSION: &str = "
    set idle_in_transaction_session_timeout = '10s';
    set default_transaction_isolation = 'read committed'";

/// A connection to the sink.
#[derive(Debug)]
pub(super) struct Sink(Session);

impl Sink {
    /// Logs in.
    pub(super) async fn connect(connection: &connection::Connection) -> Result<Sink, Error> {
        let session = Session::connect(connection).await?;
        session
            .database
            .batch_execute(SESSION)
            .await
            .map_err(|error| Error::sink("set up the session", error))?;
        Ok(Sink(session))
    }

    /// Notes from when on the arms have these shares.
    pub(super) async fn note_arms(&self, arms: Arms) -> Result<(), Error> {
        arm::note(&*self.0.database, self.0.statements(), arms).await
    }

    /// Issues the codes that a committed transaction missed; says how many.
    pub(super) async fn issue_missed(
        &mut self,
        policy: &Policy,
        tuples: &[RuleTuple],
    ) -> Result<usize, Error> {
        issue_missed(&mut self.0, policy, tuples).await
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self) -> Result<Work<'_>, Error> {
        let (transaction, statements) = self.0.begin().await?;
        Ok(Work {
            transaction,
            statements,
        })
    }
}

/// One open transaction; dropped, it rolls back.
pub(super) struct Work<'a> {
    transaction: Transaction<'a>,
    statements: &'a Statements,
}

impl Work<'_> {
    /// Begins an evaluation of the promotion rules in this transaction.
    pub(super) async fn evaluation<'w>(
        &'w self,
        policy: &'w Policy,
    ) -> Result<Evaluation<'w>, Error> {
        Evaluation::begin(&self.transaction, self.statements, policy).await
    }

    /// Settles which orders redeem codes, and which are refused.
    pub(super) async fn settle(&self, policy: &Policy, unsettled: &Unsettled) -> Result<(), Error> {
        redemption::settle(&self.transaction, self.statements, policy.at, unsettled).await?;
        Ok(())
    }

    /// Commits.
    pub(super) async fn commit(self) -> Result<(), Error> {
        commit(self.transaction).await
    }

    async fn query(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.statements
            .query(&self.transaction, doing, sql, parameters)
            .await
    }

    async fn execute(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        self.statements
            .execute(&self.transaction, doing, sql, parameters)
            .await
    }
}
