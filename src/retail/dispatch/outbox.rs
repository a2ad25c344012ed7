//! The outbox in SQL.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::super::error::Error;
use super::super::evaluation::{Policy, Standing, State};
use super::super::promotion::redemption::settle;
use super::super::statements::{Session, Statements, column, commit};
use super::super::touched::Unsettled;
use crate::connection::Connection;

/// A connection of the dispatcher.
pub(super) struct Outbox {
    session: Session,
    /// Whether codes go on to the webhook.
    webhook: bool,
}

/// What waits.
pub(super) struct Waiting {
    pub(super) rows: i64,
    /// Age of the oldest; `None` when nothing waits.
    pub(super) oldest: Option<Duration>,
}

/// What became of the codes that nobody had attempted to send.
pub(super) struct Claimed {
    pub(super) attempted: u64,
    pub(super) withdrawn: u64,
}

impl Claimed {
    pub(super) fn any(&self) -> bool {
        self.attempted + self.withdrawn > 0
    }
}

impl Outbox {
    pub(super) async fn connect(connection: &Connection, webhook: bool) -> Result<Outbox, Error> {
        Ok(Outbox {
            session: Session::connect(connection).await?,
            webhook,
        })
    }

    /// How much waits, and for how long.
    pub(super) async fn waiting(&self) -> Result<Waiting, Error> {
        const SQL: &str = "
            select count(*) as rows,
                   greatest(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8
                       as oldest
            from promotion_outbox";
        let rows = self.session.query("look into the outbox", SQL, &[]).await?;
        let row = rows.first().ok_or(Error::Damaged {
            what: "promotion_outbox cannot be counted",
        })?;
        let oldest: Option<f64> = column(row, "oldest")?;
        Ok(Waiting {
            rows: column(row, "rows")?,
            oldest: oldest.map(|age| Duration::try_from_secs_f64(age).unwrap_or_default()),
        })
    }

    /// Decides on codes that nobody has attempted to send: those that still hold may be sent from now
    /// on, the others are withdrawn. Nothing is decided on half-known or old state.
    pub(super) async fn claim(&mut self, policy: &Policy, most: i64) -> Result<Claimed, Error> {
        const SQL: &str = "
            with waiting as materialized (
                -- The stream has seen what the batch had seen of the source.
                select o.promotion_id from promotion_outbox o join promotion p using (promotion_id)
                where o.attempted_at is null
                  and (p.source = 'stream' or p.issued_at <= applied_until())
                order by o.created_at limit $2
                for update of o skip locked
            ), code as materialized (
                select p.* from waiting join promotion p using (promotion_id)
                order by p.promotion_id for no key update of p
            ), checked as materialized (
                -- An order that redeems it already has made it known.
                select p.promotion_id, p.code,
                       p.state = 'redeemed'
                       or p.valid_until >= $1::timestamptz
                       and coalesce(m.present and m.contact_allowed, false)
                       and e.rule_id is not null as holds
                from code p
                left join customer_image m using (customer_id)
                left join promotion_eligibility e
                    using (rule_id, customer_id, store_id, product_id)
            ), withdrawn as (
                update promotion p set state = 'withdrawn'
                from checked c
                where p.promotion_id = c.promotion_id and not c.holds and p.state = 'issued'
            ), gone as (
                delete from promotion_outbox o using checked c
                where o.promotion_id = c.promotion_id and not c.holds
            ), attempted as (
                update promotion_outbox o set attempted_at = $1
                from checked c
                where o.promotion_id = c.promotion_id and c.holds
            )
            select count(*) filter (where holds) as attempted,
                   count(*) filter (where not holds) as withdrawn,
                   array_agg(code) filter (where not holds) as codes
            from checked";
        let mut claimed = Claimed {
            attempted: 0,
            withdrawn: 0,
        };
        let (transaction, statements) = self.session.begin().await?;
        let standing = Standing::read(&transaction, statements, policy).await?;
        if standing.state() != State::Issuing {
            return Ok(claimed);
        }
        let rows = statements
            .query(&transaction, "claim codes", SQL, &[&standing.at, &most])
            .await?;
        let codes: Option<Vec<String>> = match rows.first() {
            Some(row) => column(row, "codes")?,
            None => None,
        };
        // An order that carries a withdrawn code carries an unknown one.
        let withdrawn = Unsettled::codes(codes.unwrap_or_default());
        settle(&transaction, statements, policy.at, &withdrawn).await?;
        commit(transaction).await?;
        if let Some(row) = rows.first() {
            let number = |name| column::<i64>(row, name).map(i64::unsigned_abs);
            (claimed.attempted, claimed.withdrawn) = (number("attempted")?, number("withdrawn")?);
        }
        Ok(claimed)
    }

    /// Locks codes to send, the oldest first.
    pub(super) async fn lock(&mut self, most: i64) -> Result<Shipment<'_>, Error> {
        const SQL: &str = "
            select p.promotion_id, p.code, p.rule_id, r.name as rule, p.customer_id, p.store_id,
                   p.product_id, p.cycle, p.source, p.discount_percent,
                   to_char(p.issued_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                       as issued_at,
                   to_char(p.valid_until at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                       as valid_until,
                   o.why
            from promotion_outbox o
            join promotion p using (promotion_id)
            join promotion_rule r using (rule_id)
            where o.attempted_at is not null
            order by o.created_at, p.promotion_id limit $1
            for update of o skip locked";
        let webhook = self.webhook;
        let (transaction, statements) = self.session.begin().await?;
        let rows = statements
            .query(&transaction, "lock codes", SQL, &[&most])
            .await?;
        let parcels = rows.iter().map(parcel).collect::<Result<_, Error>>()?;
        Ok(Shipment {
            transaction,
            statements,
            parcels,
            webhook,
        })
    }
}

/// A code as it is published.
#[derive(Debug, Serialize)]
struct Published<'a> {
    promotion_id: Uuid,
    code: &'a str,
    rule_id: i64,
    rule: &'a str,
    customer_id: i64,
    store_id: i64,
    product_id: i64,
    cycle: i32,
    source: &'a str,
    discount_percent: i32,
    issued_at: &'a str,
    valid_until: &'a str,
    why: serde_json::Value,
}

/// One record of the promotions topic.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) promotion_id: Uuid,
    pub(super) key: String,
    pub(super) value: String,
}

