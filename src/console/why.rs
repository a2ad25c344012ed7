//! Why a code was given: its rule's conditions with their figures as they are now.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::routes::Api;
use crate::connection;
use crate::gateway::Parameters;
use crate::http::Problem;
use crate::retail::evaluation::Policy;
use crate::retail::explain::{Question, explain};
use crate::retail::statements::Statements;
use crate::telemetry;

const SQL: &str = concat!(
    code_columns!(),
    " from (select * from promotion where promotion_id = $1) p",
    code_joins!(),
);

/// Whom the code is for.
#[derive(Deserialize)]
struct Tuple {
    rule_id: i64,
    customer_id: i64,
    store_id: i64,
    product_id: i64,
}

/// `GET /api/why`.
pub(super) async fn why(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, Problem> {
    let given = Parameters::of(&uri, &["promotion_id"])?;
    let id = given
        .text("promotion_id")
        .and_then(|text| text.parse().ok());
    let id: Uuid = id.ok_or_else(|| Problem::invalid(Some("promotion_id"), "must be a UUID"))?;
    let text = api.reader.ask(SQL, &[(&id, Type::UUID)]).await?;
    let codes: Vec<Box<RawValue>> = serde_json::from_str(&text).unwrap_or_default();
    let tuple = |code: &RawValue| serde_json::from_str::<Tuple>(code.get()).ok();
    let found = codes.first().and_then(|code| Some((code, tuple(code)?)));
    let Some((code, tuple)) = found else {
        let detail = format!("no code has the id {id}");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", detail));
    };
    let Tuple {
        rule_id: rule,
        customer_id: customer,
        store_id: store,
        product_id: product,
    } = tuple;
    let unreachable = |error: &dyn std::error::Error| {
        tracing::debug!(error = %telemetry::chain(error), "a code cannot be explained");
        Problem::unavailable("sink-unavailable", "the sink does not answer")
    };
    let opened = connection::connect(&api.sink.connection).await;
    let mut database = opened.map_err(|error| unreachable(&error))?;
    let question = Question {
        customer_id: customer,
        product_id: product,
        store_id: Some(store),
        rule_id: Some(rule),
    };
    let policy = Policy::new(&api.retail);
    let explained = explain(&mut database, &Statements::default(), &policy, question).await;
    let explanation = explained.map_err(|error| unreachable(&error))?;
    Ok(Json(json!({
        "code": code,
        "explanation": explanation,
        "command": format!(
            "tidewater rules explain --customer {customer} --product {product} --store {store} --rule {rule}"
        ),
        "query": format!(
            "select * from promotion_condition where (rule_id, store_id, product_id) = ({rule}, {store}, {product}); \
             select * from purchase_habit where (customer_id, store_id, product_id) = ({customer}, {store}, {product})"
        ),
    })))
}
