//! The type table: which JSON form a column's values take. Debezium's own is in `debezium`.
//!
//! | type | JSON |
//! |---|---|
//! | boolean | `true`, `false` |
//! | smallint, integer, bigint, oid | number, all digits |
//! | real, double precision | number, the shortest that reads back the same; NaN and infinities as strings |
//! | date, time, timetz, timestamp, timestamptz | ISO 8601 string |
//! | bytea | base64 string |
//! | arrays | array of the element's form, nested per dimension |
//! | composites | object of the attributes' forms |
//! | ranges | object of `lower`, `upper`, `bounds` and `empty`, the bounds in the subtype's form |
//! | multiranges | array of ranges |
//! | hstore | object of strings and nulls |
//! | everything else | string, PostgreSQL's own text |
//!
//! "Everything else" has members that are exact because their text is: numeric and money (digits as
//! PostgreSQL wrote them), uuid, json and jsonb (order, duplicates and digits kept), enumerations, and
//! interval, whose text is an ISO 8601 duration in a session with `IntervalStyle=iso_8601`.

use super::array::DIMENSIONS_MAX;
use super::builtin::builtin_array;
use super::composite::Field;
use super::debezium::{Form, Handling};
use super::format::{Format, ValueFormat};
use super::plan::Label;
use super::selection::Transform;
use super::table::{ColumnShape, TypeShape};
use super::value;

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
        dimensions_max: usize,
    },
    Composite(Box<[Field]>),
    Range(Box<Kind>),
    Multirange(Box<Kind>),
    Hstore,
    /// The column is left out.
    Excluded,
    /// The value becomes another text first, which the form that follows is made of.
    Transformed(Box<(Transform, Kind)>),
    /// A form of the other type table.
    Debezium(Form),
}

impl Kind {
    pub(super) fn of(column: &ColumnShape, format: &Format) -> Self {
        if format.values == ValueFormat::Debezium {
            return Kind::Debezium(Form::of(column, &format.handling));
        }
        match &column.resolved {
            Some(shape) => Kind::of_shape(shape),
            None => Kind::of_builtin(column.type_oid),
        }
    }

    /// The form of a column whose values become others.
    pub(super) fn transformed(
        column: &ColumnShape,
        transform: &Transform,
        format: &Format,
    ) -> Self {
        match transform {
            Transform::Excluded => Kind::Excluded,
            Transform::Mask(_) | Transform::Hash(_) | Transform::Truncate(_) => {
                Kind::Transformed(Box::new((transform.clone(), Kind::of(column, format))))
            }
        }
    }

    /// The same with arrays of one dimension alone, as a schema describes them: PostgreSQL's types do not
    /// say how many a value has.
    pub(super) fn with_flat_arrays(mut self) -> Self {
        self.flatten_arrays();
        self
    }

    fn flatten_arrays(&mut self) {
        match self {
            Kind::Array {
                element,
                dimensions_max,
                ..
            } => {
                *dimensions_max = 1;
                element.flatten_arrays();
            }
            Kind::Composite(fields) => {
                for field in fields {
                    field.kind.flatten_arrays();
                }
            }
            Kind::Range(element) | Kind::Multirange(element) => element.flatten_arrays(),
            Kind::Transformed(transformed) => transformed.1.flatten_arrays(),
            Kind::Boolean
            | Kind::Integer
            | Kind::Float
            | Kind::Text
            | Kind::Plain
            | Kind::Bytea
            | Kind::Date
            | Kind::Time
            | Kind::TimeTz
            | Kind::Timestamp
            | Kind::TimestampTz
            | Kind::Hstore
            | Kind::Excluded
            | Kind::Debezium(_) => {}
        }
    }

    fn of_shape(shape: &TypeShape) -> Self {
        match shape {
            TypeShape::Builtin(oid) => Kind::of_builtin(*oid),
            TypeShape::Array { element, delimiter } => Kind::Array {
                element: Box::new(Kind::of_shape(element)),
                delimiter: *delimiter,
                dimensions_max: DIMENSIONS_MAX,
            },
            TypeShape::Composite(attributes) => Kind::Composite(fields(attributes)),
            TypeShape::Range(subtype) => Kind::Range(Box::new(Kind::of_shape(subtype))),
            TypeShape::Multirange(subtype) => Kind::Multirange(Box::new(Kind::of_shape(subtype))),
            TypeShape::Extension(name) if name == "hstore" => Kind::Hstore,
            TypeShape::Enum(_) | TypeShape::Extension(_) | TypeShape::Opaque => Kind::Text,
        }
    }

    fn of_builtin(oid: u32) -> Self {
        let array = |element, delimiter| Kind::Array {
            element: Box::new(element),
            delimiter,
            dimensions_max: DIMENSIONS_MAX,
        };
        match builtin_array(oid) {
            Some((element, delimiter)) => array(Kind::of_element(element), delimiter),
            None => Kind::of_element(oid),
        }
    }

