//! The ledger in SQL: who may have a code, and the codes that are issued.
//!
//! Counting against the limits happens under one lock for all rules. It is taken after the pairs' row
//! locks and held to the commit, so that no other transaction counts what this one is about to add.
//!
//! The stream issues to the customers of its arm alone; the limits count over all of the ledger.

use std::collections::{HashMap, HashSet};

use metrics::counter;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use super::super::arm::{Arm, buckets};
use super::super::code::promotion_id;
use super::super::error::Error;
use super::super::evaluation::{Evaluation, RuleTuple};
use super::super::statements::{Statements, column};
use super::super::time::Timestamp;
use super::super::touched::{Touched, Tuple, Unsettled};
use super::{Candidate, Due, Event, Why, choose};
use crate::telemetry;

/// Key of the lock under which limits are counted.
const ISSUE_LOCK: i64 = 0x7469_6465_6973_7375;
/// Most candidates held in memory at once; the rest follow in their order.
const CANDIDATES_MAX: i64 = 5_000;

/// What the stream knows of an eligible tuple `e`: level and demand `c`, orders `h`, customer `m`.
macro_rules! stream_facts {
    () => {
        "
            join promotion_condition c using (rule_id, store_id, product_id)
            -- At most one, whatever the planner thinks of a table that was never analyzed: what follows is
            -- asked once for each tuple, not once for each habit of its pair.
            cross join lateral (
                select h.last_at from purchase_habit h
                where h.customer_id = e.customer_id and h.store_id = e.store_id
                  and h.product_id = e.product_id
                limit 1) h
            join customer_image m using (customer_id)"
    };
}

/// The same of the batch, which asks for no events.
macro_rules! batch_facts {
    () => {
        "
            join lateral (select e.on_hand, e.units, e.hours, true as holds) c
                on r.trigger = 'stock'
            cross join lateral (select e.last_at) h
            cross join lateral (select true as present, e.contact_allowed) m"
    };
}

/// Everything but the limits between tuples of the same run. `$from` names eligible tuples as `e`, and
/// `$facts` what is known of them.
macro_rules! candidates {
    ($from:literal, $facts:expr) => {
        concat!(
            "
            with running as materialized (
                select r.*, r.daily_limit - (
                    select count(*) from promotion p
                    where p.rule_id = r.rule_id and p.state <> 'withdrawn'
                      and p.issued_at >= date_trunc('day', $1::timestamptz, $3::text))
                    as rule_left
                from promotion_rule r
                where r.enabled and r.starts_at <= $2 and $2 < r.ends_at
            )
            select e.rule_id, e.customer_id, e.store_id, e.product_id,
                   e.cause, e.cause_position, c.on_hand, c.units, c.hours,
                   least(room.units, 9223372036854775807)::bigint as excess, h.last_at,
                   r.rule_left, $4::bigint - given.codes as customer_left, pair.live,
                   coalesce(ledger.cycle, 0) + 1 as cycle,
                   r.discount_percent, $1 + r.valid_for as valid_until,
                   r.trigger = 'intent' as intent, shopper.about, shopper.entries
            from ",
            $from,
            "
            join running r using (rule_id)",
            $facts,
            "
            cross join lateral (
                select max(p.cycle) as cycle,
                       coalesce(bool_or(p.state in ('issued', 'dispatched')
                                        and p.valid_until >= $1), false) as live,
                       max(p.issued_at) filter (where p.state <> 'withdrawn') as issued_at,
                       count(*) filter (where p.state <> 'withdrawn'
                                              and p.issued_at > h.last_at) as codes
                from promotion p
                where p.rule_id = e.rule_id and p.customer_id = e.customer_id
                  and p.store_id = e.store_id and p.product_id = e.product_id) ledger
            cross join lateral (
                select count(*) as codes from promotion p
                where p.customer_id = e.customer_id and p.state <> 'withdrawn'
                  and p.issued_at > $1 - interval '24 hours') given
            cross join lateral (
                select count(*) as live from promotion p
                where p.store_id = e.store_id and p.product_id = e.product_id
                  and p.state in ('issued', 'dispatched') and p.valid_until >= $1) pair
            cross join lateral (
                select div(c.on_hand::numeric * c.hours
                           - 24::numeric * r.days_of_cover_min * c.units, c.hours::numeric)
                    as units) room
            cross join lateral (
                -- The latest event about the product; those about the store that made nothing due yet.
                select (array_agg(s.event order by s.occurred_at desc, s.event_id)
                            filter (where s.product_id is not null))[1] as about,
                       jsonb_agg(s.event order by s.occurred_at, s.event_id)
                            filter (where s.product_id is null) as entries
                from (
                    select s.*, jsonb_build_object(
                               'event_id', event_id, 'type', type, 'occurred_at',
                               to_char(occurred_at at time zone 'UTC',
                                       'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')) as event
                    from shopper_event s
                    where r.trigger = 'intent'
                      and s.customer_id = e.customer_id and s.store_id = e.store_id
                      and s.occurred_at > $1 - r.intent_window
                      and s.occurred_at <= $1 + interval '1 minute'
                      and case when s.product_id is null then s.promotion_id is null
                               else s.product_id = e.product_id end) s) shopper
            where c.holds and m.present and m.contact_allowed
              and h.last_at <= $1 - r.rest_after_order
              and (r.trigger = 'stock' or shopper.about is not null or shopper.entries is not null)
              and not ledger.live
              and (ledger.issued_at is null or ledger.issued_at < $1 - r.cooldown)
              and ledger.codes < r.codes_max
              and r.rule_left > 0 and given.codes < $4 and pair.live < room.units
              and ($7::integer - $6::integer = 100
                   or arm_bucket(e.customer_id) >= $6 and arm_bucket(e.customer_id) < $7)
            order by room.units desc, h.last_at,
                     e.rule_id, e.customer_id, e.store_id, e.product_id
            limit $5"
        )
    };
}

