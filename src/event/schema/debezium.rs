//! Debezium's type table as schemas: types, names, versions, documentation, parameters and defaults are
//! those of its PostgreSQL connector 3.6.1.

use super::{Field, Form, Schema};
use crate::event::builtin::builtin_array;
use crate::event::debezium::{
    BinaryHandling, DecimalHandling, Form as Value, Handling, HstoreHandling, IntervalHandling,
    TimeHandling, Unit,
};
use crate::event::kind::Kind;
use crate::event::table::{ColumnShape, TypeShape};

const SNAPSHOT_FLAGS: &str =
    "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";
/// What Debezium says of bit strings without a length.
const BITS_UNLIMITED: i32 = i32::MAX;

/// A column's schema; `None` for a column that is left out.
pub(super) fn of_column(column: &ColumnShape, handling: &Handling, is_key: bool) -> Option<Schema> {
    let value = Value::of(column, handling);
    let described = Type {
        shape: column.resolved.as_ref(),
        oid: column.type_oid,
        modifier: column.type_modifier,
        time: handling.time,
    };
    let mut schema = of(&value, described)?;
    // A geometry is always said to be optional.
    schema.optional = value == Value::Geometry || !(is_key || column.facts.not_null);
    let mut default = Vec::new();
    if value.default(column, &mut default) {
        schema.default = String::from_utf8(default).ok();
    }
    Some(schema)
}

/// `source.snapshot`.
pub(super) fn snapshot(flag: Schema) -> Schema {
    flag.named("io.debezium.data.Enum")
        .versioned(1)
        .with("allowed", SNAPSHOT_FLAGS.to_owned())
}

/// What is known of a type beside the form of its values.
#[derive(Clone, Copy)]
struct Type<'a> {
    shape: Option<&'a TypeShape>,
    oid: u32,
    modifier: i32,
    /// Milliseconds have Kafka Connect's names in one mode, and Debezium's in others.
    time: TimeHandling,
}

impl<'a> Type<'a> {
    /// The oid, of a domain that of its base.
    fn oid(self) -> u32 {
        match self.shape {
            Some(TypeShape::Builtin(oid)) => *oid,
            _ => self.oid,
        }
    }

    fn element(self) -> Type<'a> {
        match self.shape {
            Some(TypeShape::Array { element, .. }) => Type {
                shape: Some(element),
                ..self
            },
            _ => Type {
                shape: None,
                oid: builtin_array(self.oid()).map_or(self.oid, |(element, _)| element),
                ..self
            },
        }
    }
}

fn of(value: &Value, described: Type<'_>) -> Option<Schema> {
    Some(match value {
        Value::Boolean | Value::Bit => Schema::new(Form::Boolean),
        Value::Integer => Schema::new(match described.oid() {
            21 => Form::Int16,
            23 => Form::Int32,
            _ => Form::Int64,
        }),
        Value::Real => Schema::new(Form::Float32),
        Value::Double => Schema::new(Form::Float64),
        Value::Text => text(described),
        Value::Bytea(handling) | Value::Opaque { handling, .. } => Schema::new(bytes(*handling)),
        Value::Date if described.time == TimeHandling::Connect => connect(Form::Int32, "Date"),
        Value::Date => time(Form::Int32, "Date"),
        Value::IsoDate => time(Form::String, "IsoDate"),
        Value::Time(unit) => time_of_day(*unit, described.time),
        Value::TimeTz => time(Form::String, "ZonedTime"),
        Value::Timestamp(unit) => timestamp(*unit, described.time),
        Value::TimestampTz { .. } => time(Form::String, "ZonedTimestamp"),
        Value::Interval(IntervalHandling::Numeric) => time(Form::Int64, "MicroDuration"),
        Value::Interval(IntervalHandling::String) => time(Form::String, "Interval"),
        Value::Decimal { scale } => {
            let precision = (described.modifier - 4) >> 16 & 0xFFFF;
            decimal(*scale).with("connect.decimal.precision", precision.to_string())
        }
        Value::VariableDecimal => variable_decimal(),
        Value::DecimalDouble | Value::Money(DecimalHandling::Double) => Schema::new(Form::Float64),
        Value::DecimalText { .. } | Value::Money(DecimalHandling::String) => {
            Schema::new(Form::String)
        }
        Value::Money(DecimalHandling::Precise) => decimal(2),
        Value::Bits => bits(described),
        Value::Hstore(HstoreHandling::Json) => {
            Schema::semantic(Form::String, "io.debezium.data.Json")
        }
        Value::Hstore(HstoreHandling::Map) => {
            Schema::new(Form::Map(Box::new(Schema::new(Form::String).optional())))
        }
        Value::Point => point(),
        Value::Geometry => spatial("Geometry"),
        Value::Geography => spatial("Geography"),
        Value::DoubleVector => vector(Form::Float64, "DoubleVector"),
        Value::FloatVector => vector(Form::Float32, "FloatVector"),
        Value::Array { element, .. } => {
            let Kind::Debezium(element) = &**element else {
                return None;
            };
            let schema = of(element, described.element())?;
            // Elements that are vectors, or of a type without a form, must be there.
            let optional = !matches!(
                element,
                Value::Opaque { .. } | Value::DoubleVector | Value::FloatVector
            );
            Schema::array(Schema { optional, ..schema })
        }
        Value::TextsOrNull => {
            let element = described.element();
            let of_enum = matches!(element.shape, Some(TypeShape::Enum(_)));
            let mut schema = text(element);
            schema.optional = !of_enum;
            Schema::array(schema)
        }
        // An array of bit strings, which Debezium describes as its element.
        Value::Null => bits(described),
        // Forms of headers.
        Value::HeaderDecimal { .. } | Value::HeaderText | Value::Dropped => return None,
    })
}

