//! Debezium's type table: the values that its PostgreSQL connector gives with its default settings, in
//! JSON without schemas.
//!
//! | type | JSON |
//! |---|---|
//! | boolean, bit(1) | `true`, `false` |
//! | smallint, integer, bigint, oid | number |
//! | real, double precision | number in the text of Java 19 and later; NaN and infinities as strings |
//! | numeric(p,s), money | base64 of the unscaled value, two's complement and big-endian; NaN as null |
//! | numeric | `{"scale":…,"value":…}` without trailing zeros; NaN and infinities as null |
//! | date | days since 1970 |
//! | time, timestamp | microseconds since midnight or 1970; milliseconds at a precision of 3 or less |
//! | timestamptz | ISO 8601 in UTC, with as many fraction digits as the type has |
//! | timetz | ISO 8601 in UTC, without trailing zeros |
//! | interval | microseconds, a month of 30.4375 days |
//! | bytea | base64 |
//! | bit(n), varbit | base64 of the bytes, little-endian, without leading zeros |
//! | hstore | string that holds an object |
//! | point | `{"x":…,"y":…,"wkb":…,"srid":null}` |
//! | character types, uuid, json, jsonb, xml, enumerations, network addresses, built-in ranges, tsvector, citext, ltree | string |
//! | arrays of these | array; in two dimensions as many nulls as it has rows |
//! | arrays of enumerations and ltree | array of strings; null if an element is, as Debezium fails to convert it |
//! | arrays of bit | null, for the same reason |
//! | all others | the column is left out |
//!
//! Each line is what version 3.6.1 was seen to give.

mod bits;
mod number;
mod point;
mod temporal;
mod text;

use super::array::{self, DIMENSIONS_MAX};
use super::builtin::builtin_array;
use super::hstore;
use super::json::{self, Unexpected};
use super::kind::Kind;
use super::table::{ColumnShape, TypeShape};
use super::value;

/// The JSON form of a column's values in this table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Boolean,
    Integer,
    Real,
    Double,
    Text,
    Bytea,
    Date,
    TimeMillis,
    TimeMicros,
    TimeTz,
    TimestampMillis,
    TimestampMicros,
    TimestampTz {
        fraction_digits: usize,
    },
    Interval,
    Decimal {
        scale: usize,
    },
    VariableDecimal,
    Money,
    Bit,
    Bits,
    Hstore,
    Point,
    Array {
        element: Box<Kind>,
        delimiter: u8,
    },
    /// An array of text that Debezium fails to convert if an element is null.
    TextsOrNull,
    /// Always null, since Debezium fails to convert it.
    Null,
    /// A type that Debezium has no form for: events lack the column.
    Dropped,
}

/// What Debezium says of a value that the server did not send.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

impl Form {
    pub(super) fn of(column: &ColumnShape) -> Self {
        match &column.resolved {
            Some(shape) => Form::of_shape(shape, column.type_modifier),
            None => Form::of_builtin(column.type_oid, column.type_modifier),
        }
    }

    fn of_shape(shape: &TypeShape, modifier: i32) -> Self {
        match shape {
            TypeShape::Builtin(oid) => Form::of_builtin(*oid, modifier),
            TypeShape::Enum(_) => Form::Text,
            TypeShape::Extension(name) => match name.as_str() {
                "hstore" => Form::Hstore,
                "citext" | "ltree" => Form::Text,
                _ => Form::Dropped,
            },
            TypeShape::Array { element, delimiter } => {
                let ltree = TypeShape::Extension("ltree".to_owned());
                if matches!(**element, TypeShape::Enum(_)) || **element == ltree {
                    Form::TextsOrNull
                } else {
                    Form::array(Form::of_shape(element, modifier), *delimiter)
                }
            }
            TypeShape::Composite(_)
            | TypeShape::Range(_)
            | TypeShape::Multirange(_)
            | TypeShape::Opaque => Form::Dropped,
        }
    }

    fn of_builtin(oid: u32, modifier: i32) -> Self {
        match builtin_array(oid) {
            None => Form::of_scalar(oid, modifier),
            Some((1560, _)) => Form::Null, // bit
            // name, xml, point, money, interval, varbit
            Some((19 | 142 | 600 | 790 | 1186 | 1562, _)) => Form::Dropped,
            Some((element, delimiter)) => {
                Form::array(Form::of_scalar(element, modifier), delimiter)
            }
        }
    }

