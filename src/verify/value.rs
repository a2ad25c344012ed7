//! One column value, twice: PostgreSQL's text at the source and the JSON of the event, each brought
//! to one canonical text, so that equal values are equal strings.
//!
//! ```text
//! source   2026-11-23 08:00:00.5+00         ─┐
//! event    "2026-11-23T08:00:00.500000Z"    ─┴▶ 2026-11-23 08:00:00.5+00
//! ```
//!
//! The event's side is turned *back* into PostgreSQL's text: the inverse of what the encoder does, and
//! none of its code. A JSON value of another form than its type's is an error, never a near miss.

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::nested;

/// What a column's values look like in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true`, `false`
    Boolean,
    /// A number, all digits.
    Integer,
    /// A `real`: a number, or NaN and the infinities as strings.
    Real,
    /// A `double precision`: as `Real`.
    Double,
    /// Base64.
    Bytea,
    /// ISO 8601 date.
    Date,
    /// ISO 8601 time of day; of `timetz` with its offset.
    Time,
    /// ISO 8601 with six fraction digits.
    Timestamp,
    /// As `Timestamp`, with `Z`.
    TimestampTz,
    /// A JSON array of the element's form, separated by the delimiter in PostgreSQL's text.
    Array(Box<Kind>, char),
    /// A JSON object of the attributes' forms.
    Composite(Vec<(String, Kind)>),
    /// A JSON object of `lower`, `upper`, `bounds` and `empty`, bounds in the subtype's form.
    Range(Box<Kind>),
    /// A JSON array of ranges.
    Multirange(Box<Kind>),
    /// A JSON object of strings and nulls.
    Hstore,
    /// A string: PostgreSQL's own text.
    Text,
}

impl Kind {
    /// The kind of a built-in scalar type; its oid is `pg_type.dat`'s.
    pub(super) fn of_scalar(oid: u32) -> Kind {
        match oid {
            16 => Kind::Boolean,
            17 => Kind::Bytea,
            20 | 21 | 23 | 26 => Kind::Integer,
            700 => Kind::Real,
            701 => Kind::Double,
            1082 => Kind::Date,
            1083 | 1266 => Kind::Time,
            1114 => Kind::Timestamp,
            1184 => Kind::TimestampTz,
            3904 | 3926 => Kind::Range(Box::new(Kind::Integer)),
            3906 => Kind::Range(Box::new(Kind::Text)),
            3908 => Kind::Range(Box::new(Kind::Timestamp)),
            3910 => Kind::Range(Box::new(Kind::TimestampTz)),
            3912 => Kind::Range(Box::new(Kind::Date)),
            4451 | 4536 => Kind::Multirange(Box::new(Kind::Integer)),
            4532 => Kind::Multirange(Box::new(Kind::Text)),
            4533 => Kind::Multirange(Box::new(Kind::Timestamp)),
            4534 => Kind::Multirange(Box::new(Kind::TimestampTz)),
            4535 => Kind::Multirange(Box::new(Kind::Date)),
            _ => Kind::Text,
        }
    }

