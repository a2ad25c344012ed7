//! The sweep: once a minute everything is evaluated anew, so that what turns with the clock alone turns
//! in time — an order leaves its window, an hour ends, a rule starts, is edited or disabled, a cooldown
//! passes, a limit has room again.
//!
//! ```text
//! minute ─▶ chunks of pairs: lock, conditions, compare the whole set ─▶ evaluated_at ─▶ issue
//! ```
//!
//! One instance sweeps at a time, the one that holds an advisory lock on its connection; another takes
//! over when that connection ends. The sweep and the batches take the same row locks of pairs, so two
//! sweeps at once would be a waste and no harm. The first sweep after a snapshot is the first complete
//! evaluation: before it no batch issues a code, so that the limits' order holds over everything at the
//! first start too.

mod task;

use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::eligibility::PairCauses;
use super::error::Error;
use super::evaluation::{Evaluation, Policy, Standing, State};
use super::issue::{Evaluated, issue_to};
use super::promotion::redemption::settle;
use super::statements::{Session, Statements, column, commit};
use super::time::Timestamp;
use super::touched::{Pair, Unsettled};
use crate::connection::Connection;
use crate::telemetry;

pub(super) use task::Sweep;

/// Key of the lock that the sweeping instance holds.
const SWEEP_LOCK: i64 = 0x7469_6465_7377_6570;
/// How long a transaction holds its pairs' locks, about: batches wait for them. How many pairs that allows depends on
/// their habits, of which there may be none or thousands.
const LOCKED_FOR: Duration = Duration::from_millis(100);
/// Pairs of one transaction, at least and at most.
const PAIRS_MIN: i64 = 16;
const PAIRS_MAX: i64 = 10_000;
/// For so long a sweep rests after each transaction as long as that took: batches and events go before.
const AT_EASE: Duration = Duration::from_secs(20);
/// Candidates of one issuing transaction.
const CANDIDATES_MAX: i64 = 1_000;

/// The sweeping connection.
#[derive(Debug)]
pub struct Sweeper {
    session: Session,
    policy: Policy,
    rules: Option<Vec<RuleText>>,
    /// Pairs of the next transaction.
    pairs: i64,
}

/// A rule as it was at the last sweep, to notice an edit.
type RuleText = (i64, String);

impl Sweeper {
    /// Logs in.
    pub async fn connect(connection: &Connection, policy: Policy) -> Result<Sweeper, Error> {
        Ok(Sweeper {
            session: Session::connect(connection).await?,
            policy,
            rules: None,
            pairs: PAIRS_MIN,
        })
    }

    /// Decides at that moment from now on, instead of by the sink's clock.
    pub fn set_at(&mut self, at: Timestamp) {
        self.policy.at = Some(at);
    }

    /// Asks for the right to sweep; it lasts as long as the connection.
    pub async fn try_own(&self) -> Result<bool, Error> {
        const SQL: &str = "select pg_try_advisory_lock($1) as owned";
        let rows = self
            .session
            .query("ask for the sweep", SQL, &[&SWEEP_LOCK])
            .await?;
        rows.first().map_or(Ok(false), |row| column(row, "owned"))
    }

    /// Where the sink stands.
    pub async fn standing(&self) -> Result<Standing, Error> {
        Standing::read(
            &*self.session.database,
            self.session.statements(),
            &self.policy,
        )
        .await
    }

    /// Has the server look at tables that it has never looked at. What it does by itself comes a minute or two after
    /// a snapshot has filled them, and plans are those for empty tables until then.
    pub async fn analyze_new_tables(&self) -> Result<(), Error> {
        const SQL: &str = "
            select coalesce(string_agg(format('analyze %s', oid::regclass), '; '), '') as statements
            from pg_class
            where relnamespace = current_schema()::regnamespace and relkind = 'r'
              and reltuples < 0 and pg_has_role(relowner, 'usage')";
        let rows = self
            .session
            .query("look for tables without statistics", SQL, &[])
            .await?;
        let statements: String = rows
            .first()
            .map_or(Ok(String::new()), |row| column(row, "statements"))?;
        self.session
            .database
            .batch_execute(&statements)
            .await
            .map_err(|error| Error::sink("analyze new tables", error))
    }

    /// Evaluates every pair under every rule, and expires codes. Issues nothing.
    pub async fn evaluate(&mut self) -> Result<(), Error> {
        let standing = self.standing().await?;
        let edited = self.edited_rules().await?;
        let mut after = Pair {
            store_id: i64::MIN,
            product_id: i64::MIN,
        };
        let began = Instant::now();
        loop {
            let chunk_began = Instant::now();
            let Some(last) = self.evaluate_chunk(after, &edited).await? else {
                break;
            };
            after = last;
            // Codes wait for the first one.
            if standing.evaluated_at.is_some() && began.elapsed() < AT_EASE {
                tokio::time::sleep(chunk_began.elapsed()).await;
            }
        }
        self.finish(standing.at).await
    }

    /// Evaluates the pairs that follow; returns the last of them.
    async fn evaluate_chunk(&mut self, after: Pair, edited: &[i64]) -> Result<Option<Pair>, Error> {
        const LOCK: &str = "
            select store_id, product_id from store_product
            where (store_id, product_id) > ($1, $2)
            order by store_id, product_id limit $3
            for update";
        let policy = &self.policy;
        let (transaction, statements) = self.session.begin().await?;
        let parameters: [&(dyn ToSql + Sync); 3] =
            [&after.store_id, &after.product_id, &self.pairs];
        let rows = statements
            .query(&transaction, "lock pairs", LOCK, &parameters)
            .await?;
        let locked_at = Instant::now();
        let pairs: Vec<Pair> = rows.iter().map(Pair::of).collect::<Result<_, Error>>()?;
        let evaluation = Evaluation::begin(&transaction, statements, policy).await?;
        // A rebuild may have begun meanwhile.
        if evaluation.standing().complete {
            evaluation.write_conditions(&pairs).await?;
            let causes = PairCauses::by_time(&pairs, edited);
            evaluation.evaluate_pairs(&causes).await?;
        }
        commit(transaction).await?;
        self.pairs = pairs_within(LOCKED_FOR, self.pairs, locked_at.elapsed());
        Ok(pairs.last().copied())
    }

