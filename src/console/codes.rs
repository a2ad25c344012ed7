//! The newest codes with their reasons, and what codes are worth.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::routes::Api;
use crate::http::{Problem, SinkReader, json};

/// Codes of the feed.
pub(super) const CODES: &str = concat!(
    code_columns!(),
    " from (select * from promotion order by issued_at desc, promotion_id limit 50) p",
    code_joins!(),
);

/// A code as the page knows it, and as few of its fields as are looked at here.
#[derive(Clone, Debug)]
pub(super) struct Code {
    id: String,
    state: String,
    text: Box<RawValue>,
}

/// What is told of a code.
#[derive(Deserialize)]
struct Told {
    promotion_id: String,
    state: String,
}

/// Codes that a page is told of.
#[derive(Serialize)]
struct News<'c> {
    codes: Vec<&'c RawValue>,
}

/// The newest codes, newest first.
pub(super) async fn newest(reader: &SinkReader) -> Result<Vec<Code>, Problem> {
    let text = reader.ask(CODES, &[]).await?;
    let unreadable = |_| Problem::unavailable("sink-unavailable", "the sink's answer is cut off");
    let codes: Vec<Box<RawValue>> = serde_json::from_str(&text).map_err(unreadable)?;
    let code = |text: Box<RawValue>| {
        let told: Told = serde_json::from_str(text.get())?;
        Ok(Code {
            id: told.promotion_id,
            state: told.state,
            text,
        })
    };
    codes
        .into_iter()
        .map(code)
        .collect::<Result<_, serde_json::Error>>()
        .map_err(unreadable)
}

/// What one page has been told of.
#[derive(Debug, Default)]
pub(super) struct ToldCodes(HashMap<String, String>);

impl ToldCodes {
    /// What is new among these codes, or in another state, as the event's text; `None` if nothing is.
    pub(super) fn news(&mut self, codes: &[Code]) -> Option<String> {
        let is_new = |code: &&Code| self.0.get(&code.id) != Some(&code.state);
        let new: Vec<&Code> = codes.iter().filter(is_new).collect();
        if new.is_empty() && !self.0.is_empty() {
            return None;
        }
        let news = News {
            codes: new.iter().map(|code| &*code.text).collect(),
        };
        let text = serde_json::to_string(&news).ok();
        // Those that have left the feed do not come back.
        let known = codes
            .iter()
            .map(|code| (code.id.clone(), code.state.clone()));
        self.0 = known.collect();
        text
    }
}

/// `GET /api/worth`.
pub(super) async fn worth(State(api): State<Api>) -> Result<Response<Body>, Problem> {
    api.reader.ask(WORTH, &[]).await.map(json)
}

/// What each arm's codes of the last 28 days came to; arms that nobody is in are left out.
pub(super) const WORTH: &str = "
    with share as (
        select * from arm_share order by since desc limit 1
    ), arms as (
        select 1 as place, 'stream' as arm, 0 as low, stream as high from share
        union all select 2, 'batch', stream, stream + batch from share
        union all select 3, 'holdout', stream + batch, 100 from share
    ), buckets as materialized (
        select arm_bucket(customer_id) as bucket, count(*) as customers
        from customer_image where present group by 1
    ), given as materialized (
        select source, state, extract(epoch from issued_at - caused_at) as seconds
        from promotion where issued_at > now() - interval '28 days' and state <> 'withdrawn'
    ), shown as (
        select a.place, a.arm, coalesce(b.customers, 0) as customers, g.*
        from arms a
        cross join lateral (
            select sum(customers)::bigint as customers from buckets
            where bucket >= a.low and bucket < a.high) b
        cross join lateral (
            select count(*) as codes, count(*) filter (where state = 'redeemed') as redeemed,
                   percentile_cont(0.5) within group (order by seconds) as p50,
                   percentile_cont(0.99) within group (order by seconds) as p99
            from given where source = a.arm) g
        where a.high > a.low
    )
    select json_build_object(
        'at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
        'model', 'Codes, redemptions and the time from a cause to its code are measured, of the last 28 days.',
        'half_life_hours', null,
        'arms', json_agg(json_build_object(
            'arm', arm, 'customers', customers, 'codes', codes, 'redeemed', redeemed,
            'redeemed_share', round(redeemed::numeric / nullif(codes, 0), 4),
            'units_per_customer', null, 'uplift_units', null, 'discount_cost', null,
            'excess_units', null, 'stockout_hours', null,
            'cause_to_code_p50_seconds', p50, 'cause_to_code_p99_seconds', p99) order by place))::text
    from shown";

#[cfg(test)]
mod tests {
    use super::*;

    fn code(id: &str, state: &str) -> Code {
        let text = format!(r#"{{"promotion_id":"{id}","state":"{state}"}}"#);
        Code {
            id: id.to_owned(),
            state: state.to_owned(),
            text: RawValue::from_string(text).unwrap(),
        }
    }

    #[test]
    fn a_page_is_told_of_what_is_new_or_in_another_state() {
        let mut told = ToldCodes::default();
        assert_eq!(told.news(&[]).unwrap(), r#"{"codes":[]}"#);
        let first = [code("a", "issued")];
        assert!(told.news(&first).unwrap().contains(r#""a""#));
        assert_eq!(told.news(&first), None);
        let then = [code("b", "issued"), code("a", "issued")];
        let news = told.news(&then).unwrap();
        assert!(
            news.contains(r#""b""#) && !news.contains(r#""a""#),
            "{news}"
        );
        let later = [code("b", "dispatched"), code("a", "issued")];
        let news = told.news(&later).unwrap();
        assert!(
            news.contains("dispatched") && !news.contains(r#""a""#),
            "{news}"
        );
    }
}
