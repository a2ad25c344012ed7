//! The batch's side of the sink: what it is to do, the rows that it stages, and its codes.

use tokio_postgres::types::ToSql;

use super::super::arm;
use super::super::evaluation::{Evaluation, Policy};
use super::super::statements::{Session, column, commit};
use super::super::time::Timestamp;
use super::error::Error;
use super::fold::{Daily, Eligible, Folded, Terms};
use super::report::{Codes, Totals};
use super::{Day, Options};
use crate::connection::Connection;

/// Key of the lock that a batch holds while it runs.
const BATCH_LOCK: i64 = 0x7469_6465_6261_7463;
/// Candidates of one issuing transaction.
const CANDIDATES_MAX: i64 = 1_000;

/// What a batch is to do.
pub(super) struct Plan {
    /// As dates are written.
    pub(super) day: String,
    /// First moment of the day, and of the next.
    pub(super) day_bounds: (Timestamp, Timestamp),
    /// Whether it is the day that it is or the one before: the level is its own, and its codes are due.
    pub(super) recent: bool,
    /// The moment of eligibility: a whole minute.
    pub(super) at: Timestamp,
    pub(super) at_text: String,
    pub(super) zone: String,
    /// Rules that run then.
    pub(super) rules: Vec<Terms>,
}

/// A connection to the sink.
pub(super) struct Store {
    session: Session,
    policy: Policy,
}

/// Rows are staged outside of a transaction, which would last as long as the reading and keep the sink from
/// cleaning up.
const STAGES: &str = "
    create temporary table staged_daily (
        store_id bigint, product_id bigint, closing integer, units bigint, revenue numeric);
    create temporary table staged_eligibility (like batch_eligibility)";

impl Store {
    pub(super) async fn connect(connection: &Connection, policy: Policy) -> Result<Store, Error> {
        let session = Session::connect(connection).await?;
        Ok(Store { session, policy })
    }

    /// Makes sure that no other batch is at work; it lasts as long as the connection.
    pub(super) async fn own(&self) -> Result<(), Error> {
        const SQL: &str = "select pg_try_advisory_lock($1) as owned";
        let rows = self
            .session
            .query("ask for the batch", SQL, &[&BATCH_LOCK])
            .await?;
        if !rows.first().map_or(Ok(false), |row| column(row, "owned"))? {
            return Err(Error::Busy);
        }
        let staged = self.session.database.batch_execute(STAGES).await;
        Ok(staged.map_err(|error| super::super::Error::sink("make room for rows", error))?)
    }

