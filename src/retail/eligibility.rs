//! Eligibility: exactly the tuples that meet every condition of a rule that runs, and what made them so.
//!
//! Customers are looked at only where a stock side flipped ([`Evaluation::evaluate_pairs`]) or where
//! their own orders or row were touched ([`Evaluation::evaluate_tuples`]). A tuple that stays eligible
//! keeps its `since` and its cause.

use super::error::Error;
use super::evaluation::{Evaluation, RuleTuple};
use super::statements::column;
use super::touched::{Cause, Pair, Touched};
use crate::event::Position;

/// Pairs to evaluate whole, each with the text and position of its cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairCauses {
    stores: Vec<i64>,
    products: Vec<i64>,
    causes: Vec<&'static str>,
    positions: Vec<Option<Position>>,
    edited_rules: Vec<i64>,
}

impl PairCauses {
    /// Pairs that nothing but the clock has turned, except under rules that were edited.
    pub fn by_time(pairs: &[Pair], edited_rules: &[i64]) -> PairCauses {
        PairCauses {
            stores: pairs.iter().map(|pair| pair.store_id).collect(),
            products: pairs.iter().map(|pair| pair.product_id).collect(),
            causes: vec!["time"; pairs.len()],
            positions: vec![None; pairs.len()],
            edited_rules: edited_rules.to_vec(),
        }
    }
}

impl From<&[(Pair, Cause)]> for PairCauses {
    fn from(pairs: &[(Pair, Cause)]) -> PairCauses {
        PairCauses {
            stores: pairs.iter().map(|(pair, _)| pair.store_id).collect(),
            products: pairs.iter().map(|(pair, _)| pair.product_id).collect(),
            causes: pairs.iter().map(|(_, cause)| cause.kind.as_str()).collect(),
            positions: pairs
                .iter()
                .map(|(_, cause)| Some(cause.position))
                .collect(),
            edited_rules: Vec::new(),
        }
    }
}

/// Tuples and customers to evaluate, in the order of their causes: where a tuple is touched twice, the
/// later touch is its cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TupleCauses {
    /// `None` for all tuples of the customer.
    pairs: Vec<Option<Pair>>,
    customers: Vec<i64>,
    causes: Vec<Cause>,
}

impl TupleCauses {
    /// What a batch touched.
    pub fn of(touched: &Touched) -> TupleCauses {
        let tuples = touched
            .tuples
            .iter()
            .map(|(tuple, cause)| (*cause, tuple.customer_id, Some(tuple.pair)));
        let customers = touched
            .customers
            .iter()
            .map(|(customer, cause)| (*cause, *customer, None));
        let mut all: Vec<_> = tuples.chain(customers).collect();
        all.sort_unstable_by_key(|(cause, ..)| (cause.position, cause.kind));
        TupleCauses {
            pairs: all.iter().map(|(_, _, pair)| *pair).collect(),
            customers: all.iter().map(|(_, customer, _)| *customer).collect(),
            causes: all.iter().map(|(cause, ..)| *cause).collect(),
        }
    }
}

const EVALUATE_PAIRS: &str = "
    with pair as materialized (
        select * from unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[])
            as k (store_id, product_id, cause, cause_position)
    ), running as materialized (
        select rule_id, tier, habit_orders, $1::timestamptz - habit_window as since
        from promotion_rule
        where enabled and starts_at <= $1 and $1 < ends_at
    ), eligible as materialized (
        select r.rule_id, h.customer_id, k.store_id, k.product_id,
               case when r.rule_id = any($6::bigint[]) then 'rule' else k.cause end
                   as cause, k.cause_position
        from pair k
        join promotion_condition c using (store_id, product_id)
        join running r using (rule_id)
        join purchase_habit h using (store_id, product_id)
        join customer_image m using (customer_id)
        where c.holds and m.present and m.tier = r.tier
          and h.orders >= r.habit_orders and h.last_at > r.since
          and r.habit_orders = (
              select count(*) from (
                  select from order_image o
                  where o.store_id = k.store_id and o.product_id = k.product_id
                    and o.customer_id = h.customer_id
                    and o.counted_at > r.since and not o.cancelled
                  limit r.habit_orders) enough)
    ), gone as (
        delete from promotion_eligibility e using pair k
        where e.store_id = k.store_id and e.product_id = k.product_id
          -- Hashed, whatever the planner thinks of the rows that it cannot count: as an anti join it
          -- becomes a loop within a loop.
          and (e.rule_id, e.customer_id, e.store_id, e.product_id)
              not in (select rule_id, customer_id, store_id, product_id from eligible)
    )
    insert into promotion_eligibility
        (rule_id, customer_id, store_id, product_id, cause, cause_position, since)
    select rule_id, customer_id, store_id, product_id, cause, cause_position, $7
    from eligible order by rule_id, customer_id, store_id, product_id
    on conflict (rule_id, customer_id, store_id, product_id) do nothing
    returning rule_id, customer_id, store_id, product_id";