    fn array(element: Form, delimiter: u8) -> Self {
        if element == Form::Dropped {
            return Form::Dropped;
        }
        Form::Array {
            element: Box::new(Kind::Debezium(element)),
            delimiter,
        }
    }

    /// Oids are those of `pg_type.dat`, which never change.
    fn of_scalar(oid: u32, modifier: i32) -> Self {
        match oid {
            16 => Form::Boolean,
            17 => Form::Bytea,
            20 | 21 | 23 | 26 => Form::Integer, // int8, int2, int4, oid
            600 => Form::Point,
            700 => Form::Real,
            701 => Form::Double,
            790 => Form::Money,
            1082 => Form::Date,
            1083 if (0..=3).contains(&modifier) => Form::TimeMillis,
            1083 => Form::TimeMicros,
            1114 if (0..=3).contains(&modifier) => Form::TimestampMillis,
            1114 => Form::TimestampMicros,
            1184 => Form::TimestampTz {
                fraction_digits: usize::try_from(modifier).map_or(6, |digits| digits.min(6)),
            },
            1186 => Form::Interval,
            1266 => Form::TimeTz,
            1560 if modifier == 1 => Form::Bit,
            1560 | 1562 => Form::Bits,
            1700 => number::of_modifier(modifier),
            // "char", name, text, json, xml, cidr, macaddr8, macaddr, inet, bpchar, varchar, uuid,
            // tsvector, jsonb
            18 | 19 | 25 | 114 | 142 | 650 | 774 | 829 | 869 | 1042 | 1043 | 2950 | 3614 | 3802 => {
                Form::Text
            }
            // int4range, numrange, tsrange, tstzrange, daterange, int8range
            3904 | 3906 | 3908 | 3910 | 3912 | 3926 => Form::Text,
            _ => Form::Dropped,
        }
    }

    /// Appends the placeholder of a TOAST value that the server did not send, of a type by its oid.
    pub(super) fn unavailable(&self, type_oid: u32, out: &mut Vec<u8>) {
        if *self == Form::Text {
            text::string(UNAVAILABLE, out);
        } else if *self == Form::Bytea {
            number::base64(UNAVAILABLE.as_bytes(), out);
        } else if *self == Form::Hstore {
            let object = format!(r#"{{"{UNAVAILABLE}":"{UNAVAILABLE}"}}"#);
            text::string(&object, out);
        } else if matches!(self, Form::Array { .. }) {
            unavailable_array(type_oid, out);
        } else if *self != Form::Dropped {
            out.extend_from_slice(b"null");
        }
    }

    /// What its text has to look like, for error messages.
    pub(super) fn expectation(&self) -> &'static str {
        match self {
            Form::Boolean => "t or f",
            Form::Integer => "an integer",
            Form::Real | Form::Double => "a floating-point number",
            Form::Text => "utf-8",
            Form::Bytea => "bytes in hexadecimal",
            Form::Date => "a date in ISO form",
            Form::TimeMillis | Form::TimeMicros | Form::TimeTz => "a time in ISO form",
            Form::TimestampMillis | Form::TimestampMicros | Form::TimestampTz { .. } => {
                "a timestamp in ISO form"
            }
            Form::Interval => "an ISO 8601 duration",
            Form::Decimal { .. } | Form::VariableDecimal => "a decimal number of its scale",
            Form::Money => "an amount with lc_monetary = 'C'",
            Form::Bit | Form::Bits => "a bit string",
            Form::Hstore => "an hstore",
            Form::Point => "a point",
            Form::Array { .. } | Form::TextsOrNull => "an array",
            Form::Null | Form::Dropped => "anything",
        }
    }
}

