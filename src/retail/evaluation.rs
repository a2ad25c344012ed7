//! One evaluation of the promotion rules: a sink transaction that holds the row locks of some pairs,
//! as of one moment.
//!
//! ```text
//! touched ─▶ conditions ─flipped─▶ pairs  ─┐
//!         └─ tuples, customers ──▶ tuples ─┴▶ newly eligible or touched ─▶ issue
//! ```
//!
//! The moment is the sink's clock read *after* the locks were taken. Of two transactions that want the
//! same pair the later therefore evaluates it at the later time, and what a sweep found at 10:00 is not
//! undone by a batch that began at 9:59 and waited.

use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row, Transaction};
use uuid::Uuid;

use super::code::Codes;
use super::eligibility::TupleCauses;
use super::error::Error;
use super::promotion::redemption::settle;
use super::statements::{Statements, column};
use super::time::Timestamp;
use super::touched::{Pair, Touched, Unsettled};
use crate::config::settings::{Arms, Retail};

/// What decisions depend on besides the sink.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Codes of a customer in 24 hours over all rules.
    pub customer_limit: i64,
    /// No code is issued on state that is this old, seconds.
    pub issue_max_lag_seconds: f64,
    /// Time zone that a rule's `daily_limit` counts days in.
    pub day_zone: String,
    /// Who issues which customers' codes.
    pub arms: Arms,
    /// Makes the codes.
    pub codes: Codes,
    /// Decide as if it were that moment; `None` for the sink's clock.
    pub at: Option<Timestamp>,
}

impl Policy {
    /// As configured, by the sink's clock.
    pub fn new(retail: &Retail) -> Policy {
        Policy {
            customer_limit: i64::from(retail.customer_limit),
            issue_max_lag_seconds: retail.issue_max_lag.as_secs_f64(),
            day_zone: retail.day_zone.clone(),
            arms: retail.arms,
            codes: Codes::new(&retail.code_secret),
            at: None,
        }
    }
}

/// What may be decided on the state as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Some partition has not passed the end of a snapshot, or nothing was evaluated since: nothing is
    /// decided.
    WarmingUp,
    /// The state is older than `retail.issue_max_lag`: eligibility follows it, but no code is issued or
    /// dispatched.
    Behind,
    /// Codes are issued.
    Issuing,
}

impl State {
    /// As `status` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::WarmingUp => "warming up",
            State::Behind => "behind",
            State::Issuing => "issuing",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the sink stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The moment that it was asked.
    pub at: Timestamp,
    /// Whether every partition has passed the end of a snapshot.
    pub complete: bool,
    /// The minute that everything was last evaluated at; `None` before the first time.
    pub evaluated_at: Option<Timestamp>,
    /// Whether `now() - applied_until()` is below the limit.
    pub fresh: bool,
    /// The namespace of the sink's promotion ids.
    pub namespace: Uuid,
}

impl Standing {
    /// Asks the sink.
    pub async fn read(
        client: &impl GenericClient,
        statements: &Statements,
        policy: &Policy,
    ) -> Result<Standing, Error> {
        const SQL: &str = "
            select clock.at, i.evaluated_at, i.namespace,
                   coalesce((select bool_and(snapshot_ended) from consumer_offset), false)
                       as complete,
                   coalesce(clock.at - applied_until() < make_interval(secs => $2), false)
                       as fresh
            from sink_identity i, (select coalesce($1::timestamptz, clock_timestamp())) clock (at)";
        let parameters: [&(dyn ToSql + Sync); 2] = [&policy.at, &policy.issue_max_lag_seconds];
        let rows = statements
            .query(client, "read where it stands", SQL, &parameters)
            .await?;
        let row = rows.first().ok_or(Error::Damaged {
            what: "sink_identity has no row",
        })?;
        Ok(Standing {
            at: column(row, "at")?,
            complete: column(row, "complete")?,
            evaluated_at: column(row, "evaluated_at")?,
            fresh: column(row, "fresh")?,
            namespace: column(row, "namespace")?,
        })
    }

    /// What may be decided.
    pub fn state(&self) -> State {
        match (self.complete && self.evaluated_at.is_some(), self.fresh) {
            (false, _) => State::WarmingUp,
            (true, false) => State::Behind,
            (true, true) => State::Issuing,
        }
    }
}

