//! Ranges of keys, and the order that a key's text stands in.
//!
//! A range is half-open, and its bounds are the key columns' text as PostgreSQL writes it. The server cuts
//! a table into ranges, in whatever order it has; whether a key lies in one of them is told here, without
//! asking it, for the types whose order can be read off their text ([`KeyOrder`]).

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::table::{ColumnShape, TypeShape};

/// Oids of built-in types.
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const BYTEA: u32 = 17;
    pub(super) const NAME: u32 = 19;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const OID: u32 = 26;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const DATE: u32 = 1082;
    pub(super) const TIME: u32 = 1083;
    pub(super) const TIMESTAMP: u32 = 1114;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const UUID: u32 = 2950;
}

/// A half-open range of keys; the bounds are the key columns' text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// First key of the range; `None`: from the very first.
    pub from: Option<Vec<String>>,
    /// First key after the range; `None`: to the very last.
    pub until: Option<Vec<String>>,
}

/// How the text of one key column is ordered as its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrder {
    /// As whole numbers.
    Integer,
    /// Byte by byte: uuid, bytea in hexadecimal, time, boolean, text under the collation C.
    Bytes,
    /// Dates and timestamps: by the year, which has a sign and any number of digits, then byte by byte.
    Moment,
}

impl KeyOrder {
    /// The order of a column; `None` where only the server knows it. `bytewise`: its collation, if it has
    /// one, compares bytes.
    pub fn of(column: &ColumnShape, bytewise: bool) -> Option<KeyOrder> {
        let type_oid = match &column.resolved {
            None => column.type_oid,
            Some(TypeShape::Builtin(base)) => *base,
            Some(_) => return None,
        };
        match type_oid {
            oid::INT2 | oid::INT4 | oid::INT8 | oid::OID => Some(KeyOrder::Integer),
            oid::BOOL | oid::BYTEA | oid::TIME | oid::UUID => Some(KeyOrder::Bytes),
            oid::TEXT | oid::VARCHAR | oid::NAME if bytewise => Some(KeyOrder::Bytes),
            oid::DATE | oid::TIMESTAMP | oid::TIMESTAMPTZ => Some(KeyOrder::Moment),
            _ => None,
        }
    }

    /// Compares two values by their text.
    pub fn compare(self, left: &[u8], right: &[u8]) -> Ordering {
        match self {
            KeyOrder::Integer => integer(left).cmp(&integer(right)),
            KeyOrder::Bytes => left.cmp(right),
            KeyOrder::Moment => moment(left).cmp(&moment(right)),
        }
    }
}

/// Every integer type fits; text that is none does not come from a column of these types.
fn integer(text: &[u8]) -> i64 {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// The year, 1 BC being −1, and what follows it. Within a year the text is in the order of time: a
/// fraction has no trailing zeros, and the zone is always UTC's.
fn moment(text: &[u8]) -> (i64, &[u8]) {
    match text {
        b"-infinity" => return (i64::MIN, b""),
        b"infinity" => return (i64::MAX, b""),
        _ => {}
    }
    let (text, sign) = match text.strip_suffix(b" BC") {
        Some(text) => (text, -1),
        None => (text, 1),
    };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (year, rest) = text.split_at(digits);
    (sign * integer(year), rest)
}

#[cfg(test)]
mod tests {
    use super::super::table::ColumnFacts;
    use super::*;

    #[track_caller]
    fn ascending(order: KeyOrder, texts: &[&str]) {
        for (at, left) in texts.iter().enumerate() {
            for (other, right) in texts.iter().enumerate() {
                assert_eq!(
                    order.compare(left.as_bytes(), right.as_bytes()),
                    at.cmp(&other),
                    "{left} and {right}"
                );
            }
        }
    }

    #[test]
    fn integers_are_not_in_the_order_of_their_digits() {
        let texts = ["-9223372036854775808", "-10", "-9", "0", "9", "10", "100"];
        ascending(KeyOrder::Integer, &texts);
    }

    #[test]
    fn text_and_its_like_are_in_the_order_of_their_bytes() {
        ascending(KeyOrder::Bytes, &["", " ", "B", "a", "a ", "aa", "é"]);
        ascending(
            KeyOrder::Bytes,
            &["\\x", "\\x00", "\\x0000", "\\x0a", "\\xff"],
        );
        ascending(
            KeyOrder::Bytes,
            &[
                "00:00:00",
                "09:59:59",
                "09:59:59.5",
                "09:59:59.55",
                "24:00:00",
            ],
        );
        ascending(
            KeyOrder::Bytes,
            &[
                "0a000000-0000-0000-0000-000000000000",
                "a0000000-0000-0000-0000-000000000000",
                "a0000000-0000-0000-0000-00000000000a",
            ],
        );
    }

    #[test]
    fn moments_are_in_the_order_of_time() {
        ascending(
            KeyOrder::Moment,
            &[
                "-infinity",
                "4713-01-01 BC",
                "0044-03-15 BC",
                "0044-03-16 BC",
                "0001-12-31",
                "2024-02-29",
                "10000-01-01",
                "294276-12-31",
                "infinity",
            ],
        );
        ascending(
            KeyOrder::Moment,
            &[
                "0044-03-15 12:00:00+00 BC",
                "2024-02-29 12:00:00+00",
                "2024-02-29 12:00:00.000001+00",
                "2024-02-29 12:00:00.5+00",
                "2024-02-29 12:00:00.55+00",
                "2024-02-29 12:00:01+00",
                "12024-02-29 12:00:00+00",
            ],
        );
    }

    #[test]
    fn an_order_is_known_of_some_types_and_of_text_by_its_collation() {
        let order = |type_oid, resolved, bytewise| {
            let column = ColumnShape {
                name: "k".to_owned(),
                type_oid,
                type_modifier: -1,
                resolved,
                facts: ColumnFacts::default(),
            };
            KeyOrder::of(&column, bytewise)
        };
        assert_eq!(order(oid::INT8, None, false), Some(KeyOrder::Integer));
        assert_eq!(order(oid::TEXT, None, true), Some(KeyOrder::Bytes));
        assert_eq!(order(oid::TEXT, None, false), None);
        let domain = Some(TypeShape::Builtin(oid::UUID));
        assert_eq!(order(99_999, domain, false), Some(KeyOrder::Bytes));
        assert_eq!(order(99_999, Some(TypeShape::Enum(Vec::new())), true), None);
        let numeric = 1700;
        assert_eq!(order(numeric, None, true), None);
    }
}
