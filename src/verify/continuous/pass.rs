//! How far a pass is: a row of `verification`.

use metrics::gauge;
use tokio_postgres::{Client, Row};

use super::{Chunk, Subject};
use crate::connection::Database;
use crate::telemetry;
use crate::verify::Error;
use crate::verify::rows::query;

/// Passes that are kept.
const KEPT: i64 = 100;

/// The pass under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    id: i64,
    subject: Subject,
    after: Vec<i64>,
}

impl Pass {
    /// The one that is under way, or a new one.
    pub(super) async fn resume(sink: &Client) -> Result<Pass, Error> {
        const SQL: &str = "
            select pass, at_table, after_key from verification
            where finished_at is null order by pass desc limit 1";
        let row = sink
            .query_opt(SQL, &[])
            .await
            .map_err(query("reading the pass"))?;
        match row {
            Some(row) => Ok(Pass::of(&row)),
            None => Pass::begin(sink).await,
        }
    }

    fn of(row: &Row) -> Pass {
        Pass {
            id: row.get(0),
            subject: Subject::named(row.get(1)),
            after: row.get(2),
        }
    }

    async fn begin(sink: &Client) -> Result<Pass, Error> {
        const SQL: &str = "
            with old as (
                delete from verification where pass <= (select max(pass) from verification) - $2
            )
            insert into verification (started_at, at_table) values (clock_timestamp(), $1)
            returning pass, at_table, after_key";
        let [first, ..] = Subject::ALL;
        let row = sink
            .query_one(SQL, &[&first.table(), &KEPT])
            .await
            .map_err(query("beginning a pass"))?;
        Ok(Pass::of(&row))
    }

    pub(super) fn subject(&self) -> Subject {
        self.subject
    }

    pub(super) fn after(&self) -> &[i64] {
        &self.after
    }

    /// Records a chunk, and goes on behind it: in the same table, in the next, or with a new pass.
    pub(super) async fn advance(
        &mut self,
        sink: &mut Database,
        chunk: &Chunk,
    ) -> Result<(), Error> {
        const SQL: &str = "
            update verification set
                at_table = $2, after_key = $3, rows_compared = rows_compared + $4,
                rows_moving = rows_moving + $5, differences = differences + $6,
                found = (found || $7::text[])[1:100],
                finished_at = case when $8 then clock_timestamp() end
            where pass = $1";
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let next = match &chunk.end {
            Some(_) => Some(self.subject),
            None => self.subject.next(),
        };
        let after = chunk.end.clone().unwrap_or_default();
        let subject = next.unwrap_or(self.subject);
        let found: Vec<String> = chunk
            .shown
            .iter()
            .map(|key| format!("{} {key}", self.subject.table()))
            .collect();
        sink.execute(
            SQL,
            &[
                &self.id,
                &subject.table(),
                &after,
                &count(chunk.rows),
                &count(chunk.moving),
                &count(chunk.differences),
                &found,
                &next.is_none(),
            ],
        )
        .await
        .map_err(query("recording a chunk"))?;
        *self = match next {
            Some(subject) => Pass {
                id: self.id,
                subject,
                after,
            },
            None => Pass::begin(sink).await?,
        };
        Ok(())
    }

    /// Shows how old the pass is, and what the last one came to.
    pub(super) async fn observe(&self, sink: &Client) -> Result<(), Error> {
        const SQL: &str = "
            select extract(epoch from clock_timestamp() - p.started_at)::float8,
                   extract(epoch from last.finished_at)::float8, last.differences::float8
            from verification p
            left join lateral (
                select * from verification where finished_at is not null
                order by pass desc limit 1) last on true
            where p.pass = $1";
        let row = sink
            .query_one(SQL, &[&self.id])
            .await
            .map_err(query("reading the pass"))?;
        gauge!(telemetry::VERIFY_PASS_AGE_SECONDS).set(row.get::<_, f64>(0));
        let last: (Option<f64>, Option<f64>) = (row.get(1), row.get(2));
        if let (Some(finished_at), Some(differences)) = last {
            gauge!(telemetry::VERIFY_LAST_PASS_TIMESTAMP).set(finished_at);
            gauge!(telemetry::VERIFY_LAST_PASS_DIFFERENCES).set(differences);
        }
        Ok(())
    }
}