    /// Resolves the day and the moment.
    pub(super) async fn plan(&self, options: &Options) -> Result<Plan, Error> {
        const ZONE: &str = "select from pg_timezone_names where name = $1";
        const SQL: &str = "
            with clock as materialized (select clock_timestamp() as now),
            day as (
                select now, today, coalesce($2::text::date, today - $3::integer) as day
                from (select now, (now at time zone $1)::date as today from clock) c)
            select day::text as day, today::text as today, day > today as future,
                   day >= today - 1 as recent, day::timestamp at time zone $1 as begins,
                   (day + 1)::timestamp at time zone $1 as ends, minute.at,
                   to_char(minute.at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI\"Z\"') as at_text
            from day, lateral (
                select date_trunc('minute', coalesce($4::timestamptz, now), 'UTC') as at) minute";
        let zone = self.policy.day_zone.clone();
        if self
            .query("look for a time zone", ZONE, &[&zone])
            .await?
            .is_empty()
        {
            return Err(super::super::Error::DayZone { zone }.into());
        }
        let (date, back) = match options.day {
            Day::Today => (None, 0),
            Day::Yesterday => (None, 1),
            Day::Date(date) => (Some(date.to_string()), 0),
        };
        let rows = self
            .query("tell the day", SQL, &[&zone, &date, &back, &options.at])
            .await?;
        let row = rows.first().ok_or(super::super::Error::Damaged {
            what: "the sink cannot tell the day",
        })?;
        let day: String = column(row, "day")?;
        if column(row, "future")? {
            let today = column(row, "today")?;
            return Err(Error::Future { day, zone, today });
        }
        let at = column(row, "at")?;
        Ok(Plan {
            day,
            day_bounds: (column(row, "begins")?, column(row, "ends")?),
            recent: column(row, "recent")?,
            at,
            at_text: column(row, "at_text")?,
            zone,
            rules: self.rules(at).await?,
        })
    }

    /// The rules that run at that moment.
    async fn rules(&self, at: Timestamp) -> Result<Vec<Terms>, Error> {
        const SQL: &str = "
            select r.*, r.habit_orders::bigint as orders, clock.at - habit_window as habit_since,
                   clock.hour, clock.hour - demand_window as demand_since,
                   (extract(epoch from demand_window) / 3600)::bigint as window_hours
            from promotion_rule r,
                 (select $1::timestamptz, date_trunc('hour', $1::timestamptz, 'UTC')) clock (at, hour)
            where enabled and starts_at <= clock.at and clock.at < ends_at
            order by rule_id";
        let mut rules = Vec::new();
        for row in &self.query("read rules", SQL, &[&at]).await? {
            rules.push(Terms {
                rule_id: column(row, "rule_id")?,
                tier: column(row, "tier")?,
                orders: usize::try_from(column::<i64>(row, "orders")?).unwrap_or(usize::MAX),
                habit_since: column(row, "habit_since")?,
                demand_since: column(row, "demand_since")?,
                window_hours: column(row, "window_hours")?,
                cover_days: column(row, "days_of_cover_min")?,
                on_hand_min: column(row, "on_hand_min")?,
                hour: column(row, "hour")?,
            });
        }
        Ok(rules)
    }

    /// Puts rows aside.
    pub(super) async fn stage(&self, folded: &Folded) -> Result<(), Error> {
        self.stage_daily(&folded.daily).await?;
        self.stage_eligible(&folded.eligible).await
    }

    async fn stage_daily(&self, rows: &[Daily]) -> Result<(), Error> {
        const SQL: &str = "
            insert into staged_daily
            select store_id, product_id, closing, units, revenue::numeric
            from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::text[])
                as d (store_id, product_id, closing, units, revenue)";
        let stores: Vec<i64> = rows.iter().map(|row| row.pair.store_id).collect();
        let products: Vec<i64> = rows.iter().map(|row| row.pair.product_id).collect();
        let closing: Vec<Option<i32>> = rows.iter().map(|row| row.closing).collect();
        let units: Vec<i64> = rows.iter().map(|row| row.units).collect();
        let revenue: Vec<_> = rows.iter().map(|row| row.revenue).collect();
        let parameters: [&(dyn ToSql + Sync); 5] = [&stores, &products, &closing, &units, &revenue];
        self.query("stage the day", SQL, &parameters).await?;
        Ok(())
    }

