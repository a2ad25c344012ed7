//! `Field`: a column as an event carries it — missing, null or a value.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A column of `after`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// The source did not send it: its last image stays.
    #[default]
    Missing,
    /// Null.
    Null,
    /// A value.
    Value(T),
}

impl<T> Field<T> {
    /// Overwrites the last image, unless the column is missing.
    pub fn write(self, image: &mut Option<T>) {
        match self {
            Field::Missing => {}
            Field::Null => *image = None,
            Field::Value(value) => *image = Some(value),
        }
    }
}

impl<T> From<Option<T>> for Field<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Field::Null, Field::Value)
    }
}

/// What a column of the retail tables may be.
pub trait Column: Sized {
    /// For the message about a value of another kind.
    const EXPECTED: &'static str;
    /// From a JSON integer.
    fn from_integer(value: i64) -> Option<Self>;
    /// From a JSON string; `None` when it does not spell one.
    fn from_text(text: &str) -> Option<Self>;
    /// Whether a JSON string stands for no value at all.
    fn is_absent(_: &str) -> bool {
        false
    }
    /// From a JSON boolean.
    fn from_boolean(_: bool) -> Option<Self> {
        None
    }
}

impl Column for i64 {
    const EXPECTED: &'static str = "a 64-bit integer";
    fn from_integer(value: i64) -> Option<Self> {
        Some(value)
    }
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Column for i32 {
    const EXPECTED: &'static str = "a 32-bit integer";
    fn from_integer(value: i64) -> Option<Self> {
        i32::try_from(value).ok()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    // What a numeric holds beside numbers.
    fn is_absent(text: &str) -> bool {
        matches!(text, "NaN" | "Infinity" | "-Infinity")
    }
}

impl Column for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_integer(_: i64) -> Option<Self> {
        None
    }
    fn from_text(_: &str) -> Option<Self> {
        None
    }
    fn from_boolean(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl Column for String {
    const EXPECTED: &'static str = "text";
    fn from_integer(_: i64) -> Option<Self> {
        None
    }
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl<'de, T: Column> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<T: Column> FieldVisitor<T> {
    // The message names the kind that was expected and never the value: rows stay out of logs.
    fn value<E: Error>(value: Option<T>) -> Result<Field<T>, E> {
        value
            .map(Field::Value)
            .ok_or_else(|| E::custom(format_args!("expected {}", T::EXPECTED)))
    }
}

impl<T: Column> Visitor<'_> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "null or {}", T::EXPECTED)
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Self::value(T::from_boolean(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Self::value(T::from_integer(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Self::value(i64::try_from(value).ok().and_then(T::from_integer))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Self::value(None)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if T::is_absent(text) {
            return Ok(Field::Null);
        }
        Self::value(T::from_text(text))
    }
}

/// A column of text or numbers, as PostgreSQL's own text: lossless JSON writes numeric as a string, and the
/// integer types as numbers.
pub(super) fn digits<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Field<String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Number {
        Text(String),
        Integer(i64),
    }
    Option::<Number>::deserialize(deserializer).map(|number| match number {
        None => Field::Null,
        Some(Number::Text(text)) => Field::Value(text),
        Some(Number::Integer(integer)) => Field::Value(integer.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Row {
        count: Field<i32>,
        id: Field<i64>,
        name: Field<String>,
        #[serde(deserialize_with = "digits")]
        price: Field<String>,
    }

    impl Default for Row {
        fn default() -> Self {
            let (count, id) = (Field::Missing, Field::Missing);
            Row {
                count,
                id,
                name: Field::Missing,
                price: Field::Missing,
            }
        }
    }

    #[test]
    fn missing_null_and_value_are_told_apart() {
        let row: Row = serde_json::from_str(r#"{"count":7,"name":null,"other":[1]}"#).unwrap();
        let expected = Row {
            count: Field::Value(7),
            name: Field::Null,
            ..Row::default()
        };
        assert_eq!(row, expected);
    }

    #[test]
    fn integers_come_as_numbers_or_text_and_prices_keep_their_digits() {
        let text = r#"{"count":"-3","id":"9007199254740993","price":"12.50"}"#;
        let row: Row = serde_json::from_str(text).unwrap();
        assert_eq!(row.count, Field::Value(-3));
        assert_eq!(row.id, Field::Value(9_007_199_254_740_993));
        assert_eq!(row.price, Field::Value("12.50".to_owned()));
        let row: Row = serde_json::from_str(r#"{"price":12}"#).unwrap();
        assert_eq!(row.price, Field::Value("12".to_owned()));
        let row: Row = serde_json::from_str(r#"{"count":"NaN"}"#).unwrap();
        assert_eq!(row.count, Field::Null);
    }

    #[test]
    fn a_value_of_another_kind_is_refused_without_being_shown() {
        for text in [
            r#"{"count":2147483648}"#,
            r#"{"count":1.5}"#,
            r#"{"count":"4711x"}"#,
        ] {
            let error = serde_json::from_str::<Row>(text).unwrap_err().to_string();
            assert!(error.starts_with("expected a 32-bit integer"), "{error}");
            assert!(!error.contains("4711"), "{error}");
        }
    }
}
