//! Events in the sink, and the codes that they make due.

use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use super::super::error::Error;
use super::super::evaluation::{Policy, RuleTuple};
use super::super::issue::{Evaluated, issue_missed, issue_to};
use super::super::statements::{Session, Statements, column, commit};
use super::super::time::Timestamp;
use super::record::ShopperEvent;
use crate::connection::Connection;
use crate::step::Steps;

/// How long an event is kept at least.
macro_rules! kept {
    () => {
        "greatest(interval '24 hours', (select max(intent_window) from promotion_rule))"
    };
}

/// A connection that applies events.
pub(super) struct Store(Session);

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Events that were not known.
    pub(super) new: u64,
    /// Of those, the ones that occurred too long ago for any rule, or too far ahead.
    pub(super) late: u64,
    /// Codes issued.
    pub(super) issued: usize,
}

impl Store {
    pub(super) async fn connect(connection: &Connection) -> Result<Store, Error> {
        Session::connect(connection).await.map(Store)
    }

    /// Stores events that are not known yet, and issues what they make due.
    pub(super) async fn apply(
        &mut self,
        events: &[ShopperEvent],
        policy: &Policy,
        steps: &Steps,
    ) -> Result<Applied, Error> {
        let (transaction, statements) = self.0.begin().await?;
        let (mut applied, effective) = insert(&transaction, statements, policy, events).await?;
        let tuples = eligible(&transaction, statements, policy, &effective).await?;
        applied.issued = issue_to(
            &transaction,
            statements,
            policy,
            &tuples,
            Evaluated::Flipped,
        )
        .await?;
        steps.at("events.commit");
        commit(transaction).await?;
        steps.at("events.committed");
        match self.look_again(&effective, &tuples, policy).await {
            Ok(issued) => applied.issued += issued,
            // The events are stored; the sweep finds what they make due.
            Err(error) => tracing::debug!(%error, "codes of events are left to the sweep"),
        }
        Ok(applied)
    }

    /// Issues to tuples that became eligible while the events were under way.
    async fn look_again(
        &mut self,
        effective: &[Presence],
        seen: &[RuleTuple],
        policy: &Policy,
    ) -> Result<usize, Error> {
        let statements = self.0.statements();
        let mut missed = eligible(&*self.0.database, statements, policy, effective).await?;
        missed.retain(|tuple| !seen.contains(tuple));
        issue_missed(&mut self.0, policy, &missed).await
    }

    /// Forgets events that nothing can come of any more.
    pub(super) async fn prune(&self) -> Result<(), Error> {
        const SQL: &str = concat!(
            "delete from shopper_event where received_at < clock_timestamp() - ",
            kept!()
        );
        self.0.execute("forget old events", SQL, &[]).await?;
        Ok(())
    }
}

/// Where a shopper is, and with what.
struct Presence {
    customer_id: i64,
    store_id: i64,
    product_id: Option<i64>,
}

/// Events are inserted in the order of their ids, so that two instances that have the same ones do not wait
/// for each other.
async fn insert(
    client: &impl GenericClient,
    statements: &Statements,
    policy: &Policy,
    events: &[ShopperEvent],
) -> Result<(Applied, Vec<Presence>), Error> {
    const SQL: &str = concat!(
        "
        with clock as materialized (select coalesce($8::timestamptz, clock_timestamp()) as at)
        insert into shopper_event
            (event_id, type, customer_id, store_id, product_id, occurred_at, received_at)
        select distinct on (event_id)
               event_id, type, customer_id, store_id, product_id, occurred_at, received_at
        from clock,
             unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[],
                    $6::timestamptz[], $7::timestamptz[]) with ordinality
                 as e (event_id, type, customer_id, store_id, product_id, occurred_at, received_at, place)
        where received_at >= clock.at - ",
        kept!(),
        "
        order by event_id, place
        on conflict (event_id) do nothing
        returning customer_id, store_id, product_id,
                  occurred_at > (select at from clock) - (
                      select coalesce(max(intent_window), interval '0') from promotion_rule)
                  and occurred_at <= (select at from clock) + interval '1 minute' as effective"
    );
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    let customers: Vec<_> = events.iter().map(|event| event.customer_id).collect();
    let stores: Vec<_> = events.iter().map(|event| event.store_id).collect();
    let products: Vec<_> = events.iter().map(|event| event.product_id).collect();
    let occurred: Vec<Timestamp> = events.iter().map(|event| event.occurred_at).collect();
    let received: Vec<Timestamp> = events.iter().map(|event| event.received_at).collect();
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &ids, &kinds, &customers, &stores, &products, &occurred, &received, &policy.at,
    ];
    let rows = statements
        .query(client, "store events", SQL, &parameters)
        .await?;
    let mut applied = Applied {
        new: rows.len() as u64,
        ..Applied::default()
    };
    let mut effective = Vec::new();
    for row in &rows {
        if column(row, "effective")? {
            effective.push(presence(row)?);
        } else {
            applied.late += 1;
        }
    }
    Ok((applied, effective))
}

fn presence(row: &Row) -> Result<Presence, Error> {
    Ok(Presence {
        customer_id: column(row, "customer_id")?,
        store_id: column(row, "store_id")?,
        product_id: column(row, "product_id")?,
    })
}

/// The eligible tuples of intent rules that such events are about, but for those that have a code or had one within
/// their cooldown: most have, and their pairs need not be locked.
async fn eligible(
    client: &impl GenericClient,
    statements: &Statements,
    policy: &Policy,
    presences: &[Presence],
) -> Result<Vec<RuleTuple>, Error> {
    const SQL: &str = "
        with clock as materialized (select coalesce($4::timestamptz, clock_timestamp()) as at)
        select distinct e.rule_id, e.customer_id, e.store_id, e.product_id
        from unnest($1::bigint[], $2::bigint[], $3::bigint[])
            as s (customer_id, store_id, product_id)
        join promotion_eligibility e
            on e.customer_id = s.customer_id and e.store_id = s.store_id
           and (s.product_id is null or e.product_id = s.product_id)
        join promotion_rule r on r.rule_id = e.rule_id and r.trigger = 'intent'
        where not exists (
            select from promotion p, clock
            where p.rule_id = e.rule_id and p.customer_id = e.customer_id
              and p.store_id = e.store_id and p.product_id = e.product_id
              and (p.state in ('issued', 'dispatched') and p.valid_until >= clock.at
                   or p.state <> 'withdrawn' and p.issued_at >= clock.at - r.cooldown))";
    if presences.is_empty() {
        return Ok(Vec::new());
    }
    let customers: Vec<_> = presences.iter().map(|one| one.customer_id).collect();
    let stores: Vec<_> = presences.iter().map(|one| one.store_id).collect();
    let products: Vec<_> = presences.iter().map(|one| one.product_id).collect();
    let parameters: [&(dyn ToSql + Sync); 4] = [&customers, &stores, &products, &policy.at];
    let rows = statements
        .query(client, "find tuples of events", SQL, &parameters)
        .await?;
    rows.iter().map(RuleTuple::of).collect()
}