    /// Notes that everything was evaluated, unless a rebuild has begun, and expires codes.
    async fn finish(&mut self, at: Timestamp) -> Result<(), Error> {
        const EVALUATED: &str = "
            update sink_identity set evaluated_at = $1
            where (select bool_and(snapshot_ended) from consumer_offset)";
        const EXPIRE: &str = "
            with code as materialized (
                select promotion_id from promotion
                where state = 'dispatched' and valid_until < $1
                order by promotion_id for no key update
            )
            update promotion p set state = 'expired' from code c
            where p.promotion_id = c.promotion_id and p.state = 'dispatched'";
        const COUNT: &str = "select count(*) as tuples from promotion_eligibility";
        let (transaction, statements) = self.session.begin().await?;
        statements
            .execute(
                &transaction,
                "note the evaluation",
                EVALUATED,
                &[&at.minute()],
            )
            .await?;
        let expired = statements
            .execute(&transaction, "expire codes", EXPIRE, &[&at])
            .await?;
        let rows = statements
            .query(&transaction, "count eligible tuples", COUNT, &[])
            .await?;
        let missed = missed_codes(&transaction, statements, at).await?;
        settle(&transaction, statements, Some(at), &missed).await?;
        commit(transaction).await?;
        let tuples: i64 = rows.first().map_or(Ok(0), |row| column(row, "tuples"))?;
        gauge!(telemetry::ELIGIBLE_TUPLES).set(tuples as f64);
        counter!(telemetry::CODES_EXPIRED).increment(expired);
        Ok(())
    }

    /// Issues codes over the whole set, in the order of issue, until nobody may have one; says how many.
    /// Nothing is issued unless the state allows it.
    pub async fn issue(&mut self) -> Result<usize, Error> {
        let mut issued = 0;
        loop {
            let (candidates, more) = self.issue_some().await?;
            issued += more;
            if more == 0 || i64::try_from(candidates).is_ok_and(|count| count < CANDIDATES_MAX) {
                return Ok(issued);
            }
        }
    }

    /// Issues to the first candidates; returns how many there were and how many got a code. They are
    /// found without locks, then locked and evaluated again.
    async fn issue_some(&mut self) -> Result<(usize, usize), Error> {
        let policy = &self.policy;
        let (transaction, statements) = self.session.begin().await?;
        let evaluation = Evaluation::begin(&transaction, statements, policy).await?;
        if evaluation.standing().state() != State::Issuing {
            return Ok((0, 0));
        }
        let candidates = evaluation.issuable(CANDIDATES_MAX).await?;
        if candidates.is_empty() {
            return Ok((0, 0));
        }
        let issued = issue_to(
            &transaction,
            statements,
            policy,
            &candidates,
            Evaluated::All,
        )
        .await?;
        commit(transaction).await?;
        Ok((candidates.len(), issued))
    }

    /// Rules that are new or were edited since the last sweep of this connection.
    async fn edited_rules(&mut self) -> Result<Vec<i64>, Error> {
        const SQL: &str = "select rule_id, r::text as rule from promotion_rule r order by rule_id";
        let rows = self.session.query("read rules", SQL, &[]).await?;
        let text = |row| Ok((column(row, "rule_id")?, column(row, "rule")?));
        let rules: Vec<RuleText> = rows.iter().map(text).collect::<Result<_, Error>>()?;
        let edited = match &self.rules {
            None => Vec::new(),
            Some(before) => rules
                .iter()
                .filter(|rule| !before.contains(rule))
                .map(|(rule_id, _)| *rule_id)
                .collect(),
        };
        self.rules = Some(rules);
        Ok(edited)
    }
}

/// How many pairs to take next when so many took that time.
fn pairs_within(limit: Duration, pairs: i64, took: Duration) -> i64 {
    let next = if took > limit {
        pairs / 2
    } else if took < limit / 2 {
        pairs * 2
    } else {
        pairs
    };
    next.clamp(PAIRS_MIN, PAIRS_MAX)
}

/// Codes that an order was refused for as unknown while they were being issued: neither transaction could
/// see the other.
async fn missed_codes(
    transaction: &Transaction<'_>,
    statements: &Statements,
    at: Timestamp,
) -> Result<Unsettled, Error> {
    const SQL: &str = "
        select p.code from promotion p
        join promotion_refusal f on f.promotion_code = p.code and f.promotion_id is null
        where p.issued_at > $1::timestamptz - interval '1 hour'";
    let rows = statements
        .query(transaction, "look for missed codes", SQL, &[&at])
        .await?;
    let codes: Result<Vec<String>, Error> = rows.iter().map(|row| column(row, "code")).collect();
    Ok(Unsettled::codes(codes?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_takes_as_many_pairs_as_its_time_allows() {
        let after = |pairs, milliseconds| {
            pairs_within(
                Duration::from_millis(100),
                pairs,
                Duration::from_millis(milliseconds),
            )
        };
        assert_eq!(after(200, 20), 400);
        assert_eq!(after(200, 70), 200);
        assert_eq!(after(200, 300), 100);
        assert_eq!(after(PAIRS_MIN, 3_000), PAIRS_MIN);
        assert_eq!(after(PAIRS_MAX, 1), PAIRS_MAX);
    }
}