    /// The canonical text of PostgreSQL's output.
    pub(super) fn of_source<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self {
            Kind::Real | Kind::Double => self.float(text).map_or(Cow::Borrowed(text), Cow::Owned),
            Kind::Array(element, delimiter) => {
                or_text(text, |out| element.source_array(text, *delimiter, out))
            }
            Kind::Composite(fields) => {
                or_text(text, |out| nested::source_composite(fields, text, out))
            }
            Kind::Range(subtype) => or_text(text, |out| nested::source_range(subtype, text, out)),
            Kind::Multirange(subtype) => {
                or_text(text, |out| nested::source_multirange(subtype, text, out))
            }
            Kind::Hstore => or_text(text, |out| nested::source_hstore(text, out)),
            Kind::Boolean
            | Kind::Integer
            | Kind::Bytea
            | Kind::Date
            | Kind::Time
            | Kind::Timestamp
            | Kind::TimestampTz
            | Kind::Text => Cow::Borrowed(text),
        }
    }

    /// The canonical text of an event's value, which is not JSON's null; `None` when the value has not
    /// the form of its type.
    pub(super) fn of_event(&self, json: &str) -> Option<String> {
        match self {
            Kind::Boolean => match json {
                "true" => Some("t".to_owned()),
                "false" => Some("f".to_owned()),
                _ => None,
            },
            Kind::Integer => {
                let digits = json.strip_prefix('-').unwrap_or(json);
                digits
                    .bytes()
                    .all(|byte| byte.is_ascii_digit())
                    .then(|| json.to_owned())
            }
            Kind::Real | Kind::Double => match string(json) {
                Some(word) if matches!(&*word, "NaN" | "Infinity" | "-Infinity") => {
                    self.float(&word)
                }
                Some(_) => None,
                None => self.float(json),
            },
            Kind::Bytea => {
                let bytes = STANDARD.decode(string(json)?).ok()?;
                let mut hex = String::from("\\x");
                bytes
                    .iter()
                    .try_for_each(|byte| write!(hex, "{byte:02x}"))
                    .ok()?;
                Some(hex)
            }
            Kind::Date => date(&string(json)?),
            Kind::Time => time_of_day(&string(json)?),
            Kind::Timestamp => timestamp(&string(json)?, ""),
            Kind::TimestampTz => timestamp(&string(json)?, "Z"),
            Kind::Array(element, _) => whole(|out| element.event_array(json, out)),
            Kind::Composite(fields) => whole(|out| nested::event_composite(fields, json, out)),
            Kind::Range(subtype) => whole(|out| nested::event_range(subtype, json, out)),
            Kind::Multirange(subtype) => whole(|out| nested::event_multirange(subtype, json, out)),
            Kind::Hstore => whole(|out| nested::event_hstore(json, out)),
            Kind::Text => string(json),
        }
    }

    /// Whether the source's value and the event's are the same.
    pub(super) fn same(&self, source: Option<&str>, event: &str) -> bool {
        let Some(text) = source else {
            return event == "null";
        };
        self.of_event(event)
            .is_some_and(|canonical| canonical == self.of_source(text))
    }

    /// The number's bits: texts of one number are one string, and −0 is not 0.
    fn float(&self, text: &str) -> Option<String> {
        if *self == Kind::Real {
            text.parse::<f32>()
                .ok()
                .map(|number| format!("{:08x}", number.to_bits()))
        } else {
            text.parse::<f64>()
                .ok()
                .map(|number| format!("{:016x}", number.to_bits()))
        }
    }

    /// Appends `[`, each element as its length and canonical text, `]`; lower bounds are left out.
    fn source_array(&self, text: &str, delimiter: char, out: &mut String) -> Option<()> {
        let text = match text.strip_prefix('[') {
            Some(bounds) => bounds.split_once('=')?.1,
            None => text,
        };
        let rest = self.source_elements(text.strip_prefix('{')?, delimiter, out)?;
        rest.is_empty().then_some(())
    }

    /// Reads elements up to the closing brace; gives what follows it.
    fn source_elements<'t>(
        &self,
        mut rest: &'t str,
        delimiter: char,
        out: &mut String,
    ) -> Option<&'t str> {
        out.push('[');
        if let Some(rest) = rest.strip_prefix('}') {
            out.push(']');
            return Some(rest);
        }
        loop {
            if let Some(inner) = rest.strip_prefix('{') {
                rest = self.source_elements(inner, delimiter, out)?;
            } else if let Some(quoted) = rest.strip_prefix('"') {
                let (element, after) = nested::unquote(quoted, false)?;
                push_element(out, &self.of_source(&element));
                rest = after;
            } else {
                let end = rest.find([delimiter, '}'])?;
                let (element, after) = rest.split_at(end);
                match element {
                    "NULL" => out.push('~'),
                    _ => push_element(out, &self.of_source(element)),
                }
                rest = after;
            }
            if let Some(after) = rest.strip_prefix('}') {
                out.push(']');
                return Some(after);
            }
            rest = rest.strip_prefix(delimiter)?;
        }
    }

    /// Whether an element is an array itself. A multirange is one too, but of objects.
    fn is_dimension(&self, element: &str) -> bool {
        let inside = element.strip_prefix('[').map(str::trim_start);
        inside.is_some_and(|inside| {
            !matches!(self, Kind::Multirange(_)) || inside.starts_with(['[', 'n'])
        })
    }

    fn event_array(&self, json: &str, out: &mut String) -> Option<()> {
        let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        out.push('[');
        for element in elements.iter().map(|element| element.get()) {
            if element == "null" {
                out.push('~');
            } else if self.is_dimension(element) {
                self.event_array(element, out)?;
            } else {
                push_element(out, &self.of_event(element)?);
            }
        }
        out.push(']');
        Some(())
    }
}