impl Pair {
    pub(super) fn of(row: &Row) -> Result<Pair, Error> {
        Ok(Pair {
            store_id: column(row, "store_id")?,
            product_id: column(row, "product_id")?,
        })
    }
}

/// Rule, customer, store and product: what a code is issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleTuple {
    /// Rule.
    pub rule_id: i64,
    /// Customer.
    pub customer_id: i64,
    /// Where and what.
    pub pair: Pair,
}

impl RuleTuple {
    pub(super) fn of(row: &Row) -> Result<RuleTuple, Error> {
        Ok(RuleTuple {
            rule_id: column(row, "rule_id")?,
            customer_id: column(row, "customer_id")?,
            pair: Pair::of(row)?,
        })
    }

    /// The four numbers that its promotion ids are made of.
    pub fn numbers(&self) -> [i64; 4] {
        let Pair {
            store_id,
            product_id,
        } = self.pair;
        [self.rule_id, self.customer_id, store_id, product_id]
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// Codes issued.
    pub issued: usize,
    /// Tuples that became eligible.
    pub born: Vec<RuleTuple>,
}

/// An evaluation under way. The row locks of every pair that it is asked about must be held.
pub struct Evaluation<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) statements: &'a Statements,
    pub(super) policy: &'a Policy,
    pub(super) standing: Standing,
}

impl<'a> Evaluation<'a> {
    /// Reads the clock and where the sink stands. Call it with the locks held.
    pub async fn begin(
        transaction: &'a Transaction<'a>,
        statements: &'a Statements,
        policy: &'a Policy,
    ) -> Result<Evaluation<'a>, Error> {
        let standing = Standing::read(transaction, statements, policy).await?;
        Ok(Evaluation {
            transaction,
            statements,
            policy,
            standing,
        })
    }

    /// Where the sink stood when it began.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Decides on everything that a batch touched.
    pub async fn decide(&self, touched: &Touched) -> Result<Decided, Error> {
        if touched.is_empty() || !self.standing.complete {
            return Ok(Decided::default());
        }
        let pairs: Vec<Pair> = touched.pairs.keys().copied().collect();
        let flipped = self.write_conditions(&pairs).await?;
        let caused: Vec<_> = flipped
            .iter()
            .filter_map(|pair| Some((*pair, *touched.pairs.get(pair)?)))
            .collect();
        let mut born = self.evaluate_pairs(&caused.as_slice().into()).await?;
        let of_tuples = self.evaluate_tuples(&TupleCauses::of(touched)).await?;
        born.extend(
            of_tuples
                .iter()
                .filter_map(|(tuple, born)| born.then_some(*tuple)),
        );
        let mut tuples = born.clone();
        tuples.extend(of_tuples.into_iter().map(|(tuple, _)| tuple));
        tuples.sort_unstable();
        tuples.dedup();
        let issued = match self.standing.state() {
            State::Issuing => self.issue(&tuples, touched).await?,
            State::WarmingUp | State::Behind => 0,
        };
        Ok(Decided { issued, born })
    }

    /// Settles which orders redeem codes, and which are refused.
    pub(super) async fn settle(&self, unsettled: &Unsettled) -> Result<(), Error> {
        let at = Some(self.standing.at);
        settle(self.transaction, self.statements, at, unsettled).await?;
        Ok(())
    }

    pub(super) fn minute(&self) -> Timestamp {
        self.standing.at.minute()
    }

    pub(super) async fn query(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.statements
            .query(self.transaction, doing, sql, parameters)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_issued_before_everything_was_evaluated_or_on_old_state() {
        let standing = |complete, evaluated: bool, fresh| Standing {
            at: Timestamp::from_micros(0),
            complete,
            evaluated_at: evaluated.then(|| Timestamp::from_micros(0)),
            fresh,
            namespace: Uuid::nil(),
        };
        for (complete, evaluated, fresh, state) in [
            (false, false, true, State::WarmingUp),
            (false, true, true, State::WarmingUp),
            (true, false, true, State::WarmingUp),
            (true, true, false, State::Behind),
            (true, true, true, State::Issuing),
        ] {
            assert_eq!(standing(complete, evaluated, fresh).state(), state);
        }
    }
}
