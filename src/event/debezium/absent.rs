//! What stands for a value that the server did not send: of an unchanged TOAST value the placeholder,
//! of an old row's column outside of the replica identity its default, or a zero.

use md5::{Digest, Md5};

use super::super::default::ColumnDefault;
use super::super::json;
use super::super::table::{ColumnShape, TypeShape};
use super::{
    BinaryHandling, DecimalHandling, Form, Handling, HstoreHandling, IntervalHandling, Unit,
    number, opaque, text, write,
};

impl Form {
    /// Appends the placeholder of an unchanged TOAST value, of a type by its oid.
    pub(in crate::event) fn unavailable(
        &self,
        type_oid: u32,
        handling: &Handling,
        out: &mut Vec<u8>,
    ) {
        let placeholder = handling.unavailable.as_str();
        match self {
            Form::Text | Form::DecimalText { .. } => text::string(placeholder, out),
            Form::Bytea(BinaryHandling::Bytes)
            | Form::Opaque {
                handling: BinaryHandling::Bytes,
                ..
            } => number::base64(placeholder.as_bytes(), out),
            Form::Bytea(BinaryHandling::Hex)
            | Form::Opaque {
                handling: BinaryHandling::Hex,
                ..
            } => text::string(placeholder, out),
            Form::Hstore(handling) => {
                let mut object = Vec::from(b"{");
                text::string(placeholder, &mut object);
                object.push(b':');
                text::string(placeholder, &mut object);
                object.push(b'}');
                match (handling, std::str::from_utf8(&object)) {
                    (HstoreHandling::Json, Ok(object)) => text::string(object, out),
                    _ => out.extend_from_slice(&object),
                }
            }
            Form::Array { .. } => unavailable_array(type_oid, handling, out),
            Form::Dropped => {}
            Form::Boolean
            | Form::Integer
            | Form::Real
            | Form::Double
            | Form::Date
            | Form::IsoDate
            | Form::Time(_)
            | Form::TimeTz
            | Form::Timestamp(_)
            | Form::TimestampTz { .. }
            | Form::Interval(_)
            | Form::Decimal { .. }
            | Form::VariableDecimal
            | Form::DecimalDouble
            | Form::HeaderDecimal { .. }
            | Form::HeaderText
            | Form::Money(_)
            | Form::Bit
            | Form::Bits
            | Form::Bytea(_)
            | Form::Opaque { .. }
            | Form::Point
            | Form::Geometry
            | Form::Geography
            | Form::DoubleVector
            | Form::FloatVector
            | Form::TextsOrNull
            | Form::Null => out.extend_from_slice(b"null"),
        }
    }

    /// Appends what an old row shows of a column that was not sent.
    pub(in crate::event) fn not_sent(&self, column: &ColumnShape, out: &mut Vec<u8>) {
        if self.default(column, out) {
            return;
        }
        if column.facts.not_null {
            self.zero(out);
        } else {
            out.extend_from_slice(b"null");
        }
    }

    /// Appends the column's default; `false` where Debezium knows none.
    pub(in crate::event) fn default(&self, column: &ColumnShape, out: &mut Vec<u8>) -> bool {
        let Some(text) = default_text(self, column) else {
            return false;
        };
        let start = out.len();
        let written = write(self, text.as_bytes(), &mut Vec::new(), out);
        if written.is_err() {
            out.truncate(start);
        }
        written.is_ok()
    }

    /// Appends Debezium's value for a column that must not be null and is.
    fn zero(&self, out: &mut Vec<u8>) {
        let zero: &[u8] = match self {
            Form::Boolean | Form::Bit => b"false",
            Form::Integer | Form::Date | Form::Interval(IntervalHandling::Numeric) => b"0",
            Form::Time(unit) | Form::Timestamp(unit) if *unit != Unit::Iso => b"0",
            Form::Real | Form::Double | Form::DecimalDouble => b"0.0",
            Form::Money(DecimalHandling::Double) => b"0.0",
            Form::Money(DecimalHandling::String) => br#""0.00""#,
            Form::Money(DecimalHandling::Precise) | Form::Decimal { .. } => br#""AA==""#,
            Form::VariableDecimal => br#"{"scale":0,"value":"AA=="}"#,
            Form::DecimalText { .. } => {
                // A zero is a number of any scale.
                let _ = write(self, b"0", &mut Vec::new(), out);
                return;
            }
            Form::IsoDate => br#""1970-01-01Z""#,
            Form::Time(_) | Form::TimeTz => br#""00:00:00Z""#,
            Form::Timestamp(_) | Form::TimestampTz { .. } => br#""1970-01-01T00:00:00Z""#,
            Form::Interval(IntervalHandling::String) => br#""P0Y0M0DT0H0M0S""#,
            Form::Text | Form::Bytea(_) | Form::Bits | Form::Opaque { .. } => br#""""#,
            Form::Hstore(HstoreHandling::Json) => br#""{}""#,
            Form::Hstore(HstoreHandling::Map) => b"{}",
            Form::Point => {
                let _ = write(self, b"(0,0)", &mut Vec::new(), out);
                return;
            }
            // An empty collection.
            Form::Geometry | Form::Geography => br#"{"wkb":"AQcAAAAAAAAA","srid":null}"#,
            Form::DoubleVector
            | Form::FloatVector
            | Form::Array { .. }
            | Form::TextsOrNull
            | Form::Null => b"[]",
            Form::HeaderDecimal { .. } | Form::HeaderText | Form::Dropped => b"",
        };
        out.extend_from_slice(zero);
    }
}