/// What `write` appends to an empty text.
fn whole(write: impl FnOnce(&mut String) -> Option<()>) -> Option<String> {
    let mut canonical = String::new();
    write(&mut canonical).map(|()| canonical)
}

/// A text that is not what its type promises stands for itself, and then equals no event's value.
fn or_text(text: &str, write: impl FnOnce(&mut String) -> Option<()>) -> Cow<'_, str> {
    whole(write).map_or(Cow::Borrowed(text), Cow::Owned)
}

pub(super) fn push_element(out: &mut String, element: &str) {
    out.push_str(&element.len().to_string());
    out.push(':');
    out.push_str(element);
}

/// The text of a JSON string; `None` for any other JSON.
pub(super) fn string(json: &str) -> Option<String> {
    json.starts_with('"')
        .then(|| serde_json::from_str(json).ok())
        .flatten()
}

/// `-0043-03-15` is 44 BC; a year past 9999 loses its sign.
fn date(iso: &str) -> Option<String> {
    let (date, era) = calendar(iso)?;
    Some(format!("{date}{era}"))
}

/// The date as PostgreSQL writes it, and ` BC` or nothing.
fn calendar(iso: &str) -> Option<(Cow<'_, str>, &'static str)> {
    if matches!(iso, "infinity" | "-infinity") {
        return Some((Cow::Borrowed(iso), ""));
    }
    let (year, rest) = if let Some(past) = iso.strip_prefix('-') {
        let (year, rest) = past.split_once('-')?;
        (-year.parse::<i32>().ok()?, rest)
    } else {
        let (year, rest) = iso.strip_prefix('+').unwrap_or(iso).split_once('-')?;
        (year.parse::<i32>().ok()?, rest)
    };
    let expanded = iso.starts_with(['+', '-']);
    match year {
        1..=9999 if !expanded => Some((Cow::Borrowed(iso), "")),
        10_000.. => Some((Cow::Owned(format!("{year}-{rest}")), "")),
        ..=0 => Some((Cow::Owned(format!("{:04}-{rest}", 1 - year)), " BC")),
        _ => None,
    }
}

/// PostgreSQL writes whole-hour offsets without minutes.
fn time_of_day(iso: &str) -> Option<String> {
    if let Some(utc) = iso.strip_suffix('Z') {
        return Some(format!("{utc}+00"));
    }
    let signed = iso
        .rfind(['+', '-'])
        .and_then(|at| iso.get(at..))
        .unwrap_or_default();
    let short = signed.len() == "+00:00".len() && signed.ends_with(":00");
    let cut = if short { iso.strip_suffix(":00")? } else { iso };
    Some(cut.to_owned())
}