fn parcel(row: &Row) -> Result<Parcel, Error> {
    let promotion_id = column(row, "promotion_id")?;
    let customer_id: i64 = column(row, "customer_id")?;
    let published = Published {
        promotion_id,
        code: column(row, "code")?,
        rule_id: column(row, "rule_id")?,
        rule: column(row, "rule")?,
        customer_id,
        store_id: column(row, "store_id")?,
        product_id: column(row, "product_id")?,
        cycle: column(row, "cycle")?,
        source: column(row, "source")?,
        discount_percent: column(row, "discount_percent")?,
        issued_at: column(row, "issued_at")?,
        valid_until: column(row, "valid_until")?,
        why: column(row, "why")?,
    };
    let value = serde_json::to_string(&published).map_err(|_| Error::Damaged {
        what: "promotion_outbox.why",
    })?;
    Ok(Parcel {
        promotion_id,
        key: customer_id.to_string(),
        value,
    })
}

/// Codes whose rows are locked while they are being sent; dropped, they wait as before.
pub(super) struct Shipment<'a> {
    transaction: Transaction<'a>,
    statements: &'a Statements,
    parcels: Vec<Parcel>,
    webhook: bool,
}

impl Shipment<'_> {
    pub(super) fn parcels(&self) -> &[Parcel] {
        &self.parcels
    }

    /// The topic has acknowledged all of them. Returns how long each took from its issue, seconds.
    pub(super) async fn confirm(self) -> Result<Vec<f64>, Error> {
        const SQL: &str = "
            with sent as materialized (
                delete from promotion_outbox where promotion_id = any($1::uuid[])
                returning promotion_id
            ), code as materialized (
                select promotion_id from promotion join sent using (promotion_id)
                order by promotion_id for no key update of promotion
            )
            update promotion p set dispatched_at = clock_timestamp(),
                   state = case when state = 'issued' then 'dispatched' else state end
            from code
            where p.promotion_id = code.promotion_id
            returning extract(epoch from dispatched_at - issued_at)::float8 as delay";
        const DELIVER: &str = "
            insert into promotion_delivery (promotion_id, body, created_at, next_attempt_at)
            select *, clock_timestamp(), clock_timestamp() from unnest($1::uuid[], $2::text[])
            on conflict (promotion_id) do nothing";
        let ids: Vec<Uuid> = self.parcels.iter().map(|one| one.promotion_id).collect();
        if self.webhook {
            let bodies: Vec<&str> = self.parcels.iter().map(|one| one.value.as_str()).collect();
            self.statements
                .execute(
                    &self.transaction,
                    "hand codes to the webhook",
                    DELIVER,
                    &[&ids, &bodies],
                )
                .await?;
        }
        let rows = self
            .statements
            .query(&self.transaction, "confirm codes", SQL, &[&ids])
            .await?;
        commit(self.transaction).await?;
        rows.iter().map(|row| column(row, "delay")).collect()
    }
}
