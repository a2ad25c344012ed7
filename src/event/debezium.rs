//! Debezium's type table: the values that its PostgreSQL connector gives, in JSON without schemas. With
//! its default settings they are these; `handling` has the others.
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
//! | geometry, geography | `{"wkb":…,"srid":…}`, base64 of the extended well-known binary |
//! | vector, halfvec | array of numbers |
//! | character types, uuid, json, jsonb, xml, enumerations, network addresses, built-in ranges, tsvector, citext, ltree | string |
//! | arrays of these | array; in two dimensions as many nulls as it has rows |
//! | arrays of enumerations and ltree | array of strings; null if an element is, as Debezium fails to convert it |
//! | arrays of bit | null, for the same reason |
//! | all others | the column is left out |
//!
//! Each line is what version 3.6.1 was seen to give.

mod absent;
mod bits;
mod handling;
mod list;
mod map;
mod number;
mod opaque;
mod point;
mod spatial;
mod temporal;
mod text;
mod vector;

pub use handling::{
    BinaryHandling, DecimalHandling, Handling, HstoreHandling, IntervalHandling, NameAdjustment,
    Placeholder, TimeHandling,
};

use super::builtin::builtin_array;
use super::json::Unexpected;
use super::kind::Kind;
use super::table::{ColumnShape, TypeShape};
use super::value;
pub(super) use opaque::bytes as write_bytes;
pub(super) use temporal::{Unit, millis_since_1970};
pub(super) use text::string;

/// The JSON form of a column's values in this table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Boolean,
    Integer,
    Real,
    Double,
    Text,
    Bytea(BinaryHandling),
    Date,
    IsoDate,
    Time(Unit),
    TimeTz,
    Timestamp(Unit),
    TimestampTz {
        fraction_digits: usize,
    },
    Interval(IntervalHandling),
    Decimal {
        scale: usize,
    },
    VariableDecimal,
    /// A decimal as floating-point number.
    DecimalDouble,
    /// A decimal's digits, at least so many behind the point.
    DecimalText {
        scale: usize,
    },
    /// A decimal's digits as a number, in the header of a changed key.
    HeaderDecimal {
        scale: usize,
    },
    /// A string in the header of a changed key.
    HeaderText,
    Money(DecimalHandling),
    Bit,
    Bits,
    Hstore(HstoreHandling),
    Point,
    /// PostGIS' `geometry`, or `geography`.
    Geometry,
    Geography,
    /// pgvector's `vector`, or `halfvec`.
    DoubleVector,
    FloatVector,
    /// PostgreSQL's own text as bytes, of a type that Debezium has no form for.
    Opaque {
        handling: BinaryHandling,
        geometric: bool,
    },
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

impl Form {
    pub(super) fn of(column: &ColumnShape, handling: &Handling) -> Self {
        let found = match &column.resolved {
            Some(shape) => Form::of_shape(shape, column.type_modifier, handling),
            None => Form::of_builtin(column.type_oid, column.type_modifier, handling),
        };
        if found == Form::Dropped && handling.include_unknown && !is_never_there(column.type_oid) {
            return Form::opaque(column, handling);
        }
        found
    }

    fn opaque(column: &ColumnShape, handling: &Handling) -> Self {
        let opaque = |type_oid| Form::Opaque {
            handling: handling.binary,
            geometric: opaque::is_geometric(type_oid),
        };
        match (&column.resolved, builtin_array(column.type_oid)) {
            (Some(TypeShape::Array { element, delimiter }), _) => {
                let element = if let TypeShape::Builtin(oid) = **element {
                    oid
                } else {
                    0
                };
                Form::array(opaque(element), *delimiter)
            }
            (_, Some((element, delimiter))) => Form::array(opaque(element), delimiter),
            _ => opaque(column.type_oid),
        }
    }

