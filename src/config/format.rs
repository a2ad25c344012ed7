//! `[format]`: how events look, and which of its keys go together.

use super::handling::handling;
use super::resolve::Resolver;
use super::settings::{Credentials, Format, Registry, Truncate, Values};
use crate::event::{
    Encoding, Extra, Extras, Flat, FlatDeletes, Operations, Shape, UnchangedFormat,
};

pub(super) fn format(resolver: &mut Resolver<'_>) -> Option<Format> {
    let values = resolver.choice(
        "format.values",
        &[
            ("lossless", Values::Lossless),
            ("debezium", Values::Debezium),
        ],
    );
    let handling = handling(values, resolver);
    let truncate = resolver.choice(
        "format.truncate",
        &[
            ("each-partition", Truncate::EachPartition),
            ("once", Truncate::Once),
            ("skip", Truncate::Skip),
        ],
    );
    let tombstones = resolver.choice("format.tombstones", &[("true", true), ("false", false)]);
    let shape = shape(resolver);
    let headers = extras("format.headers", resolver);
    let encoding = resolver.choice(
        "format.encoding",
        &[
            ("json", Encoding::Json),
            ("json-schema", Encoding::JsonSchema),
            ("avro", Encoding::Avro),
        ],
    );
    let skip = skipped(resolver);
    let skip_unchanged =
        resolver.choice("format.skip_unchanged", &[("true", true), ("false", false)]);
    let transactions = resolver.choice("format.transactions", &[("true", true), ("false", false)]);
    let format = Format {
        values: values?,
        handling: handling?,
        truncate: truncate?,
        tombstones: tombstones?,
        shape: shape?,
        headers: headers?,
        encoding: encoding?,
        skip: skip?,
        skip_unchanged: skip_unchanged?,
        transactions: transactions?,
    };
    check_together(format, resolver)
}

fn skipped(resolver: &mut Resolver<'_>) -> Option<Operations> {
    let letters = [
        ("c", Operations::INSERT),
        ("u", Operations::UPDATE),
        ("d", Operations::DELETE),
        ("t", Operations::TRUNCATE),
    ];
    let chosen = resolver.choices("format.skip", &letters)?;
    Some(
        chosen
            .into_iter()
            .fold(Operations::default(), Operations::with),
    )
}

fn shape(resolver: &mut Resolver<'_>) -> Option<Shape> {
    let is_flat = resolver.choice("format.shape", &[("envelope", false), ("flat", true)]);
    let deletes = resolver.choice(
        "format.deletes",
        &[
            ("tombstone", FlatDeletes::Tombstone),
            ("rewrite", FlatDeletes::Rewrite),
            ("skip", FlatDeletes::Skip),
        ],
    );
    let unchanged = resolver.choice(
        "format.unchanged",
        &[
            ("refuse", UnchangedFormat::Refuse),
            ("placeholder", UnchangedFormat::Placeholder),
        ],
    );
    let fields = extras("format.fields", resolver);
    let flat = Flat {
        deletes: deletes?,
        unchanged: unchanged?,
        fields: fields?,
    };
    Some(if is_flat? {
        Shape::Flat(flat)
    } else {
        Shape::Envelope
    })
}

fn extras(path: &str, resolver: &mut Resolver<'_>) -> Option<Extras> {
    let choices = Extra::ALL.map(|extra| (extra.name(), extra));
    let chosen = resolver.choices(path, &choices)?;
    Some(chosen.into_iter().collect())
}

/// `[format.registry]`; the inner `None` is "not set".
pub(super) fn registry(resolver: &mut Resolver<'_>) -> Option<Option<Registry>> {
    if !resolver.has_section("format.registry") {
        if resolver.text("format.encoding").as_deref() == Some("avro") {
            resolver.conflict(
                "format.registry.url",
                "is missing, and format.encoding is \"avro\"".to_owned(),
                "set it to the registry's Confluent interface",
            );
            return None;
        }
        return Some(None);
    }
    let url = resolver.checked("format.registry.url", |text| {
        let url = url::Url::parse(text).ok()?;
        let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
        (usable && url.username().is_empty()).then(|| text.to_owned())
    });
    let auto_register = resolver.choice(
        "format.registry.auto_register",
        &[("true", true), ("false", false)],
    );
    let user = resolver.text("format.registry.user");
    let password = resolver.text("format.registry.password");
    let token = resolver.text("format.registry.token");
    let credentials = match (user, password, token) {
        (None, None, None) => None,
        (Some(user), Some(password), None) => Some(Credentials::Basic { user, password }),
        (None, None, Some(token)) => Some(Credentials::Token(token)),
        _ => {
            resolver.conflict(
                "format.registry.user",
                "does not go with what is set beside it".to_owned(),
                "set user and password, or token alone",
            );
            return None;
        }
    };
    Some(Some(Registry {
        url: url?,
        credentials,
        auto_register: auto_register?,
        certificates: resolver
            .text("format.registry.certificates")
            .map(Into::into),
    }))
}

/// Refuses what would be ignored, and what contradicts itself.
fn check_together(mut format: Format, resolver: &mut Resolver<'_>) -> Option<Format> {
    let Shape::Flat(flat) = format.shape else {
        let flat_only = ["format.deletes", "format.unchanged", "format.fields"];
        let problem = "is for flat rows, and format.shape is \"envelope\"";
        let remedy = "remove it, or set format.shape = \"flat\"";
        let none = resolver.none_is_set(&flat_only, problem, remedy);
        return none.then_some(format);
    };
    if !resolver.is_set("format.truncate") {
        format.truncate = Truncate::Skip;
    } else if format.truncate != Truncate::Skip {
        resolver.conflict(
            "format.truncate",
            "a flat row cannot say it, and format.shape is \"flat\"".to_owned(),
            "remove it, or set it to skip",
        );
        return None;
    }
    if flat.deletes == FlatDeletes::Tombstone && !format.tombstones {
        resolver.conflict(
            "format.tombstones",
            "is false, and format.deletes is \"tombstone\"".to_owned(),
            "set format.deletes to rewrite or skip",
        );
        return None;
    }
    Some(format)
}