/// Writes promotions with their outbox rows, and what the events made due is used up.
const ISSUE: &str = "
    with new as materialized (
        select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[],
                             $5::bigint[], $6::integer[], $7::text[], $8::integer[],
                             $9::timestamptz[], $10::jsonb[], $12::uuid[], $14::timestamptz[])
            as n (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code,
                  discount_percent, valid_until, why, entry_id, caused_at)
    ), issued as (
        insert into promotion
            (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code,
             discount_percent, issued_at, valid_until, source, caused_at)
        select n.promotion_id, n.rule_id, n.customer_id, n.store_id, n.product_id, n.cycle,
               n.code, n.discount_percent, $11, n.valid_until, $13,
               coalesce((n.why -> 'event' ->> 'occurred_at')::timestamptz, n.caused_at, b.since)
        from new n
        -- Since when a code of the batch could have been there, if the night before could not have issued it.
        left join promotion_eligibility b
            on (b.rule_id, b.customer_id, b.store_id, b.product_id)
             = (n.rule_id, n.customer_id, n.store_id, n.product_id)
           and $13 = 'batch' and b.cause in ('stock', 'order', 'tier')
           and b.since > coalesce((select max(codes_at) from batch_run), '-infinity')
        on conflict (rule_id, customer_id, store_id, product_id, cycle) do nothing
        returning promotion_id
    ), used as (
        update shopper_event s set promotion_id = issued.promotion_id
        from issued join new using (promotion_id)
        where s.event_id = new.entry_id
    )
    insert into promotion_outbox (promotion_id, why, created_at)
    select promotion_id, new.why, $11 from issued join new using (promotion_id)
    returning promotion_id";

