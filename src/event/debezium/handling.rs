//! Handling modes: the settings of Debezium's connector that change how values look.

use crate::event::shape::UNAVAILABLE;

/// How values look that can look in several ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handling {
    /// `decimal.handling.mode`.
    pub decimal: DecimalHandling,
    /// `time.precision.mode`.
    pub time: TimeHandling,
    /// `interval.handling.mode`.
    pub interval: IntervalHandling,
    /// `binary.handling.mode`.
    pub binary: BinaryHandling,
    /// `hstore.handling.mode`.
    pub hstore: HstoreHandling,
    /// `unavailable.value.placeholder`.
    pub unavailable: Placeholder,
    /// `field.name.adjustment.mode` and `schema.name.adjustment.mode`.
    pub names: NameAdjustment,
    /// `include.unknown.datatypes`: columns of types without a form are there as bytes.
    pub include_unknown: bool,
}

/// `numeric` and `money`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecimalHandling {
    /// All digits, as bytes.
    #[default]
    Precise,
    /// The nearest floating-point number.
    Double,
    /// Digits as a string.
    String,
}

/// `date`, `time` and `timestamp`; those with time zones are always strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeHandling {
    /// Milliseconds at a precision of 3 or less, else microseconds.
    #[default]
    Adaptive,
    /// The same, but times of day always in microseconds.
    AdaptiveMicroseconds,
    /// Milliseconds, Kafka Connect's own types.
    Connect,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
    /// ISO 8601.
    IsoString,
}

/// `interval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntervalHandling {
    /// Microseconds, a month of 30.4375 days.
    #[default]
    Numeric,
    /// ISO 8601 with every part.
    String,
}

/// `bytea`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BinaryHandling {
    /// Bytes, which JSON has in base64.
    #[default]
    Bytes,
    /// A string in base64.
    Base64,
    /// A string in base64 with `-` and `_`.
    Base64UrlSafe,
    /// A string of hexadecimal digits.
    Hex,
}

/// `hstore`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HstoreHandling {
    /// A string that holds an object.
    #[default]
    Json,
    /// An object.
    Map,
}

/// What becomes of the names of columns and schemas that Avro does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameAdjustment {
    /// Nothing.
    #[default]
    None,
    /// `_` for each other character.
    Avro,
    /// `_u` and the character's number for each other character and `_` itself.
    AvroUnicode,
}

impl NameAdjustment {
    /// The name of a column's field.
    pub(in crate::event) fn field(self, column: &str) -> String {
        self.adjusted(column, |_| false)
    }

    /// The full name of a schema, whose parts are joined by dots.
    pub(in crate::event) fn schema(self, name: &str) -> String {
        self.adjusted(name, |character| character == '.')
    }

    /// Characters are taken in UTF-16, as Java has them.
    fn adjusted(self, name: &str, is_kept: fn(char) -> bool) -> String {
        let mut adjusted = String::with_capacity(name.len());
        for (place, unit) in name.encode_utf16().enumerate() {
            let character = char::from_u32(unit.into()).filter(char::is_ascii);
            let letter = character.filter(|c| {
                c.is_ascii_alphabetic()
                    || *c == '_' && self == NameAdjustment::Avro
                    || (c.is_ascii_digit() || is_kept(*c)) && place > 0
            });
            match (self, letter, character) {
                (NameAdjustment::None, _, _) => return name.to_owned(),
                (_, Some(letter), _) => adjusted.push(letter),
                // A leading digit stays recognisable.
                (NameAdjustment::Avro, None, Some(digit)) if digit.is_ascii_digit() => {
                    adjusted.extend(['_', digit]);
                }
                (NameAdjustment::Avro, None, _) => adjusted.push('_'),
                (NameAdjustment::AvroUnicode, None, _) => adjusted.push_str(&unicode(unit)),
            }
        }
        adjusted
    }
}

/// Three digits stay three.
fn unicode(unit: u16) -> String {
    let hex = format!("{unit:x}");
    let zeros = if hex.len() <= 2 { "00" } else { "" };
    format!("_u{zeros}{hex}")
}

/// What stands for a value that the server did not send, kept in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholder {
    bytes: [u8; Placeholder::BYTES_MAX],
    length: usize,
}

impl Placeholder {
    /// Longest one, bytes.
    pub const BYTES_MAX: usize = 64;

    /// `None` for one that is empty or too long.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Placeholder::BYTES_MAX];
        let length = text.len();
        bytes.get_mut(..length)?.copy_from_slice(text.as_bytes());
        (length > 0).then_some(Placeholder { bytes, length })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Default for Placeholder {
    fn default() -> Self {
        const { assert!(UNAVAILABLE.len() <= Placeholder::BYTES_MAX) };
        Placeholder::new(UNAVAILABLE).unwrap_or(Placeholder {
            bytes: [0; Placeholder::BYTES_MAX],
            length: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_adjusted() {
        for (column, avro, unicode) in [
            ("plain", "plain", "plain"),
            ("snake_case2", "snake_case2", "snake_u005fcase2"),
            ("2nd", "_2nd", "_u0032nd"),
            ("a-b c", "a_b_c", "a_u002db_u0020c"),
            ("Größe", "Gr__e", "Gr_u00f6_u00dfe"),
            ("x\u{1F600}", "x__", "x_ud83d_ude00"),
            ("\u{15f}", "_", "_u15f"),
        ] {
            assert_eq!(NameAdjustment::None.field(column), column);
            assert_eq!(NameAdjustment::Avro.field(column), avro);
            assert_eq!(NameAdjustment::AvroUnicode.field(column), unicode);
        }
    }

    #[test]
    fn names_of_schemas_keep_their_dots() {
        let name = "shop-1.public.my_table.Value";
        for (adjustment, expected) in [
            (NameAdjustment::None, name),
            (NameAdjustment::Avro, "shop_1.public.my_table.Value"),
            (
                NameAdjustment::AvroUnicode,
                "shop_u002d1.public.my_u005ftable.Value",
            ),
        ] {
            assert_eq!(adjustment.schema(name), expected);
        }
    }

    #[test]
    fn placeholders_have_a_bound() {
        assert_eq!(Placeholder::default().as_str(), UNAVAILABLE);
        assert_eq!(Placeholder::new("é").unwrap().as_str(), "é");
        assert_eq!(Placeholder::new(""), None);
        assert_eq!(Placeholder::new(&"x".repeat(65)), None);
    }
}