const EVALUATE_TUPLES: &str = "
    with touched as materialized (
        select * from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[],
                             $6::text[]) with ordinality
            as t (customer_id, store_id, product_id, cause, cause_position, rank)
    ), tuple as materialized (
        select distinct on (customer_id, store_id, product_id) *
        from (
            select * from touched where store_id is not null
            union all
            select t.customer_id, h.store_id, h.product_id, t.cause, t.cause_position,
                   t.rank
            from touched t join purchase_habit h using (customer_id)
            where t.store_id is null) one
        order by customer_id, store_id, product_id, rank desc
    ), running as materialized (
        select rule_id, tier, habit_orders, $1::timestamptz - habit_window as since
        from promotion_rule
        where enabled and starts_at <= $1 and $1 < ends_at
    ), eligible as materialized (
        select r.rule_id, t.customer_id, t.store_id, t.product_id,
               t.cause, t.cause_position
        from tuple t
        cross join running r
        join promotion_condition c using (rule_id, store_id, product_id)
        join customer_image m using (customer_id)
        where c.holds and m.present and m.tier = r.tier
          and r.habit_orders = (
              select count(*) from (
                  select from order_image o
                  where o.store_id = t.store_id and o.product_id = t.product_id
                    and o.customer_id = t.customer_id
                    and o.counted_at > r.since and not o.cancelled
                  limit r.habit_orders) enough)
    ), gone as (
        delete from promotion_eligibility e using tuple t
        where e.customer_id = t.customer_id and e.store_id = t.store_id
          and e.product_id = t.product_id
          -- Hashed, whatever the planner thinks of the rows that it cannot count: as an anti join it
          -- becomes a loop within a loop.
          and (e.rule_id, e.customer_id, e.store_id, e.product_id)
              not in (select rule_id, customer_id, store_id, product_id from eligible)
    ), born as (
        insert into promotion_eligibility
            (rule_id, customer_id, store_id, product_id, cause, cause_position, since)
        select rule_id, customer_id, store_id, product_id, cause, cause_position, $7
        from eligible order by rule_id, customer_id, store_id, product_id
        on conflict (rule_id, customer_id, store_id, product_id) do nothing
        returning rule_id, customer_id, store_id, product_id
    )
    select e.rule_id, e.customer_id, e.store_id, e.product_id,
           (e.rule_id, e.customer_id, e.store_id, e.product_id)
               in (select rule_id, customer_id, store_id, product_id from born) as born
    from eligible e";

impl Evaluation<'_> {
    /// Evaluates every tuple of these pairs. Returns those that became eligible.
    pub async fn evaluate_pairs(&self, pairs: &PairCauses) -> Result<Vec<RuleTuple>, Error> {
        if pairs.stores.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .query(
                "write promotion_eligibility of pairs",
                EVALUATE_PAIRS,
                &[
                    &self.minute(),
                    &pairs.stores,
                    &pairs.products,
                    &pairs.causes,
                    &pairs.positions,
                    &pairs.edited_rules,
                    &self.standing.at,
                ],
            )
            .await?;
        rows.iter().map(RuleTuple::of).collect()
    }

    /// Evaluates these tuples. Returns those that are eligible now, and whether they became so.
    pub async fn evaluate_tuples(
        &self,
        tuples: &TupleCauses,
    ) -> Result<Vec<(RuleTuple, bool)>, Error> {
        if tuples.customers.is_empty() {
            return Ok(Vec::new());
        }
        let part = |read: fn(&Pair) -> i64| -> Vec<Option<i64>> {
            tuples
                .pairs
                .iter()
                .map(|pair| pair.as_ref().map(read))
                .collect()
        };
        let causes: Vec<_> = tuples
            .causes
            .iter()
            .map(|cause| cause.kind.as_str())
            .collect();
        let positions: Vec<_> = tuples.causes.iter().map(|cause| cause.position).collect();
        let rows = self
            .query(
                "write promotion_eligibility of tuples",
                EVALUATE_TUPLES,
                &[
                    &self.minute(),
                    &tuples.customers,
                    &part(|pair| pair.store_id),
                    &part(|pair| pair.product_id),
                    &causes,
                    &positions,
                    &self.standing.at,
                ],
            )
            .await?;
        let tuple = |row| Ok((RuleTuple::of(row)?, column(row, "born")?));
        rows.iter().map(tuple).collect()
    }
}
