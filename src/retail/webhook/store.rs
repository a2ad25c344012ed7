//! Deliveries in SQL.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::error::Error;
use super::super::statements::{Session, column};
use crate::connection::Connection;

/// A connection that hands out deliveries.
pub(super) struct Store(Session);

/// One delivery, ours until its lease ends.
pub(super) struct Delivery {
    pub(super) promotion_id: Uuid,
    pub(super) body: String,
    /// With the one that begins now.
    pub(super) attempts: i32,
    /// The sink's clock, seconds since 1970.
    pub(super) seconds: i64,
}

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Waiting {
    pub(super) waiting: i64,
    pub(super) parked: i64,
    /// Age of the oldest that waits, seconds.
    pub(super) oldest: Option<f64>,
}

impl Store {
    pub(super) async fn connect(connection: &Connection) -> Result<Store, Error> {
        Session::connect(connection).await.map(Store)
    }

    pub(super) async fn waiting(&self) -> Result<Waiting, Error> {
        const SQL: &str = "
            select count(*) filter (where parked_at is null) as waiting,
                   count(*) filter (where parked_at is not null) as parked,
                   greatest(extract(epoch from clock_timestamp()
                                - min(created_at) filter (where parked_at is null)), 0)::float8
                       as oldest
            from promotion_delivery
            where delivered_at is null";
        let rows = self.0.query("count deliveries", SQL, &[]).await?;
        let row = rows.first().ok_or(Error::Damaged {
            what: "promotion_delivery cannot be counted",
        })?;
        Ok(Waiting {
            waiting: column(row, "waiting")?,
            parked: column(row, "parked")?,
            oldest: column(row, "oldest")?,
        })
    }

    /// Takes deliveries that are due, for as long as the lease; whoever dies with one gives it back by that.
    pub(super) async fn take(&self, most: i64, lease: Duration) -> Result<Vec<Delivery>, Error> {
        const SQL: &str = "
            with due as materialized (
                select promotion_id from promotion_delivery
                where delivered_at is null and parked_at is null
                  and next_attempt_at <= clock_timestamp()
                order by next_attempt_at limit $1
                for update skip locked
            )
            update promotion_delivery d set
                attempts = attempts + 1,
                next_attempt_at = clock_timestamp() + make_interval(secs => $2)
            from due
            where d.promotion_id = due.promotion_id
            returning d.promotion_id, d.body, d.attempts,
                      extract(epoch from clock_timestamp())::bigint as seconds";
        let lease = lease.as_secs_f64();
        let rows = self
            .0
            .query("take deliveries", SQL, &[&most, &lease])
            .await?;
        rows.iter().map(delivery).collect()
    }

    /// The receiver has accepted it.
    pub(super) async fn delivered(&self, promotion_id: Uuid) -> Result<(), Error> {
        const SQL: &str = "
            update promotion_delivery set delivered_at = clock_timestamp(), last_error = null
            where promotion_id = $1 and delivered_at is null";
        self.0
            .execute("note a delivery", SQL, &[&promotion_id])
            .await?;
        Ok(())
    }

    /// It failed: due again after `wait`, or parked without one.
    pub(super) async fn failed(
        &self,
        promotion_id: Uuid,
        reason: &str,
        wait: Option<Duration>,
    ) -> Result<(), Error> {
        const SQL: &str = "
            update promotion_delivery set
                last_error = $2,
                next_attempt_at = clock_timestamp() + make_interval(secs => coalesce($3::float8, 0)),
                parked_at = case when $3::float8 is null then clock_timestamp() end
            where promotion_id = $1 and delivered_at is null";
        let wait = wait.map(|wait| wait.as_secs_f64());
        self.0
            .execute(
                "note a failed delivery",
                SQL,
                &[&promotion_id, &reason, &wait],
            )
            .await?;
        Ok(())
    }
}

fn delivery(row: &Row) -> Result<Delivery, Error> {
    Ok(Delivery {
        promotion_id: column(row, "promotion_id")?,
        body: column(row, "body")?,
        attempts: column(row, "attempts")?,
        seconds: column(row, "seconds")?,
    })
}

/// A delivery that was given up, as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Parked {
    /// The code's id.
    pub promotion_id: Uuid,
    /// The code.
    pub code: String,
    /// Attempts made.
    pub attempts: i32,
    /// When it was given up.
    pub parked_at: String,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// Deliveries that were given up, the latest first.
pub async fn parked(connection: &Connection, most: i64) -> Result<Vec<Parked>, Error> {
    const SQL: &str = "
        select d.promotion_id, p.code, d.attempts, d.last_error,
               to_char(d.parked_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as parked_at
        from promotion_delivery d join promotion p using (promotion_id)
        where d.parked_at is not null order by d.parked_at desc, promotion_id limit $1";
    let store = Store::connect(connection).await?;
    let rows = store
        .0
        .query("list parked deliveries", SQL, &[&most])
        .await?;
    let parked = |row: &Row| {
        Ok(Parked {
            promotion_id: column(row, "promotion_id")?,
            code: column(row, "code")?,
            attempts: column(row, "attempts")?,
            parked_at: column(row, "parked_at")?,
            last_error: column(row, "last_error")?,
        })
    };
    rows.iter().map(parked).collect()
}

/// Makes parked deliveries due again, all of them or one, with as many attempts as a new one; says how many.
pub async fn replay(connection: &Connection, promotion_id: Option<Uuid>) -> Result<u64, Error> {
    const SQL: &str = "
        update promotion_delivery set
            parked_at = null, attempts = 0, next_attempt_at = clock_timestamp()
        where parked_at is not null and ($1::uuid is null or promotion_id = $1)";
    let store = Store::connect(connection).await?;
    store
        .0
        .execute("replay deliveries", SQL, &[&promotion_id])
        .await
}
