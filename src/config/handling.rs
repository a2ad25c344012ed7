//! `[format]`: the handling modes of Debezium's values.

use super::resolve::Resolver;
use super::settings::Values;
use crate::event::{
    BinaryHandling, DecimalHandling, Handling, HstoreHandling, IntervalHandling, NameAdjustment,
    Placeholder, TimeHandling,
};

/// Keys that lossless values have no use for.
const DEBEZIUM_ONLY: [&str; 8] = [
    "format.decimal",
    "format.time",
    "format.interval",
    "format.binary",
    "format.hstore",
    "format.unavailable_value",
    "format.name_adjustment",
    "format.include_unknown_types",
];

pub(super) fn handling(values: Option<Values>, resolver: &mut Resolver<'_>) -> Option<Handling> {
    if values == Some(Values::Lossless) {
        let problem = "is for Debezium's values, and format.values is \"lossless\"";
        let remedy = "remove it, or set format.values = \"debezium\"";
        let none = resolver.none_is_set(&DEBEZIUM_ONLY, problem, remedy);
        return none.then(Handling::default);
    }
    let decimal = decimal(resolver);
    let time = time(resolver);
    let interval = resolver.choice(
        "format.interval",
        &[
            ("numeric", IntervalHandling::Numeric),
            ("string", IntervalHandling::String),
        ],
    );
    let binary = resolver.choice(
        "format.binary",
        &[
            ("bytes", BinaryHandling::Bytes),
            ("base64", BinaryHandling::Base64),
            ("base64-url-safe", BinaryHandling::Base64UrlSafe),
            ("hex", BinaryHandling::Hex),
        ],
    );
    let hstore = resolver.choice(
        "format.hstore",
        &[("json", HstoreHandling::Json), ("map", HstoreHandling::Map)],
    );
    let unavailable = resolver.checked("format.unavailable_value", Placeholder::new);
    let names = names(resolver);
    let include_unknown = resolver.choice(
        "format.include_unknown_types",
        &[("true", true), ("false", false)],
    );
    Some(Handling {
        decimal: decimal?,
        time: time?,
        interval: interval?,
        binary: binary?,
        hstore: hstore?,
        unavailable: unavailable?,
        names: names?,
        include_unknown: include_unknown?,
    })
}

fn decimal(resolver: &mut Resolver<'_>) -> Option<DecimalHandling> {
    resolver.choice(
        "format.decimal",
        &[
            ("precise", DecimalHandling::Precise),
            ("double", DecimalHandling::Double),
            ("string", DecimalHandling::String),
        ],
    )
}

fn time(resolver: &mut Resolver<'_>) -> Option<TimeHandling> {
    resolver.choice(
        "format.time",
        &[
            ("adaptive", TimeHandling::Adaptive),
            ("adaptive-microseconds", TimeHandling::AdaptiveMicroseconds),
            ("connect", TimeHandling::Connect),
            ("microseconds", TimeHandling::Microseconds),
            ("nanoseconds", TimeHandling::Nanoseconds),
            ("isostring", TimeHandling::IsoString),
        ],
    )
}

fn names(resolver: &mut Resolver<'_>) -> Option<NameAdjustment> {
    resolver.choice(
        "format.name_adjustment",
        &[
            ("none", NameAdjustment::None),
            ("avro", NameAdjustment::Avro),
            ("avro_unicode", NameAdjustment::AvroUnicode),
        ],
    )
}
