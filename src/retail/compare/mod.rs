//! What the codes of each arm came to: the stream beside the nightly batch and beside those who get none.
//!
//! It asks the sink alone, one statement in one snapshot. Everything in an [`ArmFigures`] is counted or
//! measured; what a [`Model`] says follows from an assumption about shoppers, and from the measured time
//! between causes and codes.

mod report;
pub(crate) mod statement;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::{Json, ToSql};

use super::error::Error;
use super::statements::{Session, column};
use super::time::Timestamp;
use crate::config::settings::Sink;

use statement::comparison;

/// Since when, or null; the models' response.
const COMPARE: &str = comparison!("$1", "$2");

/// What to compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Codes and orders from then on; `None` for since when the arms have had their shares, at most 28 days.
    pub since: Option<Timestamp>,
    /// Share of the codes that are answered if none comes late, 0 to 1: the model's.
    pub response: f64,
}

/// Stream, batch and holdout, beside each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Codes and orders from then on, UTC.
    pub since: String,
    /// Up to then: what the sink has applied.
    pub until: String,
    /// Since when the arms have had their shares; `None` for ever.
    pub shares_since: Option<String>,
    /// The model's share of codes that are answered if none comes late.
    pub response: f64,
    /// Each arm that customers can be in.
    pub arms: Vec<ArmFigures>,
    /// What would have come of the same codes, for each half-life of a shopper's interest.
    pub models: Vec<Model>,
}

/// One arm, as it was found.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct ArmFigures {
    /// `stream`, `batch` or `holdout`.
    pub arm: String,
    /// Percent of the customers.
    pub percent: i32,
    /// Its customers of the tiers that rules name.
    pub customers: i64,
    /// Codes issued and not withdrawn.
    pub codes: i64,
    /// Codes of those whose cause is known.
    pub timed_codes: i64,
    /// Codes of those that an order has redeemed.
    pub redeemed: i64,
    /// Redeemed of all; `None` without codes.
    pub redeemed_share: Option<f64>,
    /// From the commit or event that a code answers to the code, seconds.
    pub cause_to_code_p50_seconds: Option<f64>,
    /// From the commit or event that a code answers to the code, seconds.
    pub cause_to_code_p99_seconds: Option<f64>,
    /// Units of uncancelled orders for each customer.
    pub units_per_customer: Option<f64>,
    /// Units that its customers bought beyond what as many of the holdout would have.
    pub uplift_units: Option<f64>,
    /// Half the width of the interval that has the true uplift in it with 95 %.
    pub uplift_error_units: Option<f64>,
    /// What redeemed codes took off the price.
    pub discount_cost: f64,
    /// Products in stores that its codes are for; of the holdout those that would have had codes and had none.
    pub products: i64,
    /// Units of those beyond what the rules call enough.
    pub excess_units: i64,
    /// Hours that those were sold out.
    pub stockout_hours: f64,
}

/// What codes would come to, did shoppers' interest fade like this.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Model {
    /// The interest in a product is half of what it was after so many hours; `None` if it stays.
    pub half_life_hours: Option<i32>,
    /// Each arm that has codes with a known cause.
    pub arms: Vec<ModelledArm>,
}

/// An arm's codes in a model.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct ModelledArm {
    /// `stream` or `batch`.
    pub arm: String,
    /// Codes that are answered.
    pub answers: f64,
    /// Units that they sell.
    pub units: f64,
    /// What they take off the price.
    pub discount_cost: f64,
    /// Excess units that are left.
    pub excess_units: f64,
}

/// Compares the arms.
///
/// # Errors
/// The sink does not answer, is not migrated, or the shares of the arms changed after `since`.
pub async fn compare(sink: &Sink, options: &Options) -> Result<Comparison, Error> {
    super::check_schema(sink).await?;
    let session = Session::connect(&sink.connection).await?;
    let parameters: [&(dyn ToSql + Sync); 2] = [&options.since, &options.response];
    let rows = session
        .query("compare the arms", COMPARE, &parameters)
        .await?;
    let row = rows.first().ok_or(Error::Damaged { what: "arm_share" })?;
    let shares_since: Option<String> = column(row, "shares_since")?;
    if let Some(changed) = &shares_since
        && column(row, "mixed")?
    {
        return Err(Error::SharesChanged {
            changed: changed.clone(),
        });
    }
    let Json(arms) = column(row, "arms")?;
    let Json(models) = column(row, "models")?;
    Ok(Comparison {
        since: column(row, "since")?,
        until: column(row, "until")?,
        shares_since,
        response: options.response,
        arms,
        models,
    })
}
