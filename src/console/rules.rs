//! The promotion rules: listed to whoever reads, edited by whoever has a key with the scope `rules:write`.
//!
//! The database checks what a rule may be, so that one that is edited as a row is held to the same; here its word is
//! told with the field that it is about.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Json as Jsonb;

use super::routes::Api;
use crate::connection::{self, Database};
use crate::gateway::{Caller, Scope};
use crate::http::{Problem, json};
use crate::telemetry;

/// Longest rule, bytes.
const RULE_BYTES_MAX: usize = 16 << 10;

/// Columns that may be set.
const COLUMNS: [&str; 18] = [
    "name",
    "tier",
    "habit_orders",
    "habit_window",
    "demand_window",
    "days_of_cover_min",
    "on_hand_min",
    "discount_percent",
    "valid_for",
    "cooldown",
    "codes_max",
    "rest_after_order",
    "daily_limit",
    "trigger",
    "intent_window",
    "enabled",
    "starts_at",
    "ends_at",
];

/// What the constraints of `promotion_rule` ask for: their names, the field that is shown with them, and their words.
const CONSTRAINTS: [(&str, &str, &str); 7] = [
    (
        "promotion_rule_name_unique",
        "name",
        "is the name of another rule: choose another one",
    ),
    (
        "promotion_rule_trigger_known",
        "trigger",
        "must be stock or intent",
    ),
    (
        "promotion_rule_discount_bounds",
        "discount_percent",
        "must be 1 to 100",
    ),
    (
        "promotion_rule_counts_bounds",
        "habit_orders",
        "habit_orders and codes_max must be at least 1, days_of_cover_min, on_hand_min and daily_limit at least 0",
    ),
    (
        "promotion_rule_windows_whole_days",
        "habit_window",
        "habit_window and demand_window must be whole days, such as 28 days",
    ),
    (
        "promotion_rule_times_positive",
        "valid_for",
        "valid_for and intent_window must be above zero, cooldown and rest_after_order not below it",
    ),
    (
        "promotion_rule_times_bounded",
        "valid_for",
        "no time may be above 3650 days",
    ),
];

/// Columns of a rule as text, so that every interval and every moment can be written back as it is read.
macro_rules! rule {
    () => {
        "json_build_object(
            'rule_id', r.rule_id, 'name', r.name, 'tier', r.tier, 'habit_orders', r.habit_orders,
            'habit_window', r.habit_window::text, 'demand_window', r.demand_window::text,
            'days_of_cover_min', r.days_of_cover_min, 'on_hand_min', r.on_hand_min,
            'discount_percent', r.discount_percent, 'valid_for', r.valid_for::text,
            'cooldown', r.cooldown::text, 'codes_max', r.codes_max,
            'rest_after_order', r.rest_after_order::text, 'daily_limit', r.daily_limit,
            'trigger', r.trigger, 'intent_window', r.intent_window::text, 'enabled', r.enabled,
            'starts_at', r.starts_at::text, 'ends_at', r.ends_at::text)"
    };
}

/// Sets the columns of a rule that a JSON object has.
const SET: &str = concat!(
    "update promotion_rule r
     set (name, tier, habit_orders, habit_window, demand_window, days_of_cover_min, on_hand_min,
          discount_percent, valid_for, cooldown, codes_max, rest_after_order, daily_limit, trigger,
          intent_window, enabled, starts_at, ends_at)
       = (select n.name, n.tier, n.habit_orders, n.habit_window, n.demand_window, n.days_of_cover_min,
                 n.on_hand_min, n.discount_percent, n.valid_for, n.cooldown, n.codes_max,
                 n.rest_after_order, n.daily_limit, n.trigger, n.intent_window, n.enabled, n.starts_at,
                 n.ends_at
          from jsonb_populate_record(r, $2) n)
     where rule_id = $1 returning ",
    rule!(),
    "::text"
);

/// `GET /api/rules`.
pub(super) async fn list(State(api): State<Api>) -> Result<Response<Body>, Problem> {
    const SQL: &str = concat!(
        "select json_build_object('rules', coalesce(json_agg(",
        rule!(),
        " order by r.rule_id), '[]'))::text from promotion_rule r"
    );
    api.reader.ask(SQL, &[]).await.map(json)
}

