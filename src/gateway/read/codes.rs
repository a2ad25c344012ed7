//! Promotion codes: a customer's, one by itself, and whether an order could redeem it.
//!
//! A code that is not out yet may still be withdrawn, so only those that are out are listed. Whoever has a code
//! in hand is told what it is worth at any time.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, Response, StatusCode, Uri};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio_postgres::types::Type;

use super::parameters::{Parameters, integer};
use super::{SECOND_MAX, SECOND_MIN, admit, json, page};
use crate::gateway::body::{self, Form, malformed};
use crate::gateway::event::whole;
use crate::gateway::routes::Api;
use crate::http::Parameter;
use crate::http::Problem;
use crate::retail::code::typed;

/// `GET /v1/customers/{customer_id}/codes`.
pub(in crate::gateway) async fn customer_codes(
    State(api): State<Api>,
    Path(customer): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    const SQL: &str = "
        with page as materialized (
            select promotion_id, code, rule_id, store_id, product_id, cycle, source, state,
                   state = 'dispatched' and now() <= valid_until as valid,
                   discount_percent, issued_at, valid_until, redeemed_at, redeemed_order_id
            from promotion
            where customer_id = $1 and state in ('dispatched', 'redeemed', 'expired')
              and ($2::bigint is null
                   or (issued_at, rule_id, store_id, product_id, cycle)
                      < (timestamptz 'epoch' + $2 * interval '1 microsecond',
                         $3::bigint, $4::bigint, $5::bigint, $6::bigint))
            order by issued_at desc, rule_id desc, store_id desc, product_id desc, cycle desc
            limit $7)
        select json_build_object(
            'applied_until', applied_until(),
            'codes', coalesce((select json_agg(page order by issued_at desc, rule_id desc,
                                      store_id desc, product_id desc, cycle desc) from page), '[]'),
            'next', (select concat_ws(',', (extract(epoch from issued_at) * 1000000)::bigint,
                                      rule_id, store_id, product_id, cycle)
                     from page
                     order by issued_at desc, rule_id desc, store_id desc, product_id desc, cycle desc
                     offset $7 - 1 limit 1))::text";
    admit(&api, &headers)?;
    let customer = integer("customer_id", &customer)?;
    let given = Parameters::of(&uri, &["after", "limit"])?;
    let mut after: [Option<i64>; 5] = given.after()?;
    if let [Some(micros), ..] = &mut after {
        *micros = (*micros).clamp(SECOND_MIN * 1_000_000, SECOND_MAX * 1_000_000);
    }
    let numbers = [&[Some(customer)][..], &after].concat();
    page(&api, SQL, &[], &numbers, given.limit()?).await
}

/// `GET /v1/codes/{code}`.
pub(in crate::gateway) async fn code(
    State(api): State<Api>,
    Path(text): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    const SQL: &str = "
        select json_build_object(
            'applied_until', applied_until(),
            'code', code, 'promotion_id', promotion_id, 'rule_id', rule_id,
            'customer_id', customer_id, 'store_id', store_id, 'product_id', product_id,
            'source', source, 'state', state,
            'valid', state in ('issued', 'dispatched') and now() <= valid_until,
            'discount_percent', discount_percent, 'issued_at', issued_at,
            'valid_until', valid_until, 'redeemed_at', redeemed_at,
            'redeemed_order_id', redeemed_order_id)::text
        from promotion where code = $1";
    admit(&api, &headers)?;
    Parameters::of(&uri, &[])?;
    let code = typed(&text).ok_or_else(|| {
        let detail = "it was mistyped: a code is ten characters of Crockford's base 32 and their check character";
        Problem::new(StatusCode::NOT_FOUND, "mistyped-code", detail)
    })?;
    let found = api.reader.ask_optional(SQL, &[(&code, Type::TEXT)]).await?;
    found.map(json).ok_or_else(|| {
        let detail = "no code of this shop is spelt so";
        Problem::new(StatusCode::NOT_FOUND, "unknown-code", detail)
    })
}

/// What would redeem a code.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    customer_id: Whole,
    store_id: Whole,
    product_id: Whole,
}

/// A number as it is read in events.
#[derive(Debug)]
struct Whole(i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let number = whole(text).map(Whole);
        number.ok_or_else(|| D::Error::custom("an id must be a whole number of 64 bits"))
    }
}

/// `POST /v1/codes/{code}/check`: whether an order that is placed now would redeem it, and if not, the reason
/// that `promotion_refusal` would have.
pub(in crate::gateway) async fn check_code(
    State(api): State<Api>,
    Path(text): Path<String>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    const SQL: &str = "
        select json_build_object(
            'applied_until', applied_until(), 'redeemable', reason is null, 'reason', reason,
            'code', code, 'promotion_id', promotion_id, 'discount_percent', discount_percent,
            'valid_until', valid_until)::text
        from (select case
                  when p.promotion_id is null then 'unknown'
                  when p.customer_id <> $2 then 'other_customer'
                  when p.store_id <> $3 then 'other_store'
                  when p.product_id <> $4 then 'other_product'
                  when now() > p.valid_until then 'expired'
                  when p.state = 'redeemed' then 'used'
              end as reason, asked.code, p.promotion_id, p.discount_percent, p.valid_until
              from (select $1::text as code) asked
              left join promotion p on p.code = asked.code and p.state <> 'withdrawn') judged";
    admit(&api, request.headers())?;
    Parameters::of(request.uri(), &[])?;
    if Form::of(request.headers())? != Form::Json {
        let detail = "Content-Type must be application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "unsupported-media-type", detail));
    }
    let (order, _reserved) = body::read(request, &api.gateway, &api.bytes).await?;
    let order: Order = serde_json::from_str(&order).map_err(|error| {
        if error.is_data() {
            Problem::invalid(None, format!("the body is no order: {error}"))
        } else {
            malformed(format!("the body is not JSON: {error}"))
        }
    })?;
    // One that is mistyped is one that nobody knows, as it would be in an order.
    let code: Option<String> = typed(&text);
    let parameters: [Parameter<'_>; 4] = [
        (&code, Type::TEXT),
        (&order.customer_id.0, Type::INT8),
        (&order.store_id.0, Type::INT8),
        (&order.product_id.0, Type::INT8),
    ];
    api.reader.ask(SQL, &parameters).await.map(json)
}