impl Evaluation<'_> {
    /// Issues codes for those of these tuples that may have one; says how many. `touched` is what made some
    /// of them eligible just now.
    pub async fn issue(&self, tuples: &[RuleTuple], touched: &Touched) -> Result<usize, Error> {
        // Most tuples wait for their cooldown: the lock is not taken for them.
        if tuples.is_empty() || !self.any_may_have_one(tuples).await? {
            return Ok(0);
        }
        lock_limits(self.transaction, self.statements).await?;
        let mut issued = 0;
        loop {
            let candidates = self.candidates(tuples, CANDIDATES_MAX).await?;
            let all = i64::try_from(candidates.len()).is_ok_and(|count| count < CANDIDATES_MAX);
            let chosen = choose(candidates);
            self.write_promotions(Arm::Stream, &chosen, touched).await?;
            issued += chosen.len();
            if all || chosen.is_empty() {
                return Ok(issued);
            }
        }
    }

    /// Issues codes to the first `most` of the batch's tuples that may have one; says how many might, and how
    /// many were issued. Nothing of the pairs is read that the stream writes, so their locks are not taken.
    pub(in super::super) async fn issue_batch(&self, most: i64) -> Result<(i64, i64), Error> {
        const SQL: &str = candidates!(
            "(select *, 'batch' as cause, null::text as cause_position from batch_eligibility) e",
            batch_facts!()
        );
        lock_limits(self.transaction, self.statements).await?;
        let rows = self
            .those_who_may("find the batch's candidates", SQL, Arm::Batch, most, &[])
            .await?;
        let candidates: Vec<Candidate> = rows.iter().map(candidate).collect::<Result<_, _>>()?;
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        let found = count(candidates.len());
        let chosen = choose(candidates);
        self.write_promotions(Arm::Batch, &chosen, &Touched::default())
            .await?;
        Ok((found, count(chosen.len())))
    }

    /// Which tuples of the whole table may have a code now, first in the order of issue.
    pub async fn issuable(&self, most: i64) -> Result<Vec<RuleTuple>, Error> {
        const SQL: &str = candidates!("promotion_eligibility e", stream_facts!());
        let rows = self
            .those_who_may("find who may have a code", SQL, Arm::Stream, most, &[])
            .await?;
        rows.iter().map(RuleTuple::of).collect()
    }

    /// Whether any of these tuples may have a code.
    pub(in super::super) async fn any_may_have_one(
        &self,
        tuples: &[RuleTuple],
    ) -> Result<bool, Error> {
        Ok(!self.candidates(tuples, 1).await?.is_empty())
    }

    async fn candidates(&self, tuples: &[RuleTuple], most: i64) -> Result<Vec<Candidate>, Error> {
        const SQL: &str = candidates!(
            "unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
                 as k (rule_id, customer_id, store_id, product_id)
             join promotion_eligibility e using (rule_id, customer_id, store_id, product_id)",
            stream_facts!()
        );
        let [rules, customers, stores, products] = columns(tuples.iter().map(RuleTuple::numbers));
        let more: [&(dyn ToSql + Sync); 4] = [&rules, &customers, &stores, &products];
        let rows = self
            .those_who_may("find candidates for codes", SQL, Arm::Stream, most, &more)
            .await?;
        rows.iter().map(candidate).collect()
    }

    /// Asks for the first `most` candidates of an arm; `more` are the statement's parameters from the eighth on.
    async fn those_who_may(
        &self,
        doing: &'static str,
        sql: &'static str,
        arm: Arm,
        most: i64,
        more: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let buckets = buckets(self.policy.arms, arm);
        let minute = self.minute();
        let all: [&(dyn ToSql + Sync); 7] = [
            &self.standing.at,
            &minute,
            &self.policy.day_zone,
            &self.policy.customer_limit,
            &most,
            &buckets.start,
            &buckets.end,
        ];
        self.query(doing, sql, &[&all, more].concat()).await
    }

    async fn write_promotions(
        &self,
        source: Arm,
        chosen: &[Candidate],
        touched: &Touched,
    ) -> Result<(), Error> {
        if chosen.is_empty() {
            return Ok(());
        }
        let namespace = &self.standing.namespace;
        let id = |one: &Candidate| promotion_id(namespace, one.tuple.numbers(), one.cycle);
        let ids: Vec<Uuid> = chosen.iter().map(id).collect();
        let codes = self.free_codes(&ids).await?;
        let [rules, customers, stores, products] =
            columns(chosen.iter().map(|one| one.tuple.numbers()));
        let cycles: Vec<i32> = chosen.iter().map(|one| one.cycle).collect();
        let discounts: Vec<i32> = chosen.iter().map(|one| one.discount_percent).collect();
        let valid_until: Vec<_> = chosen.iter().map(|one| one.valid_until).collect();
        let why: Vec<Json<&Why>> = chosen.iter().map(|one| Json(&one.why)).collect();
        let entries: Vec<Option<Uuid>> = chosen.iter().map(Candidate::entry).collect();
        // A tuple that was eligible before waited for something else: its cause is not among these.
        let caused_at = chosen.iter().map(|one| caused_at(one, touched));
        let caused_at: Vec<Option<Timestamp>> = caused_at.collect();
        let rows = self
            .query(
                "issue codes",
                ISSUE,
                &[
                    &ids,
                    &rules,
                    &customers,
                    &stores,
                    &products,
                    &cycles,
                    &codes,
                    &discounts,
                    &valid_until,
                    &why,
                    &self.standing.at,
                    &entries,
                    &source.name(),
                    &caused_at,
                ],
            )
            .await?;
        counter!(telemetry::CODES_ISSUED).increment(rows.len() as u64);
        self.settle_issued(&codes).await
    }

    /// An order may carry a code that was not in the ledger yet, or whose cycle was told of by a backup.
    async fn settle_issued(&self, codes: &[String]) -> Result<(), Error> {
        const CARRIED: &str = "
            select distinct promotion_code as code from order_image
            where promotion_code = any($1::text[])";
        let rows = self
            .query("look for orders with codes", CARRIED, &[&codes])
            .await?;
        let carried = rows
            .iter()
            .map(|row| column(row, "code"))
            .collect::<Result<Vec<String>, Error>>()?;
        self.settle(&Unsettled::codes(carried)).await
    }

    /// A code for each id that no other promotion has. Nobody else makes codes while the limits are
    /// locked.
    async fn free_codes(&self, ids: &[Uuid]) -> Result<Vec<String>, Error> {
        const TAKEN: &str = "select code from promotion where code = any($1::text[])";
        let mut attempts: HashMap<Uuid, u32> = HashMap::new();
        loop {
            let made = |id: &Uuid| {
                let attempt = attempts.get(id).copied().unwrap_or_default();
                self.policy.codes.code(id, attempt)
            };
            let codes: Vec<String> = ids.iter().map(made).collect();
            let rows = self.query("look for taken codes", TAKEN, &[&codes]).await?;
            let taken: Result<HashSet<String>, Error> =
                rows.iter().map(|row| column(row, "code")).collect();
            let mut taken = taken?;
            let clashes = ids
                .iter()
                .zip(&codes)
                .filter(|(_, code)| !taken.insert((*code).clone()));
            let clashes: Vec<Uuid> = clashes.map(|(id, _)| *id).collect();
            if clashes.is_empty() {
                return Ok(codes);
            }
            for id in clashes {
                *attempts.entry(id).or_default() += 1;
            }
        }
    }
}

