//! One store's product over time: its hourly sales and stock, and its codes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use tokio_postgres::types::Type;

use super::routes::Api;
use crate::gateway::Parameters;
use crate::http::{Parameter, Problem, json};

/// The hours of one pair from `$3` up to `$4`, and what a person would ask psql for the same. Both are parameters, so
/// that the function's body becomes part of the statement, and other pairs are not looked at.
const SQL: &str = concat!(
    "with stock as materialized (
        select * from inventory_hourly_full($3::timestamptz, $4::timestamptz)
        where store_id = $1 and product_id = $2
    ), hours as (
        select h.hour, coalesce(s.orders, 0) as orders, coalesce(s.units, 0) as units,
               f.opening, f.closing, f.minimum, f.maximum,
               coalesce(f.stockout_seconds, 0) as stockout_seconds, f.days_of_cover
        from generate_series($3::timestamptz, $4::timestamptz - interval '1 hour', '1 hour') as h (hour)
        left join stock f on f.hour = h.hour
        left join sales_hourly s on (s.store_id, s.product_id, s.hour) = ($1, $2, h.hour)
    )
    select json_build_object(
        'store_id', $1::bigint, 'product_id', $2::bigint, 'range', $5::text,
        'from', ",
    moment!("$3::timestamptz"),
    ", 'until', ",
    moment!("$4::timestamptz"),
    ", 'level', (select on_hand from inventory_image where (store_id, product_id) = ($1, $2)),
        'hours', (select json_agg(json_build_object(
            'hour', ",
    moment!("hour"),
    ", 'orders', orders, 'units', units, 'opening', opening, 'closing', closing,
            'minimum', minimum, 'maximum', maximum, 'stockout_seconds', stockout_seconds,
            'days_of_cover', days_of_cover) order by hour) from hours),
        'codes', coalesce((select json_agg(json_build_object('code', code, 'state', state, 'issued_at', ",
    moment!("issued_at"),
    ") order by issued_at) from (
            select * from promotion p
            where (p.store_id, p.product_id) = ($1, $2) and p.issued_at >= $3
            order by issued_at desc limit 200) newest), '[]'),
        'query', format(
            'select * from inventory_hourly_full(%L, %L) where store_id = %s and product_id = %s',
            $3::timestamptz, $4::timestamptz, $1, $2))::text"
);

/// Ranges by name, and how many hours each has: the one that is under way, and those before.
const RANGES: [(&str, u64); 3] = [("1h", 2), ("24h", 24), ("7d", 168)];
const HOUR: u64 = 3_600;

/// `GET /api/series`.
pub(super) async fn series(State(api): State<Api>, uri: Uri) -> Result<Response<Body>, Problem> {
    let given = Parameters::of(&uri, &["store_id", "product_id", "range"])?;
    let store = given.required_integer("store_id")?;
    let product = given.required_integer("product_id")?;
    let range = given.text("range").unwrap_or("24h");
    let Some((_, hours)) = RANGES.iter().find(|(name, _)| *name == range) else {
        return Err(Problem::invalid(Some("range"), "must be 1h, 24h or 7d"));
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let until = (since.unwrap_or_default().as_secs() / HOUR + 1) * HOUR;
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let (from, until) = (at(until - hours * HOUR), at(until));
    let parameters: [Parameter<'_>; 5] = [
        (&store, Type::INT8),
        (&product, Type::INT8),
        (&from, Type::TIMESTAMPTZ),
        (&until, Type::TIMESTAMPTZ),
        (&range, Type::TEXT),
    ];
    api.reader.ask(SQL, &parameters).await.map(json)
}
