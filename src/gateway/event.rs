//! One application event: read strictly, and written in the one form that the topic has.
//!
//! ```json
//! {"event_id":"5f0d…","type":"product_viewed","customer_id":7,"store_id":1,"product_id":2,
//!  "occurred_at":"2026-11-28T03:06:02.000000Z","received_at":"2026-11-28T03:06:02.114201Z"}
//! ```
//!
//! Strict, so that nobody's typing error is taken for an event that says less: an unknown field, one that is
//! given twice and one of another type are refused by name. Times are kept in microseconds, as PostgreSQL does.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::shopper::Kind;

/// Fields of an event, in the order of the record.
const FIELDS: [&str; 6] = [
    "event_id",
    "type",
    "customer_id",
    "store_id",
    "product_id",
    "occurred_at",
];
const EVENT_ID: usize = 0;
const KIND: usize = 1;
const CUSTOMER_ID: usize = 2;
const STORE_ID: usize = 3;
const PRODUCT_ID: usize = 4;
const OCCURRED_AT: usize = 5;

/// Longest name of an unknown field that is given back, characters.
const NAME_MAX: usize = 40;

/// Whether such an event is of a product.
fn needs_product(kind: Kind) -> bool {
    match kind {
        Kind::StoreEntered => false,
        Kind::ProductViewed | Kind::CartAdded => true,
    }
}

/// An event that is complete and in bounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Event {
    /// Names it: one that comes again is the same event.
    pub(super) id: Uuid,
    /// What happened.
    pub(super) kind: Kind,
    /// Who.
    pub(super) customer_id: i64,
    /// Where.
    pub(super) store_id: i64,
    /// With what.
    pub(super) product_id: Option<i64>,
    /// When, whole microseconds.
    pub(super) occurred_at: Timestamp,
}

/// Why something is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    /// The field; `None` where it is the whole.
    pub(super) field: Option<String>,
    /// What is wrong with it, and what it may be.
    pub(super) detail: String,
}

impl Rejection {
    fn field(field: &str, detail: impl Into<String>) -> Rejection {
        Rejection {
            field: Some(field.to_owned()),
            detail: detail.into(),
        }
    }

    fn whole(detail: impl Into<String>) -> Rejection {
        Rejection {
            field: None,
            detail: detail.into(),
        }
    }

    /// The id was given to another event.
    pub(super) fn reused() -> Rejection {
        Rejection::field(
            FIELDS[EVENT_ID],
            "names another event that was accepted before: give each event an id of its own",
        )
    }
}

/// An event as it was sent: what the result of one that is refused can still name.
#[derive(Debug)]
pub(super) struct Sent {
    /// Its id, if it has one.
    pub(super) id: Option<Uuid>,
    /// What it is.
    pub(super) event: Result<Event, Rejection>,
}

/// Reads one event of JSON text.
pub(super) fn read(text: &str) -> Sent {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = deserializer.deserialize_map(Collect);
    let found = found.and_then(|found| deserializer.end().map(|()| found));
    match found {
        Ok(found) => {
            let id = found.id();
            Sent {
                id: id.as_ref().ok().copied(),
                event: found.event(id),
            }
        }
        Err(error) => Sent {
            id: None,
            event: Err(Rejection::whole(if error.is_data() {
                "is not a JSON object".to_owned()
            } else {
                format!("is not JSON: {error}")
            })),
        },
    }
}

/// The fields of an object as raw text, and the first thing that is wrong with their names.
#[derive(Default)]
struct Found<'a> {
    values: [Option<&'a str>; FIELDS.len()],
    wrong: Option<Rejection>,
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found::default();
        while let Some(name) = map.next_key::<Name>()? {
            let Some(value) = FIELDS
                .iter()
                .position(|field| *field == name.0)
                .and_then(|index| found.values.get_mut(index))
            else {
                map.next_value::<IgnoredAny>()?;
                found.wrong.get_or_insert_with(|| unknown(&name.0));
                continue;
            };
            let given = map.next_value::<&RawValue>()?.get();
            if value.replace(given).is_some() {
                let wrong = || Rejection::field(&name.0, "is given twice");
                found.wrong.get_or_insert_with(wrong);
            }
        }
        Ok(found)
    }
}

/// A field's name, escaped or not.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

fn unknown(name: &str) -> Rejection {
    let short: String = name.chars().take(NAME_MAX).collect();
    let known = FIELDS.join(", ");
    Rejection::field(&short, format!("is no field of an event; they are {known}"))
}

