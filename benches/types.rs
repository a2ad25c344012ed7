//! Encoding rows of 40 columns of as many types, in each form that values and events have.

mod capture;
mod support;

use capture::{TYPES, encoding};
use tidewater::event::{
    DecimalHandling, Encoding, Extras, Flat, FlatDeletes, Format, Handling, Shape, TimeHandling,
    UnchangedFormat, ValueFormat,
};

fn main() -> support::Fallible<()> {
    let lossless = Format {
        values: ValueFormat::Lossless,
        ..Format::default()
    };
    let debezium = Format {
        values: ValueFormat::Debezium,
        ..Format::default()
    };
    let strings = Handling {
        decimal: DecimalHandling::String,
        time: TimeHandling::IsoString,
        ..Handling::default()
    };
    let flat = Flat {
        deletes: FlatDeletes::Tombstone,
        unchanged: UnchangedFormat::Refuse,
        fields: Extras::default(),
    };
    let with = |format: Format, encoding| Format { encoding, ..format };
    let formats = [
        ("lossless", lossless),
        (
            "lossless, flat",
            Format {
                shape: Shape::Flat(flat),
                ..lossless
            },
        ),
        ("lossless, avro", with(lossless, Encoding::Avro)),
        ("debezium", debezium),
        (
            "debezium, strings",
            Format {
                handling: strings,
                ..debezium
            },
        ),
        (
            "debezium, json-schema",
            with(debezium, Encoding::JsonSchema),
        ),
        ("debezium, avro", with(debezium, Encoding::Avro)),
    ];
    let variants = formats
        .into_iter()
        .map(|(name, format)| encoding::variant(name, TYPES, format))
        .collect();
    capture::measure("types", TYPES, variants)
}
