//! The newest codes with their reasons, and what codes are worth.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::routes::Api;
use crate::http::{Problem, SinkReader, json};
use crate::retail::compare::statement::comparison;

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

/// The arms beside each other, since they have had their shares, at most 28 days.
pub(super) const WORTH: &str = concat!(
    "select json_build_object(
        'at', until, 'half_life_hours', null, 'arms', arms,
        'model', 'Counted and measured, at most of the last 28 days. What the shoppers of a simulated shop do'
                 ' follows a model; only the time from cause to code is real there.')::text
     from (",
    comparison!("null", "0.2"),
    ") compared",
);

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