impl Found<'_> {
    fn id(&self) -> Result<Uuid, Rejection> {
        const HYPHENATED: usize = 36;
        let text = self.text(EVENT_ID, "a UUID in its hyphenated form")?;
        Some(text)
            .filter(|text| text.len() == HYPHENATED)
            .and_then(|text| Uuid::try_parse(&text).ok())
            .ok_or_else(|| must_be(EVENT_ID, "a UUID in its hyphenated form"))
    }

    fn event(self, id: Result<Uuid, Rejection>) -> Result<Event, Rejection> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let kind = self.kind()?;
        let product_id = self.given(PRODUCT_ID).map(|_| self.integer(PRODUCT_ID));
        if product_id.is_none() && needs_product(kind) {
            let detail = format!("is missing, and {} is of a product", kind.name());
            return Err(Rejection::field(FIELDS[PRODUCT_ID], detail));
        }
        Ok(Event {
            id: id?,
            kind,
            customer_id: self.integer(CUSTOMER_ID)?,
            store_id: self.integer(STORE_ID)?,
            product_id: product_id.transpose()?,
            occurred_at: self.time()?,
        })
    }

    fn kind(&self) -> Result<Kind, Rejection> {
        const ONE_OF: &str = "store_entered, product_viewed or cart_added";
        let text = self.text(KIND, ONE_OF)?;
        let mut kinds = Kind::ALL.into_iter();
        kinds
            .find(|kind| kind.name() == text)
            .ok_or_else(|| must_be(KIND, ONE_OF))
    }

    fn time(&self) -> Result<Timestamp, Rejection> {
        const TIME: &str =
            "a time of RFC 3339 with its zone, 2026-11-28T09:30:00Z, from the year 1 on";
        let text = self.text(OCCURRED_AT, TIME)?;
        rfc_3339(&text).ok_or_else(|| must_be(OCCURRED_AT, TIME))
    }

    fn integer(&self, field: usize) -> Result<i64, Rejection> {
        let wrong = || must_be(field, "a whole number of 64 bits");
        let text = self.given(field).ok_or_else(|| missing(field))?;
        whole(text).ok_or_else(wrong)
    }

    fn text(&self, field: usize, bound: &str) -> Result<std::borrow::Cow<'_, str>, Rejection> {
        let text = self.given(field).ok_or_else(|| missing(field))?;
        let text: Result<Name<'_>, _> = serde_json::from_str(text);
        text.map(|text| text.0).map_err(|_| must_be(field, bound))
    }

    /// What was given; null is nothing.
    fn given(&self, field: usize) -> Option<&str> {
        let given = self.values.get(field).copied().flatten();
        given.filter(|text| *text != "null")
    }
}

fn name(field: usize) -> &'static str {
    FIELDS.get(field).copied().unwrap_or_default()
}

fn missing(field: usize) -> Rejection {
    Rejection::field(name(field), "is missing")
}

fn must_be(field: usize, bound: &str) -> Rejection {
    Rejection::field(name(field), format!("must be {bound}"))
}

/// A JSON number that is whole, `7` and `7.0`, without a way round over floats, which have fewer digits.
pub(super) fn whole(text: &str) -> Option<i64> {
    let digits = match text.split_once('.') {
        Some((digits, zeros)) if zeros.bytes().all(|byte| byte == b'0') => digits,
        _ => text,
    };
    serde_json::from_str(digits).ok()
}

/// A time of RFC 3339, in whole microseconds. jiff reads more forms than that, so the shape is looked at first.
pub(super) fn rfc_3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let (date_time, zone) = match bytes.iter().skip(19).position(|byte| !is_fraction(*byte)) {
        Some(end) => text.split_at_checked(19 + end)?,
        None => return None,
    };
    let shaped = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(byte, shape)| match shape {
                    b'0' => byte.is_ascii_digit(),
                    b'T' => byte == b'T' || byte == b't',
                    b'+' => byte == b'+' || byte == b'-',
                    other => byte == other,
                })
    };
    let (whole, fraction) = date_time.split_at_checked(19)?;
    let fraction_ends = fraction.is_empty()
        || fraction.strip_prefix('.').is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
    let zoned = zone.eq_ignore_ascii_case("z") || shaped(zone, "+00:00");
    if !shaped(whole, "0000-00-00T00:00:00") || !fraction_ends || !zoned {
        return None;
    }
    // More than nine digits of a second jiff refuses; the tenth says nothing to us.
    let fraction = fraction.get(..fraction.len().min(10))?;
    let time: Timestamp = format!("{whole}{fraction}{zone}").parse().ok()?;
    let micros = time.as_nanosecond().div_euclid(1_000);
    let time = Timestamp::from_microsecond(i64::try_from(micros).ok()?).ok()?;
    (time >= "0001-01-01T00:00:00Z".parse().ok()?).then_some(time)
}

fn is_fraction(byte: u8) -> bool {
    byte == b'.' || byte.is_ascii_digit()
}

impl Event {
    /// The record's key.
    pub(super) fn write_key(&self, to: &mut String) {
        let mut digits = itoa::Buffer::new();
        to.push_str(digits.format(self.customer_id));
    }

    /// The record's value.
    pub(super) fn write_value(&self, received_at: Timestamp, to: &mut String) {
        let Event {
            id,
            kind,
            customer_id,
            store_id,
            product_id,
            occurred_at,
        } = self;
        // Writing into a string does not fail.
        let _ = write!(
            to,
            r#"{{"event_id":"{id}","type":"{}","customer_id":{customer_id},"store_id":{store_id},"product_id":"#,
            kind.name()
        );
        let _ = match product_id {
            Some(product_id) => write!(to, "{product_id}"),
            None => write!(to, "null"),
        };
        let _ = write!(
            to,
            r#","occurred_at":"{occurred_at:.6}","received_at":"{received_at:.6}"}}"#
        );
    }