    /// Any built-in type that is no array.
    fn of_element(oid: u32) -> Self {
        match oid {
            3904 | 3926 => Kind::Range(Box::new(Kind::Integer)), // int4range, int8range
            3906 => Kind::Range(Box::new(Kind::Plain)),          // numrange
            3908 => Kind::Range(Box::new(Kind::Timestamp)),
            3910 => Kind::Range(Box::new(Kind::TimestampTz)),
            3912 => Kind::Range(Box::new(Kind::Date)),
            4451 | 4536 => Kind::Multirange(Box::new(Kind::Integer)),
            4532 => Kind::Multirange(Box::new(Kind::Plain)),
            4533 => Kind::Multirange(Box::new(Kind::Timestamp)),
            4534 => Kind::Multirange(Box::new(Kind::TimestampTz)),
            4535 => Kind::Multirange(Box::new(Kind::Date)),
            _ => Kind::of_scalar(oid),
        }
    }

    /// Oids are those of `pg_type.dat`, which never change.
    fn of_scalar(oid: u32) -> Self {
        match oid {
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
            _ => Kind::Text,
        }
    }

    /// Whether its form is a string that holds any text.
    pub(super) fn is_string(&self) -> bool {
        matches!(self, Kind::Text | Kind::Plain)
    }

    /// Appends what an old row shows of a column outside of the replica identity; `false` if nothing
    /// does, and the column is left out.
    pub(super) fn not_sent(&self, column: &ColumnShape, out: &mut Vec<u8>) -> bool {
        if let Kind::Debezium(form) = self {
            if *form != Form::Dropped {
                form.not_sent(column, out);
            }
            return true;
        }
        let Kind::Transformed(transformed) = self else {
            return false;
        };
        let shown = matches!(transformed.1, Kind::Debezium(_));
        if shown {
            out.extend_from_slice(b"null");
        }
        shown
    }

    /// Appends what stands for a value that the server did not send; `false` if nothing does, and the
    /// column is left out and named.
    pub(super) fn unchanged(&self, type_oid: u32, handling: &Handling, out: &mut Vec<u8>) -> bool {
        match self {
            Kind::Debezium(form) => form.unavailable(type_oid, handling, out),
            Kind::Excluded => {}
            Kind::Transformed(transformed) => match &transformed.0 {
                // It is the same whatever the value is, which is never null here.
                Transform::Mask(mask) => {
                    let mask = value::write(&transformed.1, mask.as_bytes(), &mut Vec::new(), out);
                    return mask.is_ok();
                }
                Transform::Excluded | Transform::Hash(_) | Transform::Truncate(_) => {
                    return transformed.1.unchanged(type_oid, handling, out);
                }
            },
            Kind::Boolean
            | Kind::Integer
            | Kind::Float
            | Kind::Text
            | Kind::Plain
            | Kind::Bytea
            | Kind::Date
            | Kind::Time
            | Kind::TimeTz
            | Kind::Timestamp
            | Kind::TimestampTz
            | Kind::Array { .. }
            | Kind::Composite(_)
            | Kind::Range(_)
            | Kind::Multirange(_)
            | Kind::Hstore => return false,
        }
        true
    }

    /// What its text has to look like, for error messages.
    pub(super) fn expectation(&self) -> &'static str {
        match self {
            Kind::Boolean => "t or f",
            Kind::Integer => "an integer",
            Kind::Float => "a floating-point number",
            Kind::Text => "utf-8",
            Kind::Plain => "a number or uuid",
            Kind::Bytea => "bytes in hexadecimal",
            Kind::Date => "a date in ISO form",
            Kind::Time | Kind::TimeTz => "a time in ISO form",
            Kind::Timestamp | Kind::TimestampTz => "a timestamp in ISO form",
            Kind::Array {
                dimensions_max: 1, ..
            } => {
                "an array of one dimension, the only ones that a schema describes: leave the column out, or \
                 set format.encoding = \"json\""
            }
            Kind::Array { .. } => "an array",
            Kind::Composite(_) => "a composite of its type's attributes",
            Kind::Range(_) => "a range",
            Kind::Multirange(_) => "a multirange",
            Kind::Hstore => "an hstore",
            Kind::Excluded => "anything",
            Kind::Transformed(transformed) => transformed.1.expectation(),
            Kind::Debezium(form) => form.expectation(),
        }
    }
}

fn fields(attributes: &[(String, TypeShape)]) -> Box<[Field]> {
    let field = |(place, (name, shape)): (usize, &(String, TypeShape))| Field {
        label: Label::new(if place == 0 { b'{' } else { b',' }, name),
        kind: Kind::of_shape(shape),
    };
    attributes.iter().enumerate().map(field).collect()
}
