//! Why a customer gets a code for a product, or does not: each condition of a rule with its figures.
//!
//! It asks the sink's images and aggregates, not what was last evaluated, so it also answers for another
//! moment. It reads in one snapshot and locks nothing.

use serde::Serialize;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{IsolationLevel, Row};

use super::arm::{Arm, arm_of, bucket};
use super::error::Error;
use super::evaluation::{Policy, Standing, State};
use super::promotion::Event;
use super::statements::{Statements, column};
use super::time::Timestamp;
use crate::connection::Database;

/// Whom to explain, and under what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Customer.
    pub customer_id: i64,
    /// Product.
    pub product_id: i64,
    /// Store; `None` for every store that the customer has bought it in.
    pub store_id: Option<i64>,
    /// Rule; `None` for all that are enabled.
    pub rule_id: Option<i64>,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The moment that it is for.
    pub at: String,
    /// What may be decided on the state as it is.
    pub state: String,
    /// Each tuple under each rule.
    pub tuples: Vec<Tuple>,
}

/// One tuple under one rule.
#[derive(Clone, Debug, Serialize)]
pub struct Tuple {
    /// Rule.
    pub rule_id: i64,
    /// Its name.
    pub rule: String,
    /// Customer.
    pub customer_id: i64,
    /// Store.
    pub store_id: i64,
    /// Product.
    pub product_id: i64,
    /// Whether it meets every condition of eligibility.
    pub eligible: bool,
    /// Whether it may have a code besides, as far as one tuple's own conditions go.
    pub issuable: bool,
    /// Whether `promotion_eligibility` has it now.
    pub listed: bool,
    /// Every condition, those of eligibility first.
    pub conditions: Vec<Condition>,
}

/// One condition with its figures.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    /// What it is about.
    pub name: &'static str,
    /// What it decides.
    pub decides: Decides,
    /// Whether it holds.
    pub holds: bool,
    /// The figures.
    pub figures: String,
}

/// What a condition decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decides {
    /// Whether the tuple is eligible.
    Eligibility,
    /// Whether an eligible one gets a code.
    Issue,
}