    /// Tells it from another event with the same id.
    pub(super) fn fingerprint(&self, state: &impl std::hash::BuildHasher) -> u64 {
        state.hash_one(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"event_id":"5F0D1A34-0000-4000-8000-00000000000a","type":"product_viewed",
        "customer_id":7,"store_id":-1,"product_id":2,"occurred_at":"2026-11-28T04:06:02.1234567+01:00"}"#;

    fn value(event: &Event) -> String {
        let mut text = String::new();
        let received = "2026-11-28T03:06:03Z".parse().unwrap();
        event.write_value(received, &mut text);
        text
    }

    #[test]
    fn an_event_has_one_form() {
        let event = read(EVENT).event.unwrap();
        let expected = concat!(
            r#"{"event_id":"5f0d1a34-0000-4000-8000-00000000000a","type":"product_viewed","customer_id":7,"#,
            r#""store_id":-1,"product_id":2,"occurred_at":"2026-11-28T03:06:02.123456Z","#,
            r#""received_at":"2026-11-28T03:06:03.000000Z"}"#
        );
        assert_eq!(value(&event), expected);
        let mut key = String::new();
        event.write_key(&mut key);
        assert_eq!(key, "7");
        let entered = EVENT.replace("product_viewed", "store_entered");
        let entered = entered.replace("\"product_id\":2", "\"product_id\":null");
        assert!(value(&read(&entered).event.unwrap()).contains("\"product_id\":null,"));
        let point = EVENT.replace("\"customer_id\":7", "\"customer_id\":7.00");
        assert_eq!(read(&point).event.unwrap(), event);
        // Escapes in names and values are read as what they stand for.
        let escaped = EVENT
            .replace("store_id", "store\\u005fid")
            .replace("viewed", "vi\\u0065wed");
        assert_eq!(read(&escaped).event.unwrap(), event);
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        let check = |from: &str, to: &str, field: Option<&str>, detail: &str| {
            assert!(EVENT.contains(from), "{from}");
            let sent = read(&EVENT.replacen(from, to, 1));
            let found = sent.event.unwrap_err();
            assert_eq!(found.field.as_deref(), field, "{to}: {found:?}");
            assert!(found.detail.contains(detail), "{to}: {found:?}");
            if field.is_some_and(|field| field != "event_id") {
                assert!(sent.id.is_some(), "{to}");
            }
        };
        check(
            "product_id\":2",
            "product_id\":null",
            Some("product_id"),
            "product_viewed is of",
        );
        check(
            "\"customer_id\":7",
            "\"extra\":1",
            Some("extra"),
            "no field",
        );
        check(
            "\"customer_id\":7",
            "\"store_id\":1",
            Some("store_id"),
            "twice",
        );
        check("\"customer_id\":7,", "", Some("customer_id"), "missing");
        for wrong in ["\"7\"", "7.01", "7e0", "9223372036854775808", "[7]", "true"] {
            check(
                "_id\":7",
                &format!("_id\":{wrong}"),
                Some("customer_id"),
                "64 bits",
            );
        }
        check(
            "product_viewed",
            "Product_viewed",
            Some("type"),
            "store_entered",
        );
        check("\"product_viewed\"", "3", Some("type"), "store_entered");
        check("-8000-", "8000", Some("event_id"), "UUID");
        check("5F0D1A34", "{F0D1A3}", Some("event_id"), "UUID");
        check("{", "[", None, "not");
        check("}", "", None, "not JSON");
        check("}", "} 1", None, "not JSON");
        assert_eq!(read("7").event.unwrap_err().detail, "is not a JSON object");
        let long = format!("{{\"{}\":1}}", "x".repeat(1_000));
        assert_eq!(
            read(&long).event.unwrap_err().field.unwrap().len(),
            NAME_MAX
        );
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        let check = |text: &str, expected: Option<&str>| {
            let found = rfc_3339(text).map(|time| format!("{time:.6}"));
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("2026-11-28T03:06:02Z", Some("2026-11-28T03:06:02.000000Z"));
        check(
            "2026-11-28t03:06:02.5z",
            Some("2026-11-28T03:06:02.500000Z"),
        );
        check(
            "2026-11-28T03:06:02-23:59",
            Some("2026-11-29T03:05:02.000000Z"),
        );
        check(
            "1969-12-31T23:59:59.9999999999Z",
            Some("1969-12-31T23:59:59.999999Z"),
        );
        check("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59.000000Z"));
        for wrong in [
            "",
            "2026-11-28T03:06:02",
            "2026-11-28 03:06:02Z",
            "2026-11-28T03:06:02+01",
            "2026-11-28T03:06:02+0100",
            "2026-11-28T03:06:02,5Z",
            "2026-11-28T03:06:02.Z",
            "2026-11-28T03:06:02..5Z",
            "2026-11-28T03:06Z",
            "2026-11-28T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-28T03:06:02Z[Europe/Berlin]",
            "+002026-11-28T03:06:02Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2026-11-28T03:06:0\u{0662}Z",
        ] {
            check(wrong, None);
        }
    }
}
