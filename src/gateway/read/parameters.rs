//! A query string, read strictly: what is unknown, given twice or out of bounds is refused by name.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::http::Uri;

use super::{LIMIT, LIMIT_MAX};
use crate::gateway::event::{rfc_3339, whole};
use crate::http::Problem;

/// Longest range of hours that is read at once.
const RANGE_MAX: Duration = Duration::from_hours(31 * 24);
/// Range of hours when none is asked for.
const RANGE: Duration = Duration::from_hours(24);

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Parameters(BTreeMap<String, String>);

/// Hours from one moment up to, not including, another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hours {
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

impl Parameters {
    /// Reads the query of a request that may have these.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Parameters, Problem> {
        let mut given = BTreeMap::new();
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        for (name, value) in pairs {
            if !known.contains(&&*name) {
                let detail = format!("is no parameter; they are {}", known.join(", "));
                return Err(Problem::invalid(Some(&shortened(&name)), detail));
            }
            if given.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Problem::invalid(Some(&name), "is given twice"));
            }
        }
        Ok(Parameters(given))
    }

    /// A whole number.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        integer(name, text).map(Some)
    }

    /// A whole number that has to be there.
    pub(crate) fn required_integer(&self, name: &str) -> Result<i64, Problem> {
        let number = self.integer(name)?;
        number.ok_or_else(|| Problem::invalid(Some(name), "is missing"))
    }

    /// As it is given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Rows of the page.
    pub(super) fn limit(&self) -> Result<i64, Problem> {
        let limit = self.integer("limit")?.unwrap_or(LIMIT);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("must be 1 to {LIMIT_MAX}");
        Err(Problem::invalid(Some("limit"), detail))
    }

    /// The key behind which the page begins; nothing for the first.
    pub(super) fn after<const N: usize>(&self) -> Result<[Option<i64>; N], Problem> {
        let Some(text) = self.0.get("after") else {
            return Ok([None; N]);
        };
        let numbers: Result<Vec<_>, _> =
            text.split(',').map(|part| part.parse().map(Some)).collect();
        let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
        numbers.ok_or_else(|| {
            Problem::invalid(Some("after"), "must be what the page before has as next")
        })
    }

    /// The hours asked for: the last day without anything else.
    pub(super) fn hours(&self) -> Result<Hours, Problem> {
        let until = self.time("until")?;
        let from = self.time("from")?;
        let until = match (until, from) {
            (Some(until), _) => until,
            (None, Some(from)) => from + RANGE,
            (None, None) => SystemTime::now() + Duration::from_hours(1),
        };
        let from = from.unwrap_or(until - RANGE);
        match until.duration_since(from) {
            Err(_) => Err(Problem::invalid(Some("until"), "must not be before from")),
            Ok(range) if range > RANGE_MAX => Err(Problem::invalid(
                Some("until"),
                "must be at most 31 days after from",
            )),
            Ok(_) => Ok(Hours { from, until }),
        }
    }

    fn time(&self, name: &str) -> Result<Option<SystemTime>, Problem> {
        const BOUND: &str =
            "must be a time of RFC 3339 with its zone, 2026-11-28T09:00:00Z, from the year 1 on";
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        // A plus that was not escaped is a space by now.
        let time = rfc_3339(&text.replace(' ', "+"));
        let time = time.ok_or_else(|| Problem::invalid(Some(name), BOUND))?;
        Ok(Some(time.into()))
    }
}

/// A number of a query or a path, as it is read in events.
pub(super) fn integer(name: &str, text: &str) -> Result<i64, Problem> {
    let bound = "must be a whole number of 64 bits";
    whole(text).ok_or_else(|| Problem::invalid(Some(name), bound))
}

/// A name that nobody knows may be of any length.
fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    fn of(query: &str) -> Result<Parameters, Problem> {
        let uri: Uri = format!("/?{query}").parse().unwrap();
        Parameters::of(&uri, &["a", "from", "until", "after", "limit"])
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let refused =
            |problem: Problem| assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
        refused(of("b=1").unwrap_err());
        refused(of("a=1&a=1").unwrap_err());
        refused(of("a=1.5").unwrap().integer("a").unwrap_err());
        refused(of("").unwrap().required_integer("a").unwrap_err());
        for limit in ["0", "1001", "-1", ""] {
            refused(of(&format!("limit={limit}")).unwrap().limit().unwrap_err());
        }
        for after in ["", "1", "1,2,3", "1,x"] {
            refused(
                of(&format!("after={after}"))
                    .unwrap()
                    .after::<2>()
                    .unwrap_err(),
            );
        }
        for hours in [
            "from=x",
            "from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
            "from=2026-01-01T00:00:00Z&until=2026-02-01T00:00:01Z",
            "until=0000-12-31T00:00:00Z",
        ] {
            refused(of(hours).unwrap().hours().unwrap_err());
        }
    }

    #[test]
    fn what_is_right_is_read() {
        let given = of("a=-7&after=1,-2&limit=1000&from=1970-01-01T00:00:00%2B00:00").unwrap();
        assert_eq!(given.integer("a").unwrap(), Some(-7));
        assert_eq!(given.after().unwrap(), [Some(1), Some(-2)]);
        assert_eq!(given.limit().unwrap(), 1_000);
        let hours = given.hours().unwrap();
        assert_eq!(hours.from, SystemTime::UNIX_EPOCH);
        assert_eq!(hours.until, SystemTime::UNIX_EPOCH + RANGE);
        let last = of("").unwrap().hours().unwrap();
        assert_eq!(last.until.duration_since(last.from).unwrap(), RANGE);
    }
}
