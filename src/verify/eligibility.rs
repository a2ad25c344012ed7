//! Conditions and eligible tuples, computed at the whole minute of the sink's `now()`.
//!
//! The consumer evaluates a tuple when something about it changes, and all of them once a minute. So a
//! row may still be as of one of the last minutes: it is right if it is what the model gives for any
//! of them. Minutes make a difference only to what turns with the clock alone (an order leaves its
//! window, an hour ends, a rule starts); those rows are counted in a note, all others must be exact.

use std::collections::{BTreeSet, HashMap, HashSet};

use tokio_postgres::Client;

use super::Error;
use super::model::{Condition, Eligible, Model, Rule, Shop};
use super::report::{Comparison, DifferenceKind};
use super::rows::{Pass, query};

const MINUTE_US: i64 = 60_000_000;
/// How many minutes ago the last complete evaluation may have been.
const MINUTES_BACK: i64 = 2;

pub(super) const CONDITIONS: &str = "promotion_condition";
pub(super) const ELIGIBLE: &str = "promotion_eligibility";

/// Compares `promotion_condition` and `promotion_eligibility`.
pub(super) async fn verify(pass: &mut Pass<'_>, model: &Model) -> Result<(), Error> {
    let sink = pass.sink;
    if !warm(sink).await? {
        pass.findings
            .note("warming up: a snapshot is not complete, so nothing is eligible yet");
        return Ok(());
    }
    let now = sink
        .query_one("select (extract(epoch from now()) * 1000000)::bigint", &[])
        .await
        .map_err(query("reading the time"))?;
    let minute = now.get::<_, i64>(0).div_euclid(MINUTE_US) * MINUTE_US;
    let minutes: Vec<i64> = (0..=MINUTES_BACK)
        .map(|back| minute - back * MINUTE_US)
        .collect();
    let shown = |minute: &i64| jiff::Timestamp::from_microsecond(*minute).ok();
    pass.findings.report().evaluated_at = minutes
        .iter()
        .filter_map(shown)
        .map(|minute| minute.to_string())
        .collect();
    let rules = rules(sink).await?;
    let shop = Shop::new(model);
    conditions(pass, &shop, &rules, &minutes).await?;
    tuples(pass, &shop, &rules, &minutes).await
}

/// Whether every partition has passed the end of a complete snapshot.
pub(super) async fn warm(sink: &Client) -> Result<bool, Error> {
    let sql = "select coalesce(bool_and(snapshot_ended), false) from consumer_offset";
    let row = sink
        .query_one(sql, &[])
        .await
        .map_err(query("reading the offsets"))?;
    Ok(row.get(0))
}

async fn rules(sink: &Client) -> Result<Vec<Rule>, Error> {
    let sql = "
        select rule_id, tier, habit_orders::bigint,
               (extract(epoch from habit_window) * 1000000)::bigint,
               (extract(epoch from demand_window) * 1000000)::bigint,
               days_of_cover_min::bigint, on_hand_min::bigint, enabled,
               case when isfinite(starts_at) then (extract(epoch from starts_at) * 1000000)::bigint
                    when starts_at < now() then -9223372036854775808
                    else 9223372036854775807 end,
               case when isfinite(ends_at) then (extract(epoch from ends_at) * 1000000)::bigint
                    when ends_at < now() then -9223372036854775808
                    else 9223372036854775807 end
        from promotion_rule order by rule_id";
    let rows = sink
        .query(sql, &[])
        .await
        .map_err(query("reading the rules"))?;
    let rule = |row: &tokio_postgres::Row| Rule {
        id: row.get(0),
        tier: row.get(1),
        habit_orders: row.get(2),
        habit_window_us: row.get(3),
        demand_window_us: row.get(4),
        days_of_cover_min: row.get(5),
        on_hand_min: row.get(6),
        enabled: row.get(7),
        starts_us: row.get(8),
        ends_us: row.get(9),
    };
    Ok(rows.iter().map(rule).collect())
}