    fn of_shape(shape: &TypeShape, modifier: i32, handling: &Handling) -> Self {
        match shape {
            TypeShape::Builtin(oid) => Form::of_builtin(*oid, modifier, handling),
            TypeShape::Enum(_) => Form::Text,
            TypeShape::Extension(name) => match name.as_str() {
                "hstore" => Form::Hstore(handling.hstore),
                "citext" | "ltree" | "isbn" => Form::Text,
                "geometry" => Form::Geometry,
                "geography" => Form::Geography,
                "vector" => Form::DoubleVector,
                "halfvec" => Form::FloatVector,
                _ => Form::Dropped,
            },
            TypeShape::Array { element, delimiter } => {
                let ltree = TypeShape::Extension("ltree".to_owned());
                if matches!(**element, TypeShape::Enum(_)) || **element == ltree {
                    Form::TextsOrNull
                } else if matches!(**element, TypeShape::Builtin(_)) {
                    // Of a domain: Debezium does not look behind an element's type.
                    Form::Dropped
                } else {
                    Form::array(Form::of_shape(element, modifier, handling), *delimiter)
                }
            }
            TypeShape::Composite(_)
            | TypeShape::Range(_)
            | TypeShape::Multirange(_)
            | TypeShape::Opaque => Form::Dropped,
        }
    }