fn time(form: Form, name: &str) -> Schema {
    Schema::semantic(form, &format!("io.debezium.time.{name}"))
}

/// Kafka Connect's own.
fn connect(form: Form, name: &str) -> Schema {
    Schema::semantic(form, &format!("org.apache.kafka.connect.data.{name}"))
}

fn time_of_day(unit: Unit, handling: TimeHandling) -> Schema {
    match unit {
        Unit::Millis if handling == TimeHandling::Connect => connect(Form::Int32, "Time"),
        Unit::Millis => time(Form::Int32, "Time"),
        Unit::Micros => time(Form::Int64, "MicroTime"),
        Unit::Nanos => time(Form::Int64, "NanoTime"),
        Unit::Iso => time(Form::String, "IsoTime"),
    }
}

fn timestamp(unit: Unit, handling: TimeHandling) -> Schema {
    match unit {
        Unit::Millis if handling == TimeHandling::Connect => connect(Form::Int64, "Timestamp"),
        Unit::Millis => time(Form::Int64, "Timestamp"),
        Unit::Micros => time(Form::Int64, "MicroTimestamp"),
        Unit::Nanos => time(Form::Int64, "NanoTimestamp"),
        Unit::Iso => time(Form::String, "IsoTimestamp"),
    }
}

/// Bytes, or text that stands for them.
pub(super) fn bytes(handling: BinaryHandling) -> Form {
    match handling {
        BinaryHandling::Bytes => Form::Bytes,
        BinaryHandling::Base64 | BinaryHandling::Base64UrlSafe | BinaryHandling::Hex => {
            Form::String
        }
    }
}

fn text(described: Type<'_>) -> Schema {
    let data = |name: &str| Schema::semantic(Form::String, &format!("io.debezium.data.{name}"));
    match described.shape {
        Some(TypeShape::Enum(labels)) => data("Enum").with("allowed", labels.join(",")),
        Some(TypeShape::Extension(name)) if name == "ltree" => data("Ltree"),
        Some(TypeShape::Builtin(_)) | None => match described.oid() {
            114 | 3802 => data("Json"),
            142 => data("Xml"),
            2950 => data("Uuid"),
            3614 => data("Tsvector"),
            _ => Schema::new(Form::String),
        },
        Some(_) => Schema::new(Form::String),
    }
}

fn decimal(scale: usize) -> Schema {
    Schema::semantic(Form::Bytes, "org.apache.kafka.connect.data.Decimal")
        .with("scale", scale.to_string())
}

fn variable_decimal() -> Schema {
    let fields = vec![
        Field::new("scale", Schema::new(Form::Int32)),
        Field::new("value", Schema::new(Form::Bytes)),
    ];
    Schema::semantic(
        Form::Struct(fields),
        "io.debezium.data.VariableScaleDecimal",
    )
    .documented("Variable scaled decimal")
}

fn bits(described: Type<'_>) -> Schema {
    let length = match described.modifier {
        length @ 1.. => length,
        _ => BITS_UNLIMITED,
    };
    Schema::semantic(Form::Bytes, "io.debezium.data.Bits").with("length", length.to_string())
}

fn spatial(name: &'static str) -> Schema {
    let fields = vec![
        Field::new("wkb", Schema::new(Form::Bytes)),
        Field::new("srid", Schema::new(Form::Int32).optional()),
    ];
    let full = format!("io.debezium.data.geometry.{name}");
    Schema::semantic(Form::Struct(fields), &full).documented(name)
}

fn vector(number: Form, name: &str) -> Schema {
    Schema::array(Schema::new(number))
        .named(&format!("io.debezium.data.{name}"))
        .versioned(1)
}

fn point() -> Schema {
    let fields = vec![
        Field::new("x", Schema::new(Form::Float64)),
        Field::new("y", Schema::new(Form::Float64)),
        Field::new("wkb", Schema::new(Form::Bytes).optional()),
        Field::new("srid", Schema::new(Form::Int32).optional()),
    ];
    Schema::semantic(Form::Struct(fields), "io.debezium.data.geometry.Point")
        .documented("Geometry (POINT)")
}