const FIGURES: &str = "
    with rule as materialized (
        select r.*, date_trunc('hour', $5::timestamptz, 'UTC') as this_hour,
               (extract(epoch from demand_window) / 3600)::bigint as window_hours,
               (extract(epoch from habit_window) / 86400)::bigint as habit_days
        from promotion_rule r
        where case when $4::bigint is null then enabled else rule_id = $4 end
    ), store as materialized (
        select $3::bigint as store_id where $3 is not null
        union
        select store_id from purchase_habit
        where $3 is null and customer_id = $1 and product_id = $2
    )
    select r.rule_id, r.name, r.tier as rule_tier, r.habit_orders::bigint, r.habit_days, r.on_hand_min,
           r.days_of_cover_min, r.discount_percent, r.codes_max::bigint, r.daily_limit::bigint,
           r.trigger, r.cooldown::text as cooldown, r.rest_after_order::text as rest,
           r.intent_window::text as intent_window,
           r.enabled and r.starts_at <= $5 and $5 < r.ends_at as runs, r.enabled,
           r.starts_at::text as starts_at, r.ends_at::text as ends_at,
           s.store_id, m.tier, coalesce(m.present, false) as known,
           coalesce(m.contact_allowed, false) as contact_allowed,
           habit.orders, i.on_hand, sold.units, seen.hours,
           (i.on_hand::numeric * seen.hours)::text as stock_hours,
           (24::numeric * r.days_of_cover_min * sold.units)::text as demand_hours,
           coalesce(i.on_hand::numeric * seen.hours
                    >= 24::numeric * r.days_of_cover_min * sold.units, false) as covered,
           coalesce(floor((i.on_hand::numeric * seen.hours
                           - 24::numeric * r.days_of_cover_min * sold.units) / seen.hours), 0)
               ::bigint as excess,
           h.last_at, coalesce(h.last_at <= $6 - r.rest_after_order, false) as rested,
           ledger.live, ledger.issued_at, ledger.codes,
           coalesce(ledger.issued_at < $6 - r.cooldown, true) as cooled,
           given.codes as given, today.codes as today, pair.codes as pair_live,
           shopper.about, shopper.entry,
           exists (select from promotion_eligibility e
                   where e.rule_id = r.rule_id and e.customer_id = $1
                     and e.store_id = s.store_id and e.product_id = $2) as listed
    from rule r cross join store s
    left join customer_image m on m.customer_id = $1
    left join inventory_image i on i.store_id = s.store_id and i.product_id = $2
    left join purchase_habit h
        on h.customer_id = $1 and h.store_id = s.store_id and h.product_id = $2
    cross join lateral (
        select count(*) as orders from order_image o
        where o.customer_id = $1 and o.store_id = s.store_id and o.product_id = $2
          and o.counted_at > $5 - r.habit_window and not o.cancelled) habit
    cross join lateral (
        select coalesce(sum(x.units), 0)::bigint as units from sales_hourly x
        where x.store_id = s.store_id and x.product_id = $2
          and x.hour >= r.this_hour - r.demand_window) sold
    cross join lateral (
        select coalesce(least(greatest(
                   (extract(epoch from r.this_hour - min(x.hour)) / 3600)::bigint, 24),
                   r.window_hours), r.window_hours) as hours
        from sales_hourly x
        where x.store_id = s.store_id and x.product_id = $2 and x.units > 0) seen
    cross join lateral (
        select (array_agg(format('%s until %s', p.code, p.valid_until))
                    filter (where p.state in ('issued', 'dispatched') and p.valid_until >= $6))[1]
                   as live,
               max(p.issued_at) filter (where p.state <> 'withdrawn') as issued_at,
               count(*) filter (where p.state <> 'withdrawn' and p.issued_at > h.last_at) as codes
        from promotion p
        where p.rule_id = r.rule_id and p.customer_id = $1 and p.store_id = s.store_id
          and p.product_id = $2) ledger
    cross join lateral (
        select count(*) as codes from promotion p
        where p.customer_id = $1 and p.state <> 'withdrawn'
          and p.issued_at > $6 - interval '24 hours') given
    cross join lateral (
        select count(*) as codes from promotion p
        where p.rule_id = r.rule_id and p.state <> 'withdrawn'
          and p.issued_at >= date_trunc('day', $6::timestamptz, $7::text)) today
    cross join lateral (
        select count(*) as codes from promotion p
        where p.store_id = s.store_id and p.product_id = $2
          and p.state in ('issued', 'dispatched') and p.valid_until >= $6) pair
    cross join lateral (
        select (jsonb_agg(x.event order by x.occurred_at desc) filter (where x.product_id is not null))
                   -> 0 as about,
               (jsonb_agg(x.event order by x.occurred_at) filter (where x.product_id is null))
                   -> 0 as entry
        from (
            select e.*, jsonb_build_object('event_id', event_id, 'type', type,
                                           'occurred_at', occurred_at::text) as event
            from shopper_event e
            where e.customer_id = $1 and e.store_id = s.store_id
              and e.occurred_at > $6 - r.intent_window
              and e.occurred_at <= $6 + interval '1 minute'
              and case when e.product_id is null then e.promotion_id is null
                       else e.product_id = $2 end) x) shopper
    order by r.rule_id, s.store_id";

/// Explains it as of the policy's moment.
pub async fn explain(
    database: &mut Database,
    statements: &Statements,
    policy: &Policy,
    question: Question,
) -> Result<Explanation, Error> {
    let failed = |error| Error::sink("begin", error);
    let transaction = database
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(failed)?;
    transaction
        .batch_execute("set local timezone = 'UTC'; set local intervalstyle = 'postgres'")
        .await
        .map_err(failed)?;
    let standing = Standing::read(&transaction, statements, policy).await?;
    let (at, minute) = (standing.at, standing.at.minute());
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &question.customer_id,
        &question.product_id,
        &question.store_id,
        &question.rule_id,
        &minute,
        &at,
        &policy.day_zone,
    ];
    let rows = statements
        .query(&transaction, "explain a tuple", FIGURES, &parameters)
        .await?;
    let tuples = rows
        .iter()
        .map(|row| tuple(row, question, &standing, policy))
        .collect::<Result<_, Error>>()?;
    Ok(Explanation {
        at: shown(at),
        state: standing.state().to_string(),
        tuples,
    })
}