    fn of_builtin(oid: u32, modifier: i32, handling: &Handling) -> Self {
        match builtin_array(oid) {
            None => Form::of_scalar(oid, modifier, handling),
            Some((1560, _)) => Form::Null, // bit
            Some(_) if is_never_there(oid) => Form::Dropped,
            Some((element, delimiter)) => {
                Form::array(Form::of_scalar(element, modifier, handling), delimiter)
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
    fn of_scalar(oid: u32, modifier: i32, handling: &Handling) -> Self {
        match oid {
            16 => Form::Boolean,
            17 => Form::Bytea(handling.binary),
            20 | 21 | 23 | 26 => Form::Integer, // int8, int2, int4, oid
            600 => Form::Point,
            700 => Form::Real,
            701 => Form::Double,
            790 => Form::Money(handling.decimal),
            1082 if handling.time == TimeHandling::IsoString => Form::IsoDate,
            1082 => Form::Date,
            1083 => Form::Time(time_unit(modifier, handling.time)),
            1114 => Form::Timestamp(timestamp_unit(modifier, handling.time)),
            1184 => Form::TimestampTz {
                fraction_digits: usize::try_from(modifier).map_or(6, |digits| digits.min(6)),
            },
            1186 => Form::Interval(handling.interval),
            1266 => Form::TimeTz,
            1560 | 1562 if modifier == 1 => Form::Bit,
            1560 | 1562 => Form::Bits,
            1700 => number::of_modifier(modifier, handling.decimal),
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

    /// The form that the headers of a changed key have it in, which are text made of Java's objects;
    /// `None` if it is the same.
    pub(super) fn of_header(&self) -> Option<Form> {
        if let Form::Decimal { scale } = self {
            return Some(Form::HeaderDecimal { scale: *scale });
        }
        (*self == Form::Text).then_some(Form::HeaderText)
    }

    /// What its text has to look like, for error messages.
    pub(super) fn expectation(&self) -> &'static str {
        match self {
            Form::Boolean => "t or f",
            Form::Integer => "an integer",
            Form::Real | Form::Double => "a floating-point number",
            Form::Text | Form::HeaderText => "utf-8",
            Form::Bytea(_) => "bytes in hexadecimal",
            Form::Date | Form::IsoDate => "a date in ISO form",
            Form::Time(_) | Form::TimeTz => "a time in ISO form",
            Form::Timestamp(_) | Form::TimestampTz { .. } => "a timestamp in ISO form",
            Form::Interval(_) => "an ISO 8601 duration",
            Form::Decimal { .. }
            | Form::VariableDecimal
            | Form::DecimalDouble
            | Form::DecimalText { .. }
            | Form::HeaderDecimal { .. } => "a decimal number of its scale",
            Form::Money(_) => "an amount with lc_monetary = 'C'",
            Form::Bit | Form::Bits => "a bit string",
            Form::Hstore(_) => "an hstore",
            Form::Point => "a point",
            Form::Geometry | Form::Geography => "well-known binary in hexadecimal",
            Form::DoubleVector | Form::FloatVector => "a vector",
            Form::Opaque { .. } => "utf-8",
            Form::Array { .. } | Form::TextsOrNull => "an array",
            Form::Null | Form::Dropped => "anything",
        }
    }
}

fn time_unit(modifier: i32, handling: TimeHandling) -> Unit {
    match handling {
        TimeHandling::AdaptiveMicroseconds => Unit::Micros,
        TimeHandling::Adaptive
        | TimeHandling::Connect
        | TimeHandling::Microseconds
        | TimeHandling::Nanoseconds
        | TimeHandling::IsoString => timestamp_unit(modifier, handling),
    }
}

fn timestamp_unit(modifier: i32, handling: TimeHandling) -> Unit {
    match handling {
        TimeHandling::Adaptive | TimeHandling::AdaptiveMicroseconds => match modifier {
            0..=3 => Unit::Millis,
            _ => Unit::Micros,
        },
        TimeHandling::Connect => Unit::Millis,
        TimeHandling::Microseconds => Unit::Micros,
        TimeHandling::Nanoseconds => Unit::Nanos,
        TimeHandling::IsoString => Unit::Iso,
    }
}

/// Arrays that no setting brings: of xml, points, money, names, refcursors, intervals and varbit.
fn is_never_there(type_oid: u32) -> bool {
    matches!(type_oid, 143 | 791 | 1003 | 1017 | 1187 | 1563 | 2201)
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
        Form::Bytea(handling) => opaque::bytea(text, *handling, scratch, out),
        Form::Date => temporal::date(text, out),
        Form::IsoDate => temporal::iso_date(text, out),
        Form::Time(unit) => temporal::time(text, *unit, out),
        Form::TimeTz => temporal::zoned_time(text, out),
        Form::Timestamp(unit) => temporal::timestamp(text, *unit, out),
        Form::TimestampTz { fraction_digits } => {
            temporal::zoned_timestamp(text, *fraction_digits, out)
        }
        Form::Interval(IntervalHandling::Numeric) => temporal::interval(text, out),
        Form::Interval(IntervalHandling::String) => temporal::iso_interval(text, out),
        Form::Decimal { scale } => number::decimal(text, *scale, scratch, out),
        Form::VariableDecimal => number::variable_decimal(text, scratch, out),
        Form::DecimalDouble => number::decimal_double(text, out),
        Form::DecimalText { scale } => number::decimal_text(text, *scale, out),
        Form::HeaderDecimal { scale } => number::header_decimal(text, *scale, out),
        Form::HeaderText => {
            text::write_header(text, out);
            Ok(())
        }
        Form::Money(handling) => number::money(text, *handling, scratch, out),
        Form::Bit => bits::single(text, out),
        Form::Bits => bits::write(text, scratch, out),
        Form::Hstore(HstoreHandling::Json) => map::write_quoted(text, scratch, out),
        Form::Hstore(HstoreHandling::Map) => map::write(text, text::write, scratch, out),
        Form::Point => point::write(text, out),
        Form::Geometry | Form::Geography => spatial::write(text, scratch, out),
        Form::DoubleVector => vector::double(text, out),
        Form::FloatVector => vector::single(text, out),
        Form::Opaque {
            handling,
            geometric,
        } => opaque::write(text, *handling, *geometric, scratch, out),
        Form::Array { element, delimiter } => list::write(text, element, *delimiter, scratch, out),
        Form::TextsOrNull => list::texts_or_null(text, scratch, out),
        Form::Null => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        Form::Dropped => Ok(()),
    }
}

#[cfg(test)]
mod events;
#[cfg(test)]
mod tests;