/// Nobody else counts or issues codes until this transaction ends.
pub(in super::super) async fn lock_limits(
    client: &impl GenericClient,
    statements: &Statements,
) -> Result<(), Error> {
    const LOCK: &str = "select pg_advisory_xact_lock($1)";
    statements
        .query(client, "lock the limits", LOCK, &[&ISSUE_LOCK])
        .await?;
    Ok(())
}

fn columns(tuples: impl Iterator<Item = [i64; 4]>) -> [Vec<i64>; 4] {
    let mut columns: [Vec<i64>; 4] = Default::default();
    for tuple in tuples {
        for (column, number) in columns.iter_mut().zip(tuple) {
            column.push(number);
        }
    }
    columns
}

/// When the change that made it eligible had happened.
fn caused_at(candidate: &Candidate, touched: &Touched) -> Option<Timestamp> {
    let position = candidate.why.cause_position.as_deref()?.parse().ok()?;
    let RuleTuple {
        customer_id, pair, ..
    } = candidate.tuple;
    touched.caused_at(Tuple { customer_id, pair }, position)
}

fn candidate(row: &Row) -> Result<Candidate, Error> {
    let excess = column(row, "excess")?;
    Ok(Candidate {
        tuple: RuleTuple::of(row)?,
        cycle: column(row, "cycle")?,
        excess,
        last_at: column(row, "last_at")?,
        rule_left: column(row, "rule_left")?,
        customer_left: column(row, "customer_left")?,
        live: column(row, "live")?,
        discount_percent: column(row, "discount_percent")?,
        valid_until: column(row, "valid_until")?,
        due: due(row)?,
        why: Why {
            cause: column(row, "cause")?,
            cause_position: column(row, "cause_position")?,
            on_hand: column(row, "on_hand")?,
            units: column(row, "units")?,
            hours: column(row, "hours")?,
            excess,
            event: None,
        },
    })
}

fn due(row: &Row) -> Result<Due, Error> {
    if !column(row, "intent")? {
        return Ok(Due::ByStock);
    }
    let about: Option<Json<Event>> = column(row, "about")?;
    let entries: Option<Json<Vec<Event>>> = column(row, "entries")?;
    Ok(match about {
        Some(Json(event)) => Due::ByEvent(event),
        None => Due::ByEntry(entries.map(|Json(events)| events).unwrap_or_default()),
    })
}
