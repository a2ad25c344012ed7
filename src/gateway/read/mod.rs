//! What may be read: aggregates, eligibility and codes, from the sink.
//!
//! Each answer is one statement, so its rows and its `applied_until` are of one snapshot: everything that the
//! source had committed by then is in them. Pages go on behind the last row of the one before, by its key.

mod codes;
mod parameters;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use tokio_postgres::types::Type;

use self::parameters::Hours;
pub(crate) use self::parameters::Parameters;
use super::key::Scope;
use super::routes::Api;
use crate::http::Problem;
use crate::http::{Parameter, json};

pub(super) use codes::{check_code, code, customer_codes};

/// Rows of a page, when nothing else is asked for.
const LIMIT: i64 = 100;
/// First and last second of the years 1 to 9999, from 1970 on: what a page can begin behind. Whoever has made a
/// key up gets the first page, or an empty one.
const SECOND_MIN: i64 = -62_135_596_800;
const SECOND_MAX: i64 = 253_402_300_799;
/// Most rows of a page.
const LIMIT_MAX: i64 = 1_000;

/// Lets a read in, and counts it.
fn admit(api: &Api, headers: &HeaderMap) -> Result<(), Problem> {
    let caller = api.access.admit(headers, Scope::Read)?;
    api.access.count_read(caller)
}

/// `GET /v1/levels`.
pub(super) async fn levels(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    const SQL: &str = "
        with page as materialized (
            select store_id, product_id, on_hand, effective_at
            from inventory_image
            where on_hand is not null
              and ($1::bigint is null or store_id = $1) and ($2::bigint is null or product_id = $2)
              and ($3::bigint is null or (store_id, product_id) > ($3, $4::bigint))
            order by store_id, product_id limit $5)
        select json_build_object(
            'applied_until', applied_until(),
            'levels', coalesce((select json_agg(page order by store_id, product_id) from page), '[]'),
            'next', (select concat_ws(',', store_id, product_id) from page
                     order by store_id, product_id offset $5 - 1 limit 1))::text";
    admit(&api, &headers)?;
    let given = Parameters::of(&uri, &["store_id", "product_id", "after", "limit"])?;
    let (store, product) = (given.integer("store_id")?, given.integer("product_id")?);
    let [after_store, after_product] = given.after()?;
    let numbers = [store, product, after_store, after_product];
    page(&api, SQL, &[], &numbers, given.limit()?).await
}

/// `GET /v1/inventory-hourly`.
pub(super) async fn inventory_hourly(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    const SQL: &str = "
        with page as materialized (
            select store_id, product_id, hour, opening, closing, minimum, maximum,
                   units_in, units_out, units_adjusted, changes, reads,
                   unit_us, stockout_us, tracked_us, last_change_at, position,
                   round(average_on_hand, 6)::text as average_on_hand,
                   stockout_seconds::text as stockout_seconds, days_of_cover::text as days_of_cover
            from inventory_hourly_full($1::timestamptz, $2::timestamptz)
            where store_id = $3 and ($4::bigint is null or product_id = $4)
              and ($5::bigint is null
                   or (product_id, hour) > ($5, to_timestamp($6::bigint)))
            order by product_id, hour limit $7)
        select json_build_object(
            'applied_until', applied_until(),
            'hours', coalesce((select json_agg(page order by product_id, hour) from page), '[]'),
            'next', (select concat_ws(',', product_id, extract(epoch from hour)::bigint) from page
                     order by product_id, hour offset $7 - 1 limit 1))::text";
    hourly(&api, SQL, &uri, &headers).await
}

/// `GET /v1/sales-hourly`.
pub(super) async fn sales_hourly(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    const SQL: &str = "
        with page as materialized (
            select store_id, product_id, hour, orders, units, revenue::text as revenue,
                   cancelled_orders, cancelled_units, cancelled_revenue::text as cancelled_revenue
            from sales_hourly
            where hour >= $1::timestamptz and hour < $2::timestamptz
              and store_id = $3 and ($4::bigint is null or product_id = $4)
              and ($5::bigint is null
                   or (product_id, hour) > ($5, to_timestamp($6::bigint)))
            order by product_id, hour limit $7)
        select json_build_object(
            'applied_until', applied_until(),
            'hours', coalesce((select json_agg(page order by product_id, hour) from page), '[]'),
            'next', (select concat_ws(',', product_id, extract(epoch from hour)::bigint) from page
                     order by product_id, hour offset $7 - 1 limit 1))::text";
    hourly(&api, SQL, &uri, &headers).await
}

async fn hourly(
    api: &Api,
    sql: &'static str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    admit(api, headers)?;
    let names = ["store_id", "product_id", "from", "until", "after", "limit"];
    let given = Parameters::of(uri, &names)?;
    let store = given.required_integer("store_id")?;
    let product = given.integer("product_id")?;
    let Hours { from, until } = given.hours()?;
    let [after_product, after_hour] = given.after()?;
    let after_hour = after_hour.map(|second: i64| second.clamp(SECOND_MIN, SECOND_MAX));
    let range: [Parameter<'_>; 2] = [(&from, Type::TIMESTAMPTZ), (&until, Type::TIMESTAMPTZ)];
    let numbers = [Some(store), product, after_product, after_hour];
    page(api, sql, &range, &numbers, given.limit()?).await
}

/// `GET /v1/eligibility`.
pub(super) async fn eligibility(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    const SQL: &str = "
        with page as materialized (
            select rule_id, customer_id, store_id, product_id, cause, cause_position, since
            from promotion_eligibility
            where ($1::bigint is null or rule_id = $1) and ($2::bigint is null or customer_id = $2)
              and ($3::bigint is null or store_id = $3) and ($4::bigint is null or product_id = $4)
              and ($5::bigint is null
                   or (rule_id, customer_id, store_id, product_id)
                      > ($5, $6::bigint, $7::bigint, $8::bigint))
            order by rule_id, customer_id, store_id, product_id limit $9)
        select json_build_object(
            'applied_until', applied_until(),
            'tuples', coalesce((select json_agg(page order by rule_id, customer_id, store_id, product_id)
                                from page), '[]'),
            'next', (select concat_ws(',', rule_id, customer_id, store_id, product_id) from page
                     order by rule_id, customer_id, store_id, product_id offset $9 - 1 limit 1))::text";
    admit(&api, &headers)?;
    let names = ["rule_id", "customer_id", "store_id", "product_id"];
    let given = Parameters::of(&uri, &[&names[..], &["after", "limit"]].concat())?;
    let mut filters = [None; 4];
    for (filter, name) in filters.iter_mut().zip(names) {
        *filter = given.integer(name)?;
    }
    let after: [Option<i64>; 4] = given.after()?;
    page(&api, SQL, &[], &[filters, after].concat(), given.limit()?).await
}

/// A page of rows: what `sql` returns for these parameters, then the numbers, then the page's length.
async fn page(
    api: &Api,
    sql: &'static str,
    first: &[Parameter<'_>],
    numbers: &[Option<i64>],
    limit: i64,
) -> Result<Response<Body>, Problem> {
    let mut parameters = first.to_vec();
    for number in numbers {
        parameters.push((number, Type::INT8));
    }
    parameters.push((&limit, Type::INT8));
    api.reader.ask(sql, &parameters).await.map(json)
}