/// PostgreSQL writes the fraction without its trailing zeros.
fn timestamp(iso: &str, zone: &str) -> Option<String> {
    if matches!(iso, "infinity" | "-infinity") {
        return Some(iso.to_owned());
    }
    let (day, clock) = iso.strip_suffix(zone)?.split_once('T')?;
    let (day, era) = calendar(day)?;
    let (seconds, fraction) = clock.split_once('.')?;
    if fraction.len() != 6 || seconds.len() != "00:00:00".len() {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let offset = if zone == "Z" { "+00" } else { "" };
    Some(format!("{day} {seconds}{point}{fraction}{offset}{era}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_the_same() {
        let integers = Kind::Array(Box::new(Kind::Integer), ',');
        let words = Kind::Array(Box::new(Kind::Text), ',');
        for (kind, source, event) in [
            (Kind::Boolean, "t", "true"),
            (
                Kind::Integer,
                "-9223372036854775808",
                "-9223372036854775808",
            ),
            (Kind::Real, "1e+20", "1e20"),
            (Kind::Double, "0.1", "1E-1"),
            (Kind::Double, "-Infinity", "\"-Infinity\""),
            (Kind::Double, "NaN", "\"NaN\""),
            (Kind::Bytea, "\\x00ff", "\"AP8=\""),
            (Kind::Bytea, "\\x", "\"\""),
            (Kind::Date, "2026-11-23", "\"2026-11-23\""),
            (Kind::Date, "0044-03-15 BC", "\"-0043-03-15\""),
            (Kind::Date, "0001-01-01 BC", "\"0000-01-01\""),
            (Kind::Date, "12345-01-01", "\"+12345-01-01\""),
            (Kind::Date, "infinity", "\"infinity\""),
            (Kind::Time, "08:00:00.5", "\"08:00:00.5\""),
            (Kind::Time, "08:00:00+02", "\"08:00:00+02:00\""),
            (Kind::Time, "08:00:00-03:30", "\"08:00:00-03:30\""),
            (Kind::Time, "08:00:00+00", "\"08:00:00Z\""),
            (
                Kind::Timestamp,
                "2026-11-23 08:00:00",
                "\"2026-11-23T08:00:00.000000\"",
            ),
            (
                Kind::TimestampTz,
                "2026-11-23 08:00:00.5+00",
                "\"2026-11-23T08:00:00.500000Z\"",
            ),
            (
                Kind::TimestampTz,
                "0044-03-15 12:00:00+00 BC",
                "\"-0043-03-15T12:00:00.000000Z\"",
            ),
            (Kind::TimestampTz, "-infinity", "\"-infinity\""),
            (Kind::Text, "a \"b\"\n", "\"a \\\"b\\\"\\n\""),
            (integers.clone(), "{1,NULL,3}", "[1,null,3]"),
            (integers.clone(), "{}", "[]"),
            (integers.clone(), "[0:1]={{1},{2}}", "[[1],[2]]"),
            (
                words.clone(),
                "{NULL,\"NULL\",\"\",\"a,\\\"}\"}",
                "[null,\"NULL\",\"\",\"a,\\\"}\"]",
            ),
        ] {
            assert!(
                kind.same(Some(source), event),
                "{kind:?}: {source} and {event}"
            );
            assert!(!kind.same(None, event), "{kind:?}: null and {event}");
            assert!(
                !kind.same(Some(source), "null"),
                "{kind:?}: {source} and null"
            );
        }
    }

    #[test]
    fn unequal_values_and_foreign_forms_are_not() {
        let integers = Kind::Array(Box::new(Kind::Integer), ',');
        let words = Kind::Array(Box::new(Kind::Text), ',');
        for (kind, source, event) in [
            (Kind::Boolean, "t", "\"t\""),
            (Kind::Boolean, "t", "false"),
            (Kind::Integer, "5", "\"5\""),
            (Kind::Integer, "5", "5.0"),
            (Kind::Text, "5", "5"),
            (Kind::Text, "12.50", "\"12.5\""),
            (Kind::Double, "0", "-0"),
            (Kind::Double, "NaN", "null"),
            (Kind::Bytea, "\\x00", "\"\\\\x00\""),
            (
                Kind::Timestamp,
                "2026-11-23 08:00:00",
                "\"2026-11-23 08:00:00\"",
            ),
            (
                Kind::Timestamp,
                "2026-11-23 08:00:00",
                "\"2026-11-23T08:00:00\"",
            ),
            (
                Kind::TimestampTz,
                "2026-11-23 08:00:00+00",
                "\"2026-11-23T08:00:00.000000\"",
            ),
            (
                Kind::TimestampTz,
                "2026-11-23 08:00:00+00",
                "\"2026-11-23T08:00:00.000001Z\"",
            ),
            (integers.clone(), "{1,2}", "[12]"),
            (integers.clone(), "{NULL}", "[]"),
            (integers.clone(), "{{1,2}}", "[1,2]"),
            (integers, "{1}", "[\"1\"]"),
            (words.clone(), "{NULL}", "[\"NULL\"]"),
            (words, "{a,b}", "[\"a,b\"]"),
        ] {
            assert!(
                !kind.same(Some(source), event),
                "{kind:?}: {source} and {event}"
            );
        }
    }
}
