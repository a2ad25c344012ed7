//! A record of the events topic, read.

use serde::Deserialize;
use uuid::Uuid;

use super::super::time::{Moment, Timestamp};
use crate::shopper::Kind;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShopperEvent {
    pub(super) event_id: Uuid,
    pub(super) kind: Kind,
    pub(super) customer_id: i64,
    pub(super) store_id: i64,
    /// `None` when it is about the store as a whole.
    pub(super) product_id: Option<i64>,
    pub(super) occurred_at: Timestamp,
    pub(super) received_at: Timestamp,
}

/// As it stands in the topic. Fields that are not known are somebody else's.
#[derive(Deserialize)]
struct Fields<'a> {
    event_id: Uuid,
    r#type: Kind,
    customer_id: i64,
    store_id: i64,
    product_id: Option<i64>,
    #[serde(borrow)]
    occurred_at: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    received_at: Option<std::borrow::Cow<'a, str>>,
}

/// The years 1 to 9999, microseconds since 1970: PostgreSQL refuses some before, and no event has one.
const YEARS_US: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// Reads a record's value; an error says what is wrong with it. `written_at` is the record's own time.
pub(super) fn read(value: &[u8], written_at: Timestamp) -> Result<ShopperEvent, String> {
    let fields: Fields<'_> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let moment = |name: &str, text: &str| match Moment::parse(text) {
        Ok(Moment::Finite(at)) if YEARS_US.contains(&at.micros()) => Ok(at),
        Ok(_) => Err(format!("{name} is not within the years 1 to 9999")),
        Err(error) => Err(format!("{name} is {error}")),
    };
    Ok(ShopperEvent {
        event_id: fields.event_id,
        kind: fields.r#type,
        customer_id: fields.customer_id,
        store_id: fields.store_id,
        product_id: fields.product_id,
        occurred_at: moment("occurred_at", &fields.occurred_at)?,
        received_at: match &fields.received_at {
            Some(text) => moment("received_at", text)?,
            None => written_at,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_or_what_is_wrong_is_said() {
        let written_at = Timestamp::from_micros(7);
        let text = r#"{"event_id":"5f0d7bb6-0000-4000-8000-000000000001","type":"cart_added",
            "customer_id":7,"store_id":1,"product_id":2,"occurred_at":"1970-01-01T00:00:01.5Z",
            "received_at":"1970-01-01T00:00:02Z","more":1}"#;
        let event = read(text.as_bytes(), written_at).unwrap();
        assert_eq!((event.kind, event.product_id), (Kind::CartAdded, Some(2)));
        assert_eq!(event.occurred_at, Timestamp::from_micros(1_500_000));
        assert_eq!(event.received_at, Timestamp::from_micros(2_000_000));
        let bare = text.replace("\"received_at\":\"1970-01-01T00:00:02Z\",", "");
        assert_eq!(
            read(bare.as_bytes(), written_at).unwrap().received_at,
            written_at
        );
        for (before, after, wrong) in [
            ("cart_added", "left", "unknown variant `left`"),
            (
                "1970-01-01T00:00:01.5Z",
                "infinity",
                "occurred_at is not within",
            ),
            (
                "1970-01-01T00:00:01.5Z",
                "-9999-01-01T00:00:00Z",
                "occurred_at is not within",
            ),
            (
                "1970-01-01T00:00:02Z",
                "now",
                "received_at is not an ISO 8601",
            ),
            ("5f0d7bb6", "x", "UUID"),
        ] {
            let error = read(text.replace(before, after).as_bytes(), written_at).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