async fn conditions(
    pass: &mut Pass<'_>,
    shop: &Shop<'_>,
    rules: &[Rule],
    minutes: &[i64],
) -> Result<(), Error> {
    pass.findings.begin(CONDITIONS, Comparison::TopicsAndSink);
    let by_id: HashMap<i64, &Rule> = rules.iter().map(|rule| (rule.id, rule)).collect();
    let sql = "select rule_id, store_id, product_id, on_hand, units, hours, holds
               from promotion_condition";
    let rows = pass
        .sink
        .query(sql, &[])
        .await
        .map_err(query("reading the conditions"))?;
    let mut known = HashSet::new();
    for row in &rows {
        let [id, store, product] = [row.get(0), row.get(1), row.get(2)];
        known.insert([id, store, product]);
        pass.findings.row();
        let Some(rule) = by_id.get(&id).filter(|rule| runs(rule, minutes)) else {
            continue;
        };
        let found = Condition {
            on_hand: row.get(3),
            units: row.get(4),
            hours: row.get(5),
            holds: row.get(6),
        };
        let at = |minute: &i64| shop.condition(rule, [store, product], *minute);
        if !minutes.iter().any(|minute| at(minute) == found) {
            pass.note(CONDITIONS, &[id, store, product]);
            pass.findings
                .differs(DifferenceKind::Unequal, |difference| {
                    difference.key =
                        format!("rule_id={id}, store_id={store}, product_id={product}");
                    difference.expected = minutes.first().map(|minute| shown(&at(minute)));
                    difference.found = Some(shown(&found));
                });
        }
    }
    for rule in rules.iter().filter(|rule| runs(rule, minutes)) {
        for [store, product] in shop.pairs() {
            let holds = |minute: &i64| shop.condition(rule, [store, product], *minute).holds;
            if !known.contains(&[rule.id, store, product]) && minutes.iter().all(holds) {
                pass.note(CONDITIONS, &[rule.id, store, product]);
                pass.findings
                    .differs(DifferenceKind::Missing, |difference| {
                        difference.key = format!(
                            "rule_id={}, store_id={store}, product_id={product}",
                            rule.id
                        );
                    });
            }
        }
    }
    Ok(())
}

/// Whether the rule was in effect at every one of the minutes.
fn runs(rule: &Rule, minutes: &[i64]) -> bool {
    minutes.iter().all(|minute| rule.runs_at(*minute))
}

fn shown(condition: &Condition) -> String {
    let Condition {
        on_hand,
        units,
        hours,
        holds,
    } = condition;
    let on_hand = on_hand.map_or_else(|| "null".to_owned(), |level| level.to_string());
    format!("on_hand={on_hand}, units={units}, hours={hours}, holds={holds}")
}

async fn tuples(
    pass: &mut Pass<'_>,
    shop: &Shop<'_>,
    rules: &[Rule],
    minutes: &[i64],
) -> Result<(), Error> {
    pass.findings.begin(ELIGIBLE, Comparison::TopicsAndSink);
    let eligible: Vec<BTreeSet<Eligible>> = minutes
        .iter()
        .map(|minute| shop.eligible(rules, *minute))
        .collect();
    let any: BTreeSet<Eligible> = eligible.iter().flatten().copied().collect();
    let always = |tuple: &Eligible| eligible.iter().all(|eligible| eligible.contains(tuple));
    let sql = "select rule_id, customer_id, store_id, product_id, cause_position
               from promotion_eligibility";
    let rows = pass
        .sink
        .query(sql, &[])
        .await
        .map_err(query("reading the eligible tuples"))?;
    let mut found: HashSet<Eligible> = HashSet::with_capacity(rows.len());
    for row in &rows {
        let tuple = [row.get(0), row.get(1), row.get(2), row.get(3)];
        found.insert(tuple);
        pass.findings.row();
        if !any.contains(&tuple) {
            pass.note(ELIGIBLE, &tuple);
            pass.findings
                .differs(DifferenceKind::Unexpected, |difference| {
                    difference.key = key(&tuple);
                    difference.position = row.get(4);
                });
        }
    }
    for tuple in any
        .iter()
        .filter(|tuple| always(tuple) && !found.contains(*tuple))
    {
        pass.note(ELIGIBLE, tuple);
        pass.findings
            .differs(DifferenceKind::Missing, |difference| {
                difference.key = key(tuple);
            });
    }
    let turning = any.iter().filter(|tuple| !always(tuple)).count();
    if turning > 0 {
        pass.findings.note(format!(
            "{turning} tuples turned with the clock in the last {MINUTES_BACK} minutes and may be \
             either way until the next sweep"
        ));
    }
    Ok(())
}

fn key([rule, customer, store, product]: &Eligible) -> String {
    format!("rule_id={rule}, customer_id={customer}, store_id={store}, product_id={product}")
}