/// Appends the JSON form of a value. `scratch` is reused.
pub(super) fn write(
    form: &Form,
    text: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    match form {
        Form::Boolean => value::boolean(text, out),
        Form::Integer => value::integer(text, out),
        Form::Real => number::real(text, out),
        Form::Double => number::double(text, out),
        Form::Text => text::write(text, out),
        Form::Bytea => value::bytea(text, out),
        Form::Date => temporal::date(text, out),
        Form::TimeMillis => temporal::time(text, 1000, out),
        Form::TimeMicros => temporal::time(text, 1, out),
        Form::TimeTz => temporal::zoned_time(text, out),
        Form::TimestampMillis => temporal::timestamp(text, temporal::Unit::Millis, out),
        Form::TimestampMicros => temporal::timestamp(text, temporal::Unit::Micros, out),
        Form::TimestampTz { fraction_digits } => {
            temporal::zoned_timestamp(text, *fraction_digits, out)
        }
        Form::Interval => temporal::interval(text, out),
        Form::Decimal { scale } => number::decimal(text, *scale, scratch, out),
        Form::VariableDecimal => number::variable_decimal(text, scratch, out),
        Form::Money => number::money(text, scratch, out),
        Form::Bit => bits::single(text, out),
        Form::Bits => bits::write(text, scratch, out),
        Form::Hstore => hstore_string(text, scratch, out),
        Form::Point => point::write(text, out),
        Form::Array { element, delimiter } => write_array(text, element, *delimiter, scratch, out),
        Form::TextsOrNull => texts_or_null(text, scratch, out),
        Form::Null => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        Form::Dropped => Ok(()),
    }
}

fn hstore_string(text: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let start = out.len();
    hstore::write(text, scratch, out)?;
    scratch.clear();
    scratch.extend_from_slice(out.get(start..).unwrap_or_default());
    out.truncate(start);
    text::write(scratch, out)
}

fn write_array(
    text: &[u8],
    element: &Kind,
    delimiter: u8,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let start = out.len();
    array::write(text, element, delimiter, DIMENSIONS_MAX, scratch, out)?;
    let written = out.get(start..).unwrap_or_default();
    if written.starts_with(b"[[") {
        let rows = rows(text);
        out.truncate(start);
        out.push(b'[');
        for row in 0..rows {
            out.extend_from_slice(if row == 0 { b"null" } else { b",null" });
        }
        out.push(b']');
    } else if is_decimal(element) && text.iter().any(|byte| matches!(byte, b'a' | b'f')) {
        // One NaN or Infinity, and Debezium gives up the array.
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
    Ok(())
}

fn texts_or_null(text: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let start = out.len();
    array::write(
        text,
        &Kind::Debezium(Form::Text),
        b',',
        DIMENSIONS_MAX,
        scratch,
        out,
    )?;
    if holds_null(out.get(start..).unwrap_or_default()) {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
    Ok(())
}

/// Whether a JSON array of strings holds a null: it is all that has an `n` outside of quotes.
fn holds_null(json: &[u8]) -> bool {
    let mut within = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => within = !within,
            b'n' if !within => return true,
            _ => {}
        }
    }
    false
}

fn is_decimal(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Debezium(Form::Decimal { .. } | Form::VariableDecimal)
    )
}

/// How many arrays the outermost array holds.
fn rows(text: &[u8]) -> usize {
    let (mut rows, mut depth, mut quoted) = (0, 0_usize, false);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => quoted = !quoted,
            b'{' if !quoted => {
                rows += usize::from(depth == 1);
                depth += 1;
            }
            b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    rows
}

/// An array of one placeholder; numbers are the placeholder's bytes. Debezium fails to convert it to
/// the elements of most types.
fn unavailable_array(type_oid: u32, out: &mut Vec<u8>) {
    match type_oid {
        // integer, bigint, date
        1007 | 1016 | 1182 => {
            for (place, byte) in UNAVAILABLE.bytes().enumerate() {
                out.push(if place == 0 { b'[' } else { b',' });
                json::number(byte, out);
            }
            out.push(b']');
        }
        // json, text, varchar, jsonb
        199 | 1009 | 1015 | 3807 => {
            out.push(b'[');
            text::string(UNAVAILABLE, out);
            out.push(b']');
        }
        1001 => {
            out.push(b'[');
            number::base64(UNAVAILABLE.as_bytes(), out);
            out.push(b']');
        }
        2951 => out.extend_from_slice(br#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#),
        _ => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod events;
#[cfg(test)]
mod tests;
