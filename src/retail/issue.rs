//! Codes for tuples that are known to be due, in a transaction that evaluates them anew under their pairs' locks.
//!
//! ```text
//! events       store event ── eligible? no ──────── commit ── eligible now? ──▶ issue
//! change batch     make tuple eligible ── event? no ──── commit ── event now? ──▶ issue
//! ```
//!
//! An event and the change that makes its tuple eligible may be under way at once: neither transaction sees the
//! other's rows, and neither issues the code. So each side asks again when it is committed, and the later of the
//! two sees both. What a crash keeps from asking the sweep finds.

use tokio_postgres::Transaction;

use super::eligibility::PairCauses;
use super::error::Error;
use super::evaluation::{Evaluation, Policy, RuleTuple, State};
use super::statements::{Session, Statements, commit};
use super::touched::{Pair, Touched};

/// Which of the tuples' pairs are evaluated whole, beside their stock side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evaluated {
    /// Those whose stock side flipped: what turns with the clock alone the next sweep sees.
    Flipped,
    /// All: a minute may have begun since they were.
    All,
}

/// Issues codes to those of these tuples that may have one; says how many.
pub(super) async fn issue_to(
    transaction: &Transaction<'_>,
    statements: &Statements,
    policy: &Policy,
    tuples: &[RuleTuple],
    evaluated: Evaluated,
) -> Result<usize, Error> {
    if tuples.is_empty() {
        return Ok(0);
    }
    let pairs = lock_pairs(transaction, statements, tuples).await?;
    let evaluation = Evaluation::begin(transaction, statements, policy).await?;
    if evaluation.standing().state() != State::Issuing {
        return Ok(0);
    }
    let flipped = evaluation.write_conditions(&pairs).await?;
    let pairs = match evaluated {
        Evaluated::Flipped => flipped,
        Evaluated::All => pairs,
    };
    let causes = PairCauses::by_time(&pairs, &[]);
    evaluation.evaluate_pairs(&causes).await?;
    evaluation.issue(tuples, &Touched::default()).await
}

/// Issues the codes that a committed transaction missed; says how many.
pub(super) async fn issue_missed(
    session: &mut Session,
    policy: &Policy,
    tuples: &[RuleTuple],
) -> Result<usize, Error> {
    if tuples.is_empty() {
        return Ok(0);
    }
    let (transaction, statements) = session.begin().await?;
    let evaluation = Evaluation::begin(&transaction, statements, policy).await?;
    // Hardly any was missed: no pair is locked for the others.
    let state = evaluation.standing().state();
    if state != State::Issuing || !evaluation.any_may_have_one(tuples).await? {
        return Ok(0);
    }
    let issued = issue_to(&transaction, statements, policy, tuples, Evaluated::Flipped).await?;
    commit(transaction).await?;
    Ok(issued)
}

/// Locks the pairs of these tuples, in key order.
async fn lock_pairs(
    transaction: &Transaction<'_>,
    statements: &Statements,
    tuples: &[RuleTuple],
) -> Result<Vec<Pair>, Error> {
    const SQL: &str = "
        select p.store_id, p.product_id
        from (select distinct * from unnest($1::bigint[], $2::bigint[])) k (store_id, product_id)
        join store_product p using (store_id, product_id)
        order by p.store_id, p.product_id
        for update of p";
    let stores: Vec<i64> = tuples.iter().map(|tuple| tuple.pair.store_id).collect();
    let products: Vec<i64> = tuples.iter().map(|tuple| tuple.pair.product_id).collect();
    let rows = statements
        .query(transaction, "lock pairs", SQL, &[&stores, &products])
        .await?;
    rows.iter().map(Pair::of).collect()
}