/// The text of a default that Debezium knows: of few types, and never of a domain. What a function
/// gives is taken for a zero.
fn default_text<'a>(form: &Form, column: &'a ColumnShape) -> Option<&'a str> {
    let default = column.facts.default.as_ref()?;
    let known = match &column.resolved {
        Some(shape) => matches!(shape, TypeShape::Enum(_)),
        // bool, int8, int2, int4, text, json, xml, float4, float8, bpchar, varchar, date, time,
        // timestamp, timestamptz, interval, bit, varbit, numeric, uuid, jsonb
        None => matches!(
            column.type_oid,
            16 | 20
                | 21
                | 23
                | 25
                | 114
                | 142
                | 700
                | 701
                | 1042
                | 1043
                | 1082
                | 1083
                | 1114
                | 1184
                | 1186
                | 1560
                | 1562
                | 1700
                | 2950
                | 3802
        ),
    };
    if !known || *form == Form::VariableDecimal {
        return None;
    }
    match &default.constant {
        Some(constant) => Some(constant),
        None if column.resolved.is_none() && is_call(default) => placeholder(column.type_oid),
        None => None,
    }
}

/// Whether it is `now()`, `(nextval('s') + 1)` or `CURRENT_DATE`: a function's result is unknown.
fn is_call(default: &ColumnDefault) -> bool {
    let expression = default.expression.as_str();
    let call = expression.strip_prefix('(').unwrap_or(expression);
    let name = call
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
        .unwrap_or(call.len());
    let (name, arguments) = call.split_at(name);
    let is_function = !name.is_empty() && arguments.starts_with('(') && arguments.contains(')');
    is_function
        || matches!(
            expression.to_ascii_lowercase().as_str(),
            "current_timestamp" | "current_time" | "current_date" | "localtime" | "localtimestamp"
        )
}

/// What Debezium takes for the result of a function of that type.
fn placeholder(type_oid: u32) -> Option<&'static str> {
    Some(match type_oid {
        16 => "f",
        20 | 21 | 23 | 700 | 701 | 1700 => "0",
        25 | 142 | 1042 | 1043 => "",
        114 | 3802 => "{}",
        1082 => "1970-01-01",
        1083 => "00:00:00",
        1114 => "1970-01-01 00:00:00",
        1184 => "1970-01-01 00:00:00+00",
        1560 | 1562 => "0",
        2950 => "00000000-0000-0000-0000-000000000000",
        _ => return None,
    })
}

/// An array of one placeholder; numbers are the placeholder's bytes. Debezium fails to convert it to
/// the elements of most types.
fn unavailable_array(type_oid: u32, handling: &Handling, out: &mut Vec<u8>) {
    let placeholder = handling.unavailable.as_str();
    match type_oid {
        // integer, bigint, and date where it is a number
        1007 | 1016 => bytes_as_numbers(placeholder, out),
        1182 if is_number(handling) => bytes_as_numbers(placeholder, out),
        // json, text, bpchar, varchar, jsonb
        199 | 1009 | 1014 | 1015 | 3807 => {
            out.push(b'[');
            text::string(placeholder, out);
            out.push(b']');
        }
        1001 if handling.binary == BinaryHandling::Bytes => {
            out.push(b'[');
            opaque::bytes(placeholder.as_bytes(), handling.binary, out);
            out.push(b']');
        }
        2951 => {
            out.extend_from_slice(b"[\"");
            out.extend_from_slice(name_uuid(placeholder).to_string().as_bytes());
            out.extend_from_slice(b"\"]");
        }
        _ => out.extend_from_slice(b"null"),
    }
}

fn is_number(handling: &Handling) -> bool {
    use super::TimeHandling::{Connect, IsoString};
    !matches!(handling.time, Connect | IsoString)
}

fn bytes_as_numbers(placeholder: &str, out: &mut Vec<u8>) {
    for (place, byte) in placeholder.bytes().enumerate() {
        out.push(if place == 0 { b'[' } else { b',' });
        // Java's bytes have a sign.
        json::number(byte.cast_signed(), out);
    }
    out.push(b']');
}

/// Java's `UUID.nameUUIDFromBytes`: version 3, without a namespace.
fn name_uuid(name: &str) -> uuid::Uuid {
    let digest: [u8; 16] = Md5::digest(name.as_bytes()).into();
    uuid::Builder::from_md5_bytes(digest).into_uuid()
}
