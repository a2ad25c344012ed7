//! An event's value as an SQL literal: what a consumer that knows the documented forms would write.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Form;

pub(super) type Row = BTreeMap<String, Box<RawValue>>;

/// The row after the change; `None` for a record that is no row.
pub(super) fn after(value: &[u8]) -> Option<Row> {
    #[derive(Deserialize)]
    struct Envelope {
        after: Option<Row>,
    }
    serde_json::from_slice::<Envelope>(value).unwrap().after
}

/// SQL for a JSON value of that form.
pub(super) fn of_event(form: &Form, json: &str) -> String {
    if json == "null" {
        return "null".to_owned();
    }
    match form {
        Form::Scalar(name) => scalar(name, json),
        Form::Array(element, name) => {
            let elements: Vec<Box<RawValue>> = serde_json::from_str(json).unwrap();
            // A multirange is an array too, but one of objects.
            let multirange = matches!(**element, Form::Multirange(..));
            let nested = elements.iter().any(|part| {
                let (part, inside) = (part.get(), part.get().get(1..).unwrap_or_default());
                let dimension = inside.starts_with('[') || inside.starts_with("null");
                part.starts_with('[') && (dimension || !multirange)
            });
            let part = |part: &RawValue| {
                let form = if nested { form } else { element };
                of_event(form, part.get())
            };
            let parts: Vec<String> = elements.iter().map(|json| part(json)).collect();
            format!("array[{}]::{name}", parts.join(", "))
        }
        Form::Composite(fields) => {
            let row: Row = serde_json::from_str(json).unwrap();
            assert_eq!(row.len(), fields.len(), "{json}");
            let parts: Vec<String> = fields
                .iter()
                .map(|(name, form)| of_event(form, row[*name].get()))
                .collect();
            format!("row({})", parts.join(", "))
        }
        Form::Range(name, subtype) => range(name, subtype, json),
        Form::Multirange(name, subtype) => {
            let ranges: Vec<Box<RawValue>> = serde_json::from_str(json).unwrap();
            let of = name.replace("multirange", "range");
            let ranges: Vec<String> = ranges
                .iter()
                .map(|json| range(&of, subtype, json.get()))
                .collect();
            format!("{name}({})", ranges.join(", "))
        }
        Form::Hstore => {
            let pairs: BTreeMap<String, Option<String>> = serde_json::from_str(json).unwrap();
            let value =
                |value: &Option<String>| value.as_deref().map_or_else(|| "null".to_owned(), quoted);
            let keys: Vec<String> = pairs.keys().map(|key| quoted(key)).collect();
            let values: Vec<String> = pairs.values().map(value).collect();
            format!(
                "hstore(array[{}]::text[], array[{}]::text[])",
                keys.join(", "),
                values.join(", ")
            )
        }
    }
}

fn range(name: &str, subtype: &str, json: &str) -> String {
    #[derive(Deserialize)]
    struct Range {
        lower: Option<Box<RawValue>>,
        upper: Option<Box<RawValue>>,
        bounds: Option<String>,
        empty: bool,
    }
    let range: Range = serde_json::from_str(json).unwrap();
    if range.empty {
        return format!("'empty'::{name}");
    }
    let bound = |bound: Option<Box<RawValue>>| match bound {
        Some(json) => format!("({})::{subtype}", scalar(subtype, json.get())),
        None => format!("null::{subtype}"),
    };
    format!(
        "{name}({}, {}, '{}')",
        bound(range.lower),
        bound(range.upper),
        range.bounds.unwrap()
    )
}

fn scalar(name: &str, json: &str) -> String {
    if !json.starts_with('"') {
        return format!("'{json}'::{name}");
    }
    let text: String = serde_json::from_str(json).unwrap();
    match name.split('(').next().unwrap_or(name) {
        "bytea" => format!("decode('{text}', 'base64')"),
        "date" | "timestamp" | "timestamptz" => format!("{}::{name}", quoted(&calendar(&text))),
        _ => format!("{}::{name}", quoted(&text)),
    }
}

/// PostgreSQL reads neither signs nor the year 0 in dates.
fn calendar(iso: &str) -> String {
    if iso.ends_with("infinity") {
        return iso.to_owned();
    }
    let past = iso.starts_with('-');
    let digits = iso.trim_start_matches(['-', '+']);
    let (year, rest) = digits.split_once('-').unwrap();
    let year: i32 = year.parse().unwrap();
    let year = if past { -year } else { year };
    if year > 0 {
        format!("{year:04}-{rest}")
    } else {
        format!("{:04}-{rest} BC", 1 - year)
    }
}

/// A string literal.
pub(super) fn quoted(text: &str) -> String {
    format!("e'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