fn tuple(
    row: &Row,
    question: Question,
    standing: &Standing,
    policy: &Policy,
) -> Result<Tuple, Error> {
    let mut conditions = eligibility(row, question)?;
    conditions.push(arm(question.customer_id, policy));
    conditions.extend(own_codes(row)?);
    conditions.extend(limits(row, standing, policy)?);
    let all = |decides: Decides| {
        let mut of_it = conditions.iter().filter(|one| one.decides == decides);
        of_it.all(|one| one.holds)
    };
    let eligible = all(Decides::Eligibility);
    Ok(Tuple {
        rule_id: column(row, "rule_id")?,
        rule: column(row, "name")?,
        customer_id: question.customer_id,
        store_id: column(row, "store_id")?,
        product_id: question.product_id,
        eligible,
        issuable: eligible && all(Decides::Issue),
        listed: column(row, "listed")?,
        conditions,
    })
}

fn eligibility(row: &Row, question: Question) -> Result<Vec<Condition>, Error> {
    let condition = |name, holds, figures| Condition {
        name,
        decides: Decides::Eligibility,
        holds,
        figures,
    };
    let (enabled, runs): (bool, bool) = (column(row, "enabled")?, column(row, "runs")?);
    let (starts, ends): (String, String) = (column(row, "starts_at")?, column(row, "ends_at")?);
    let switch = if enabled { "enabled" } else { "disabled" };
    let (rule_tier, tier): (String, Option<String>) =
        (column(row, "rule_tier")?, column(row, "tier")?);
    let known: bool = column(row, "known")?;
    let customer = question.customer_id;
    let whose = match (&tier, known) {
        (_, false) => format!("customer {customer} is not in the customers' table"),
        (None, true) => format!("customer {customer} has no tier"),
        (Some(tier), true) => format!("customer {customer} is {tier}"),
    };
    let (orders, wanted): (i64, i64) = (column(row, "orders")?, column(row, "habit_orders")?);
    let days: i64 = column(row, "habit_days")?;
    let (on_hand, least): (Option<i32>, i32) =
        (column(row, "on_hand")?, column(row, "on_hand_min")?);
    let stock = on_hand.map_or("no level".to_owned(), |units| format!("{units} on hand"));
    let (hours, units): (i64, i64) = (column(row, "hours")?, column(row, "units")?);
    let cover: i32 = column(row, "days_of_cover_min")?;
    let (have, need): (Option<String>, String) =
        (column(row, "stock_hours")?, column(row, "demand_hours")?);
    let have = have.unwrap_or_else(|| "nothing".to_owned());
    Ok(vec![
        condition("rule", runs, format!("{switch}, from {starts} to {ends}")),
        condition(
            "tier",
            known && tier.as_deref() == Some(&rule_tier),
            format!("{whose}; wanted: {rule_tier}"),
        ),
        condition(
            "habit",
            orders >= wanted,
            format!("{orders} uncancelled orders in {days} days; wanted: {wanted}"),
        ),
        condition(
            "stock",
            on_hand.is_some_and(|units| units >= least),
            format!("{stock}; wanted: {least}"),
        ),
        condition(
            "cover",
            column(row, "covered")?,
            format!(
                "{units} units sold in {hours} hours; on hand × hours = {have}, \
                 24 × {cover} days × sold = {need}; wanted: at least as much"
            ),
        ),
    ])
}