/// `PUT /api/rules/{rule_id}`: sets the columns that are given.
pub(super) async fn change(
    State(api): State<Api>,
    Path(rule_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Body>, Problem> {
    let caller = api.access.admit(&headers, Scope::RulesWrite)?;
    let given = given(&body)?;
    let unknown = || {
        let detail = format!("there is no rule {rule_id}");
        Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
    };
    let id: i64 = rule_id.parse().map_err(|_| unknown())?;
    let database = connect(&api).await?;
    let rows = database.query(SET, &[&id, &Jsonb(&given)]).await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => return Err(refused(&database, &error, &given).await),
    };
    let row = rows.first().ok_or_else(unknown)?;
    log(caller, id, &given);
    Ok(json(row.get(0)))
}

/// `POST /api/rules`: a rule with what is given, and the defaults for the rest.
pub(super) async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Response<Body>), Problem> {
    // A column that is not given has its default, which only an insert without it takes.
    const INSERT: &str = "insert into promotion_rule (name) values ($1) returning rule_id";
    let caller = api.access.admit(&headers, Scope::RulesWrite)?;
    let given = given(&body)?;
    let Some(Value::String(name)) = given.get("name") else {
        return Err(Problem::invalid(Some("name"), "must be a text"));
    };
    let mut database = connect(&api).await?;
    let created = insert(&mut database, INSERT, name, &given).await;
    let (id, text) = match created {
        Ok(created) => created,
        Err(error) => return Err(refused(&database, &error, &given).await),
    };
    log(caller, id, &given);
    Ok((StatusCode::CREATED, json(text)))
}

/// Both in one transaction: the sweep never sees a rule of which half is set.
async fn insert(
    database: &mut Database,
    sql: &str,
    name: &str,
    given: &Map<String, Value>,
) -> Result<(i64, String), tokio_postgres::Error> {
    let transaction = database.transaction().await?;
    let id: i64 = transaction.query_one(sql, &[&name]).await?.get(0);
    let row = transaction.query_one(SET, &[&id, &Jsonb(given)]).await?;
    transaction.commit().await?;
    Ok((id, row.get(0)))
}

async fn connect(api: &Api) -> Result<Database, Problem> {
    let unreachable = |error: &dyn std::error::Error| {
        tracing::debug!(error = %telemetry::chain(error), "a rule cannot be edited");
        Problem::unavailable("sink-unavailable", "the sink does not answer")
    };
    let opened = connection::connect(&api.sink.connection).await;
    let database = opened.map_err(|error| unreachable(&error))?;
    // As people write them: 28 days.
    let set = database
        .batch_execute("set intervalstyle = 'postgres'")
        .await;
    set.map_err(|error| unreachable(&error))?;
    Ok(database)
}

fn log(caller: Caller, rule_id: i64, given: &Map<String, Value>) {
    let columns: Vec<&str> = given.keys().map(String::as_str).collect();
    tracing::info!(key = %caller, rule_id, columns = columns.join(","), "a rule was edited");
}

/// The columns that a body sets.
fn given(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.len() > RULE_BYTES_MAX {
        let detail = format!("a rule has at most {RULE_BYTES_MAX} bytes");
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            detail,
        ));
    }
    let given: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
        Problem::invalid(
            None,
            format!("the body is no JSON object of columns: {error}"),
        )
    })?;
    for (name, value) in &given {
        let name = Some(name.as_str());
        if !name.is_some_and(|name| COLUMNS.contains(&name)) {
            let detail = format!(
                "is no column that can be set; they are {}",
                COLUMNS.join(", ")
            );
            return Err(Problem::invalid(name, detail));
        }
        if value.is_null() || value.is_array() || value.is_object() {
            return Err(Problem::invalid(
                name,
                "must be a text, a number, true or false",
            ));
        }
    }
    Ok(given)
}

/// The database's word, with the field that it is about.
async fn refused(
    database: &Database,
    error: &tokio_postgres::Error,
    given: &Map<String, Value>,
) -> Problem {
    const ALONE: &str = "select jsonb_populate_record(null::promotion_rule, $1)";
    let Some(word) = error.as_db_error() else {
        return Problem::unavailable("sink-unavailable", "the sink does not answer");
    };
    let constraint = CONSTRAINTS
        .iter()
        .find(|(name, ..)| Some(*name) == word.constraint());
    if let Some((_, field, detail)) = constraint {
        return Problem::invalid(Some(field), *detail);
    }
    // A value that cannot be read is named by nobody: each is tried by itself.
    let unreadable = word.code().code().starts_with("22");
    for (name, value) in given.iter().filter(|_| unreadable) {
        let alone = Jsonb(Map::from_iter([(name.clone(), value.clone())]));
        if let Err(error) = database.query(ALONE, &[&alone]).await
            && let Some(word) = error.as_db_error()
        {
            return Problem::invalid(Some(name), word.message());
        }
    }
    if word.code() == &SqlState::INSUFFICIENT_PRIVILEGE {
        let detail = "the sink's user may not edit rules: grant it update on promotion_rule";
        return Problem::new(StatusCode::FORBIDDEN, "forbidden", detail);
    }
    Problem::invalid(word.column(), word.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_sets_columns_and_nothing_else() {
        let refused = |body: &str| given(body.as_bytes()).unwrap_err().status();
        assert_eq!(given(br#"{"name":"a","enabled":false}"#).unwrap().len(), 2);
        for body in [
            "",
            "[]",
            r#"{"rule_id":1}"#,
            r#"{"name":null}"#,
            r#"{"name":["a"]}"#,
            r#"{"drop":1}"#,
        ] {
            assert_eq!(refused(body), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        }
        let long = format!(r#"{{"name":"{}"}}"#, "a".repeat(RULE_BYTES_MAX));
        assert_eq!(refused(&long), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
