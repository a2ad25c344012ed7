//! Arms: whose codes the stream issues, whose the nightly batch does, and who gets none, so that what codes
//! are worth can be told.
//!
//! ```text
//! customer ─▶ first four bytes of SHA-256("tidewater:7") as a number, modulo 100 ─▶ bucket
//! buckets 0 … 99:  stream │ batch │ holdout, each as many as its percent
//! ```
//!
//! A customer's bucket never changes. So shares that move take as few customers as can be from one arm to
//! another, and everybody else can compute it too: the sink has it as `arm_bucket(customer_id)`.

use std::ops::Range;

use sha2::{Digest, Sha256};
use tokio_postgres::GenericClient;

use super::error::Error;
use super::statements::Statements;
use crate::config::settings::Arms;

/// How many buckets there are: one for each percent.
const BUCKETS: i32 = 100;

/// Who issues a customer's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The stream.
    Stream,
    /// The nightly batch.
    Batch,
    /// Nobody.
    Holdout,
}

impl Arm {
    /// Each of them, in the order of their buckets.
    pub const ALL: [Arm; 3] = [Arm::Stream, Arm::Batch, Arm::Holdout];

    /// As the configuration and `promotion.source` have it.
    pub fn name(self) -> &'static str {
        match self {
            Arm::Stream => "stream",
            Arm::Batch => "batch",
            Arm::Holdout => "holdout",
        }
    }
}

/// The customer's bucket, 0 to 99.
pub fn bucket(customer_id: i64) -> i32 {
    let digest = Sha256::digest(format!("tidewater:{customer_id}"));
    let bytes = digest.iter().take(4);
    let number = bytes.fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    i32::try_from(number % i64::from(BUCKETS)).unwrap_or_default()
}

/// The buckets of an arm.
pub fn buckets(arms: Arms, arm: Arm) -> Range<i32> {
    match arm {
        Arm::Stream => 0..arms.stream,
        Arm::Batch => arms.stream..arms.stream + arms.batch,
        Arm::Holdout => arms.stream + arms.batch..BUCKETS,
    }
}

/// The customer's arm.
pub fn arm_of(arms: Arms, customer_id: i64) -> Arm {
    let bucket = bucket(customer_id);
    let mut all = Arm::ALL.into_iter();
    all.find(|arm| buckets(arms, *arm).contains(&bucket))
        .unwrap_or(Arm::Holdout)
}

/// Notes from when on the shares are these. Whoever issues codes does so before the first one.
pub(super) async fn note(
    client: &impl GenericClient,
    statements: &Statements,
    arms: Arms,
) -> Result<(), Error> {
    const SQL: &str = "
        insert into arm_share (since, stream, batch, holdout)
        select clock_timestamp(), $1, $2, $3
        from (select * from arm_share order by since desc limit 1) last
        where (last.stream, last.batch, last.holdout) <> ($1::integer, $2::integer, $3::integer)";
    let Arms {
        stream,
        batch,
        holdout,
    } = arms;
    statements
        .execute(
            client,
            "note the arms' shares",
            SQL,
            &[&stream, &batch, &holdout],
        )
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARMS: Arms = Arms {
        stream: 59,
        batch: 13,
        holdout: 28,
    };

    #[test]
    fn buckets_are_those_of_the_documented_hash() {
        // printf tidewater:7 | sha256sum | cut -c1-8, modulo 100.
        for (customer, expected) in [(1, 96), (5, 1), (6, 72), (7, 59), (-5, 80)] {
            assert_eq!(bucket(customer), expected, "{customer}");
        }
    }

    #[test]
    fn every_bucket_is_in_one_arm() {
        for (customer, expected) in [(5, Arm::Stream), (7, Arm::Batch), (6, Arm::Holdout)] {
            assert_eq!(arm_of(ARMS, customer), expected, "{customer}");
        }
        let ends = Arm::ALL.map(|arm| buckets(ARMS, arm));
        assert_eq!(ends, [0..59, 59..72, 72..100]);
        assert_eq!(arm_of(Arms::default(), 1), Arm::Stream);
    }

    #[test]
    fn arms_have_their_shares_of_many_customers() {
        let count = |arm| (0..20_000).filter(|id| arm_of(ARMS, *id) == arm).count();
        for (arm, percent) in [(Arm::Stream, 59), (Arm::Batch, 13), (Arm::Holdout, 28)] {
            let found = count(arm);
            // Three standard deviations of a fair hash are at most 1.1 percent of them.
            assert!(found.abs_diff(200 * percent) < 300, "{arm:?}: {found}");
        }
    }
}