/// Whether it is the stream that issues the customer's codes.
fn arm(customer_id: i64, policy: &Policy) -> Condition {
    let arm = arm_of(policy.arms, customer_id);
    let told = match arm {
        Arm::Stream => "",
        Arm::Batch => ": tidewater batch issues its codes",
        Arm::Holdout => ": it gets no code",
    };
    let figures = format!(
        "customer {customer_id} is in the {} arm, by bucket {} of 0 to 99{told}",
        arm.name(),
        bucket(customer_id)
    );
    issue("arm", arm == Arm::Stream, figures)
}

/// What the tuple's own codes, orders and events say.
fn own_codes(row: &Row) -> Result<Vec<Condition>, Error> {
    let live: Option<String> = column(row, "live")?;
    let issued_at: Option<Timestamp> = column(row, "issued_at")?;
    let cooldown: String = column(row, "cooldown")?;
    let last_at: Option<Timestamp> = column(row, "last_at")?;
    let rest: String = column(row, "rest")?;
    let (codes, codes_max): (i64, i64) = (column(row, "codes")?, column(row, "codes_max")?);
    let since = |what: &str, at: Option<Timestamp>| match at {
        None => format!("no {what} yet"),
        Some(at) => format!("last {what} {}", shown(at)),
    };
    Ok(vec![
        due(row)?,
        issue(
            "consent",
            column(row, "contact_allowed")?,
            "whether the customer may be contacted".to_owned(),
        ),
        issue(
            "live code",
            live.is_none(),
            live.unwrap_or_else(|| "none".to_owned()),
        ),
        issue(
            "cooldown",
            column(row, "cooled")?,
            format!(
                "{}; wanted: more than {cooldown} ago",
                since("code", issued_at)
            ),
        ),
        issue(
            "rest",
            column(row, "rested")?,
            format!("{}; wanted: at least {rest} ago", since("order", last_at)),
        ),
        issue(
            "codes",
            codes < codes_max,
            format!("{codes} since the last order; wanted: fewer than {codes_max}"),
        ),
    ])
}

fn due(row: &Row) -> Result<Condition, Error> {
    let trigger: String = column(row, "trigger")?;
    if trigger == "stock" {
        return Ok(issue(
            "trigger",
            true,
            "stock: no event is asked for".to_owned(),
        ));
    }
    let (about, entry): (Option<Json<Event>>, Option<Json<Event>>) =
        (column(row, "about")?, column(row, "entry")?);
    let window: String = column(row, "intent_window")?;
    let event = about.or(entry);
    let figures = match &event {
        Some(Json(event)) => format!("intent: {} at {}", event.r#type, event.occurred_at),
        None => format!("intent: no event about the product or the store within {window}"),
    };
    Ok(issue("trigger", event.is_some(), figures))
}

/// What other tuples leave room for.
fn limits(row: &Row, standing: &Standing, policy: &Policy) -> Result<Vec<Condition>, Error> {
    let state = standing.state();
    let (today, daily): (i64, i64) = (column(row, "today")?, column(row, "daily_limit")?);
    let (given, customer): (i64, i64) = (column(row, "given")?, policy.customer_limit);
    let (live, excess): (i64, i64) = (column(row, "pair_live")?, column(row, "excess")?);
    Ok(vec![
        issue("state", state == State::Issuing, state.to_string()),
        issue(
            "daily limit",
            today < daily,
            format!("{today} codes of the rule today; wanted: fewer than {daily}"),
        ),
        issue(
            "customer limit",
            given < customer,
            format!("{given} codes of the customer in 24 hours; wanted: fewer than {customer}"),
        ),
        issue(
            "excess",
            live < excess,
            format!(
                "{live} live codes of the product in the store; wanted: fewer than {excess}, its excess units"
            ),
        ),
    ])
}

fn issue(name: &'static str, holds: bool, figures: String) -> Condition {
    Condition {
        name,
        decides: Decides::Issue,
        holds,
        figures,
    }
}

fn shown(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.micros())
        .map_or_else(|_| at.micros().to_string(), |at| format!("{at:.6}"))
}
