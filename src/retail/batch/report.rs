//! What a batch has done.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::super::money::Money;
use super::super::time::Timestamp;
use super::fold::Folded;
use super::store::Plan;

/// Sums over everything that was folded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) taken_at: Timestamp,
    pub(super) orders: u64,
    pub(super) products: u64,
    units: i64,
    revenue: Money,
    tuples: u64,
}

impl Totals {
    pub(super) fn new(taken_at: Timestamp) -> Self {
        Totals {
            taken_at,
            orders: 0,
            products: 0,
            units: 0,
            revenue: Money::ZERO,
            tuples: 0,
        }
    }

    pub(super) fn add(&mut self, folded: &Folded) {
        self.tuples += folded.eligible.len() as u64;
        for row in &folded.daily {
            self.units = self.units.saturating_add(row.units);
            self.revenue = self.revenue.plus(row.revenue);
        }
    }
}

/// What became of the day's codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Codes {
    /// So many were issued.
    Issued {
        /// How many.
        codes: i64,
    },
    /// An earlier run has.
    IssuedBefore {
        /// How many.
        codes: i64,
        /// When it had.
        at: String,
    },
    /// `--at` asks for another moment.
    OtherMoment,
    /// The day is neither the one that it is nor the one before.
    PastDay,
    /// No customer is in the batch's arm.
    NoArm,
}

impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Codes::Issued { codes } => write!(f, "{codes} codes issued"),
            Codes::IssuedBefore { codes, at } => write!(
                f,
                "no code issued: the day's {codes} codes were issued by {at}"
            ),
            Codes::OtherMoment => f.write_str("no code issued: --at asks for another moment"),
            Codes::PastDay => {
                f.write_str("no code issued: the day is neither today nor yesterday")
            }
            Codes::NoArm => f.write_str(
                "no code issued: no customer is in the batch's arm; retail.arms.batch gives it some",
            ),
        }
    }
}

/// What a batch has done.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The day.
    pub day: String,
    /// Time zone that it is a day of.
    pub day_zone: String,
    /// Rows of `inventory_daily`.
    pub products: u64,
    /// Units sold on the day.
    pub units: i64,
    /// Revenue of the day, in the digits of numeric(38,6).
    pub revenue: String,
    /// The moment of eligibility.
    pub evaluated_at: String,
    /// Rules that ran then.
    pub rules: usize,
    /// Eligible tuples.
    pub tuples: u64,
    /// What became of the day's codes.
    pub codes: Codes,
    /// Uncancelled orders that were read.
    pub orders_read: u64,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl Summary {
    pub(super) fn new(plan: &Plan, totals: &Totals, codes: Codes, took: Duration) -> Summary {
        Summary {
            day: plan.day.clone(),
            day_zone: plan.zone.clone(),
            products: totals.products,
            units: totals.units,
            revenue: totals.revenue.to_string(),
            evaluated_at: plan.at_text.clone(),
            rules: plan.rules.len(),
            tuples: totals.tuples,
            codes,
            orders_read: totals.orders,
            seconds: took.as_secs_f64(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            day,
            day_zone,
            products,
            units,
            revenue,
            evaluated_at,
            rules,
            tuples,
            codes,
            orders_read,
            seconds,
        } = self;
        writeln!(
            f,
            "{day} ({day_zone}): {products} products in stores, {units} units sold, revenue {revenue}"
        )?;
        writeln!(
            f,
            "at {evaluated_at}: {tuples} tuples eligible under {rules} rules; {codes}"
        )?;
        write!(f, "{orders_read} orders read, {seconds:.1} s")
    }
}