    async fn stage_eligible(&self, rows: &[Eligible]) -> Result<(), Error> {
        const SQL: &str = "
            insert into staged_eligibility
                (rule_id, customer_id, store_id, product_id, on_hand, units, hours, last_at,
                 contact_allowed)
            select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                                 $5::integer[], $6::bigint[], $7::bigint[], $8::timestamptz[],
                                 $9::boolean[])";
        let part = |read: fn(&Eligible) -> i64| rows.iter().map(read).collect::<Vec<i64>>();
        let on_hand: Vec<i32> = rows.iter().map(|row| row.on_hand).collect();
        let last_at: Vec<Timestamp> = rows.iter().map(|row| row.last_at).collect();
        let contact: Vec<bool> = rows.iter().map(|row| row.contact_allowed).collect();
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &part(|row| row.rule_id),
            &part(|row| row.customer_id),
            &part(|row| row.pair.store_id),
            &part(|row| row.pair.product_id),
            &on_hand,
            &part(|row| row.units),
            &part(|row| row.hours),
            &last_at,
            &contact,
        ];
        self.query("stage eligible tuples", SQL, &parameters)
            .await?;
        Ok(())
    }

    /// Makes the staged rows the day's, and the last batch's.
    pub(super) async fn publish(&mut self, plan: &Plan, totals: &mut Totals) -> Result<(), Error> {
        // A day that is long past keeps the level that a run of then has taken.
        const GONE: &str = "
            delete from inventory_daily d
            where d.day = $1::text::date and ($2 or d.taken_at is null)
              and not exists (select from staged_daily s
                              where s.store_id = d.store_id and s.product_id = d.product_id)";
        const EMPTY: &str = "
            update inventory_daily d set units = 0, revenue = 0
            where d.day = $1::text::date
              and not exists (select from staged_daily s
                              where s.store_id = d.store_id and s.product_id = d.product_id)";
        const DAILY: &str = "
            insert into inventory_daily as d
                (store_id, product_id, day, closing, taken_at, units, revenue)
            select store_id, product_id, $1::text::date, closing,
                   case when $2 then $3::timestamptz end, units, revenue
            from staged_daily order by store_id, product_id
            on conflict (store_id, product_id, day) do update set
                closing = case when $2 then excluded.closing else d.closing end,
                taken_at = case when $2 then excluded.taken_at else d.taken_at end,
                units = excluded.units, revenue = excluded.revenue";
        const RUN: &str = "
            insert into batch_run as b
                (day, evaluated_at, taken_at, finished_at, products, units, revenue, tuples)
            select $1::text::date, $2, $3, clock_timestamp(), d.*, t.*
            from (select count(*), coalesce(sum(units), 0), coalesce(sum(revenue), 0)
                  from inventory_daily where day = $1::text::date) d,
                 (select count(*) from batch_eligibility) t
            on conflict (day) do update set
                evaluated_at = excluded.evaluated_at, taken_at = excluded.taken_at,
                finished_at = excluded.finished_at, products = excluded.products,
                units = excluded.units, revenue = excluded.revenue, tuples = excluded.tuples";
        const COUNT: &str = "select products from batch_run where day = $1::text::date";
        let (transaction, statements) = self.session.begin().await?;
        let (day, recent, taken_at) = (&plan.day, plan.recent, totals.taken_at);
        let nothing: [&(dyn ToSql + Sync); 0] = [];
        let steps: [(&str, &[&(dyn ToSql + Sync)]); 6] = [
            (GONE, &[day, &recent]),
            (EMPTY, &[day]),
            (DAILY, &[day, &recent, &taken_at]),
            ("delete from batch_eligibility", &nothing),
            (
                "insert into batch_eligibility select * from staged_eligibility",
                &nothing,
            ),
            (RUN, &[day, &plan.at, &taken_at]),
        ];
        for (sql, parameters) in steps {
            let doing = "write the day and the eligible tuples";
            statements
                .execute(&transaction, doing, sql, parameters)
                .await?;
        }
        let rows = statements
            .query(&transaction, "count the day's rows", COUNT, &[day])
            .await?;
        for row in rows {
            totals.products = column::<i64>(&row, "products")?.unsigned_abs();
        }
        Ok(commit(transaction).await?)
    }

    /// Issues the codes of the day to the customers of the batch's arm, if that is not done yet.
    pub(super) async fn issue(&mut self, plan: &Plan) -> Result<Codes, Error> {
        const BEFORE: &str = "
            select codes, to_char(codes_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as at
            from batch_run where day = $1::text::date and codes_at is not null";
        const COUNTED: &str = "
            update batch_run set codes = codes + $2, codes_at = case when $3 then clock_timestamp() end
            where day = $1::text::date";
        if let Some(row) = self
            .query("look for the day's codes", BEFORE, &[&plan.day])
            .await?
            .first()
        {
            let (codes, at) = (column(row, "codes")?, column(row, "at")?);
            return Ok(Codes::IssuedBefore { codes, at });
        }
        let (database, statements) = (&*self.session.database, self.session.statements());
        arm::note(database, statements, self.policy.arms).await?;
        let mut issued = 0;
        loop {
            let (transaction, statements) = self.session.begin().await?;
            let evaluation = Evaluation::begin(&transaction, statements, &self.policy).await?;
            let (candidates, more) = evaluation.issue_batch(CANDIDATES_MAX).await?;
            let last = more == 0 || candidates < CANDIDATES_MAX;
            let parameters: [&(dyn ToSql + Sync); 3] = [&plan.day, &more, &last];
            statements
                .execute(&transaction, "count the day's codes", COUNTED, &parameters)
                .await?;
            commit(transaction).await?;
            issued += more;
            if last {
                return Ok(Codes::Issued { codes: issued });
            }
        }
    }

    async fn query(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        Ok(self.session.query(doing, sql, parameters).await?)
    }
}
