//! Values with parts, twice: composites, ranges, multiranges and hstore, in PostgreSQL's text and as
//! the JSON of an event, each brought to one canonical text. See [`super::value`].
//!
//! Canonical: what opens it, each part as its length and canonical text (`~` where it is null), what
//! closes it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::value::{Kind, push_element};

/// Appends the canonical form of a composite's text.
pub(super) fn source_composite(
    fields: &[(String, Kind)],
    text: &str,
    out: &mut String,
) -> Option<()> {
    let mut rest = text.strip_prefix('(')?;
    out.push('(');
    for (place, (_, kind)) in fields.iter().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(',')?;
        }
        rest = source_part(kind, rest, &[',', ')'], out)?;
    }
    out.push(')');
    (rest == ")").then_some(())
}

/// Appends the canonical form of an event's composite: every attribute, and no other.
pub(super) fn event_composite(
    fields: &[(String, Kind)],
    json: &str,
    out: &mut String,
) -> Option<()> {
    let object: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    if object.len() != fields.len() {
        return None;
    }
    out.push('(');
    for (name, kind) in fields {
        event_part(kind, object.get(name)?.get(), out)?;
    }
    out.push(')');
    Some(())
}

/// Appends the canonical form of a range's text.
pub(super) fn source_range(subtype: &Kind, text: &str, out: &mut String) -> Option<()> {
    if text == "empty" {
        out.push_str(text);
        return Some(());
    }
    source_bounds(subtype, text, out)?.is_empty().then_some(())
}

/// Appends the canonical form of a multirange's text.
pub(super) fn source_multirange(subtype: &Kind, text: &str, out: &mut String) -> Option<()> {
    let mut rest = text.strip_prefix('{')?;
    out.push('{');
    while !rest.starts_with('}') {
        rest = source_bounds(subtype, rest, out)?;
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    out.push('}');
    (rest == "}").then_some(())
}

/// A range that is not empty; gives what follows it.
fn source_bounds<'t>(subtype: &Kind, text: &'t str, out: &mut String) -> Option<&'t str> {
    let rest = text.strip_prefix(['[', '('])?;
    out.push(text.chars().next()?);
    let rest = source_part(subtype, rest, &[',', ')', ']'], out)?;
    let rest = source_part(subtype, rest.strip_prefix(',')?, &[',', ')', ']'], out)?;
    out.push(rest.chars().next()?);
    rest.strip_prefix([']', ')'])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range<'j> {
    #[serde(borrow)]
    lower: &'j RawValue,
    #[serde(borrow)]
    upper: &'j RawValue,
    bounds: Option<String>,
    empty: bool,
}

/// Appends the canonical form of an event's range.
pub(super) fn event_range(subtype: &Kind, json: &str, out: &mut String) -> Option<()> {
    let range: Range<'_> = serde_json::from_str(json).ok()?;
    if range.empty {
        out.push_str("empty");
        let nothing = range.lower.get() == "null" && range.upper.get() == "null";
        return (nothing && range.bounds.is_none()).then_some(());
    }
    let bounds = range.bounds?;
    let (open, close) = bounds.split_at_checked(1)?;
    out.push_str(open);
    event_part(subtype, range.lower.get(), out)?;
    event_part(subtype, range.upper.get(), out)?;
    out.push_str(close);
    (matches!(open, "[" | "(") && matches!(close, "]" | ")")).then_some(())
}

/// Appends the canonical form of an event's multirange.
pub(super) fn event_multirange(subtype: &Kind, json: &str, out: &mut String) -> Option<()> {
    let ranges: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    out.push('{');
    for range in ranges {
        event_range(subtype, range.get(), out)?;
    }
    out.push('}');
    Some(())
}

type Pairs = BTreeMap<String, Option<String>>;

/// Appends the canonical form of an hstore's text.
pub(super) fn source_hstore(text: &str, out: &mut String) -> Option<()> {
    let (mut pairs, mut rest) = (Pairs::new(), text);
    while !rest.is_empty() {
        let (key, after) = unquote(rest.strip_prefix('"')?, false)?;
        let after = after.strip_prefix("=>")?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted, false).map(|(value, after)| (Some(value), after))?,
            None => (None, after.strip_prefix("NULL")?),
        };
        pairs.insert(key, value);
        rest = match after {
            "" => after,
            _ => after.strip_prefix(", ")?,
        };
    }
    push_pairs(&pairs, out);
    Some(())
}

/// Appends the canonical form of an event's hstore.
pub(super) fn event_hstore(json: &str, out: &mut String) -> Option<()> {
    push_pairs(&serde_json::from_str(json).ok()?, out);
    Some(())
}

fn push_pairs(pairs: &Pairs, out: &mut String) {
    for (key, value) in pairs {
        push_element(out, key);
        match value {
            Some(value) => push_element(out, value),
            None => out.push('~'),
        }
    }
}

/// A field or bound up to one of `ends`; nothing at all is the null. Gives what follows it.
fn source_part<'t>(kind: &Kind, text: &'t str, ends: &[char], out: &mut String) -> Option<&'t str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (part, rest) = unquote(quoted, true)?;
        push_element(out, &kind.of_source(&part));
        return Some(rest);
    }
    let (part, rest) = text.split_at(text.find(ends)?);
    match part {
        "" => out.push('~'),
        _ => push_element(out, &kind.of_source(part)),
    }
    Some(rest)
}

fn event_part(kind: &Kind, json: &str, out: &mut String) -> Option<()> {
    match json {
        "null" => out.push('~'),
        _ => push_element(out, &kind.of_event(json)?),
    }
    Some(())
}

/// Reads up to the closing quote; a backslash takes the next character as it is, and where quotes are
/// `doubled` two of them are one.
pub(super) fn unquote(text: &str, doubled: bool) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' if doubled && characters.next_if(|(_, next)| *next == '"').is_some() => {
                part.push('"');
            }
            '"' => return Some((part, text.get(at + 1..)?)),
            '\\' => part.push(characters.next()?.1),
            other => part.push(other),
        }
    }
    None
}
