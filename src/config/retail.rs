//! `[retail]`: the shop's tables, its aggregates and its codes.

use super::mapping::mapping;
use super::resolve::Resolver;
use super::settings::{Arms, Retail};

/// Resolves it.
pub(super) fn retail(resolver: &mut Resolver<'_>) -> Option<Retail> {
    let group = resolver.name("retail.group", 200, |c| !c.is_control());
    let mapping = mapping(resolver);
    let retract = resolver.choice("retail.on_delete", &[("retract", true), ("keep", false)]);
    let customer_limit = resolver.number("retail.customer_limit", 0, 1_000);
    let issue_max_lag = resolver.duration("retail.issue_max_lag", "1s", "5m");
    // The sink, which counts the days, has the last word on whether there is such a zone.
    let day_zone = resolver.name("retail.day_zone", 100, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+')
    });
    let arms = arms(resolver);
    let code_secret = resolver.name("retail.code_secret", 1_000, |c| !c.is_control());
    let batch_records_max = resolver.number("retail.batch_records_max", 1, 1_000_000);
    let batch_linger = resolver.duration("retail.batch_linger", "0ms", "10s");
    Some(Retail {
        group: group?,
        mapping: mapping?.into(),
        retract_deleted_orders: retract?,
        customer_limit: i32::try_from(customer_limit?).ok()?,
        issue_max_lag: issue_max_lag?,
        day_zone: day_zone?,
        arms: arms?,
        code_secret: code_secret?,
        batch_records_max: usize::try_from(batch_records_max?).ok()?,
        batch_linger: batch_linger?,
    })
}

fn arms(resolver: &mut Resolver<'_>) -> Option<Arms> {
    let mut share = |arm| {
        let percent = resolver.number(&format!("retail.arms.{arm}"), 0, 100)?;
        i32::try_from(percent).ok()
    };
    let (stream, batch, holdout) = (share("stream"), share("batch"), share("holdout"));
    let arms = Arms {
        stream: stream?,
        batch: batch?,
        holdout: holdout?,
    };
    let sum = arms.stream + arms.batch + arms.holdout;
    if sum != 100 {
        resolver.conflict(
            "retail.arms",
            format!(
                "stream {}, batch {} and holdout {} are {sum} percent",
                arms.stream, arms.batch, arms.holdout
            ),
            "set all three so that they are 100 in all",
        );
        return None;
    }
    Some(arms)
}
