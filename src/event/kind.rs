//! The type table: which JSON form a column's values take.
//!
//! | type | JSON |
//! |---|---|
//! | boolean | `true`, `false` |
//! | smallint, integer, bigint, oid | number, all digits |
//! | real, double precision | number, the shortest that reads back the same; NaN and infinities as strings |
//! | date, time, timetz, timestamp, timestamptz | ISO 8601 string |
//! | bytea | base64 string |
//! | arrays | array of the element's form, nested per dimension |
//! | everything else | string, PostgreSQL's own text |
//!
//! "Everything else" has members that are exact because their text is: numeric and money (digits as
//! PostgreSQL wrote them), uuid, json and jsonb (order, duplicates and digits kept), enumerations, and
//! interval, whose text is an ISO 8601 duration in a session with `IntervalStyle=iso_8601`.

use super::table::{ColumnShape, TypeShape};

/// The JSON form of a column's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Integer,
    Float,
    Text,
    /// Text that never needs an escape, whatever the value: numeric and uuid.
    Plain,
    Bytea,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Array {
        element: Box<Kind>,
        delimiter: u8,
    },
}

impl Kind {
    pub(super) fn of(column: &ColumnShape) -> Self {
        match &column.resolved {
            Some(shape) => Kind::of_shape(shape),
            None => Kind::of_builtin(column.type_oid),
        }
    }

    fn of_shape(shape: &TypeShape) -> Self {
        match shape {
            TypeShape::Builtin(oid) => Kind::of_builtin(*oid),
            TypeShape::Array { element, delimiter } => Kind::Array {
                element: Box::new(Kind::of_shape(element)),
                delimiter: *delimiter,
            },
            TypeShape::Enum | TypeShape::Extension(_) | TypeShape::Opaque => Kind::Text,
        }
    }

    fn of_builtin(oid: u32) -> Self {
        Kind::of_scalar(oid)
            .or_else(|| Kind::of_builtin_array(oid))
            .unwrap_or(Kind::Text)
    }

    /// Oids are those of `pg_type.dat`, which never change.
    fn of_scalar(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Kind::Boolean,
            17 => Kind::Bytea,
            20 | 21 | 23 | 26 => Kind::Integer, // int8, int2, int4, oid
            700 | 701 => Kind::Float,
            1082 => Kind::Date,
            1083 => Kind::Time,
            1114 => Kind::Timestamp,
            1184 => Kind::TimestampTz,
            1266 => Kind::TimeTz,
            1700 | 2950 => Kind::Plain, // numeric, uuid
            _ => return None,
        })
    }

    fn of_builtin_array(oid: u32) -> Option<Self> {
        let element = match oid {
            1000 => Kind::Boolean,
            1001 => Kind::Bytea,
            1005 | 1007 | 1016 | 1028 => Kind::Integer, // int2, int4, int8, oid
            1021 | 1022 => Kind::Float,
            1182 => Kind::Date,
            1183 => Kind::Time,
            1115 => Kind::Timestamp,
            1185 => Kind::TimestampTz,
            1270 => Kind::TimeTz,
            1231 | 2951 => Kind::Plain, // numeric, uuid
            // "char", name, text, bpchar, varchar; money; json, jsonb, xml; interval;
            // inet, cidr, macaddr, macaddr8; bit, varbit
            1002 | 1003 | 1009 | 1014 | 1015 | 791 | 199 | 3807 | 143 | 1187 | 1041 | 651
            | 1040 | 775 | 1561 | 1563 => Kind::Text,
            _ => return None,
        };
        Some(Kind::Array {
            element: Box::new(element),
            delimiter: b',',
        })
    }

    /// What its text has to look like, for error messages.
    pub(super) fn expectation(&self) -> &'static str {
        match self {
            Kind::Boolean => "t or f",
            Kind::Integer => "an integer",
            Kind::Float => "a floating-point number",
            Kind::Text | Kind::Plain => "utf-8",
            Kind::Bytea => "bytes in hexadecimal",
            Kind::Date => "a date in ISO form",
            Kind::Time | Kind::TimeTz => "a time in ISO form",
            Kind::Timestamp | Kind::TimestampTz => "a timestamp in ISO form",
            Kind::Array { .. } => "an array",
        }
    }
}
