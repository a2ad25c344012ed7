//! `source.columns`, `[[transform]]`, `[[route]]` and `[[policy]]`: what is taken of the source, and what becomes of it.

use std::sync::Arc;

use super::outbox::outbox;
use super::resolve::Resolver;
use crate::event::selection::{
    Columns, Messages, Pattern, Policy, Route, Selection, Transform, TransformRule, digest,
};
use crate::event::{NameAdjustment, TOPIC_BYTES_MAX, is_topic_character};

/// Longest mask, characters.
const MASK_MAX: i64 = 1_000;
/// What a masked value shows unless the rule says otherwise.
const MASK: &str = "***";
/// Longest value of a truncated column, characters.
const TRUNCATE_MAX: i64 = 1_000_000;

/// Whether an incompatible change of a table ends the stream.
const ON_CHANGE: [(&str, bool); 2] = [("continue", false), ("stop", true)];

/// Resolves all of it. `None` only together with faults. `names`: what becomes of columns' names.
pub(super) fn selection(
    names: Option<NameAdjustment>,
    resolver: &mut Resolver<'_>,
) -> Option<Selection> {
    let columns = columns(resolver);
    let messages = messages(resolver);
    let transforms: Vec<_> = resolver
        .sections("transform")
        .iter()
        .map(|section| transform(resolver, section))
        .collect();
    let routes: Vec<_> = resolver
        .sections("route")
        .iter()
        .map(|section| route(resolver, section))
        .collect();
    let policies: Vec<_> = resolver
        .sections("policy")
        .iter()
        .map(|section| policy(resolver, section))
        .collect();
    let outbox = outbox(resolver);
    let stop_on_change = resolver.choice("source.on_incompatible_change", &ON_CHANGE);
    // What decides what a change becomes.
    let mut written = resolver.written(&[
        "source.tables",
        "source.columns",
        "source.messages",
        "format.hash_salt",
        "transform[",
        "route[",
        "outbox.",
        "row_store.tables",
        "row_store.missing",
    ]);
    if resolver.is_set("row_store.path") {
        written.push("row_store".to_owned());
    }
    Some(Selection {
        columns: columns?,
        messages: messages?,
        transforms: transforms.into_iter().collect::<Option<_>>()?,
        routes: routes.into_iter().collect::<Option<_>>()?,
        outbox: outbox?,
        policies: policies.into_iter().collect::<Option<_>>()?,
        stop_on_change: stop_on_change?,
        names: names?,
        digest: digest(written.iter().map(String::as_str)),
    })
}

fn messages(resolver: &mut Resolver<'_>) -> Option<Messages> {
    if !resolver.is_set("source.messages") {
        return Some(Messages::default());
    }
    let patterns = resolver.list("source.messages")?;
    Messages::new(&patterns)
        .map_err(|pattern| resolver.fault("source.messages", &pattern))
        .ok()
}

fn columns(resolver: &mut Resolver<'_>) -> Option<Columns> {
    let patterns = resolver.list("source.columns")?;
    Columns::new(&patterns)
        .map_err(|pattern| resolver.fault("source.columns", &pattern))
        .ok()
}

fn transform(resolver: &mut Resolver<'_>, section: &str) -> Option<TransformRule> {
    let columns = patterns(resolver, &format!("{section}.columns"), 3);
    let action = format!("{section}.action");
    let names = [("mask", 0), ("hash", 1), ("truncate", 2)];
    let transform = match resolver.choice(&action, &names)? {
        0 => mask(resolver, section),
        1 => salt(resolver).map(Transform::Hash),
        _ => resolver
            .number(&format!("{section}.length"), 1, TRUNCATE_MAX)
            .and_then(|length| usize::try_from(length).ok())
            .map(Transform::Truncate),
    };
    Some(TransformRule {
        columns: columns?,
        transform: transform?,
    })
}

/// The text given, or as many stars as are asked for.
fn mask(resolver: &mut Resolver<'_>, section: &str) -> Option<Transform> {
    let (value, length) = (format!("{section}.value"), format!("{section}.length"));
    let stars = resolver.optional_number(&length, 1, MASK_MAX)?;
    let text = match (resolver.text(&value), stars) {
        (Some(_), Some(_)) => {
            resolver.conflict(
                &value,
                "is given together with length".to_owned(),
                "keep one of them",
            );
            return None;
        }
        (Some(text), None) => text,
        (None, Some(stars)) => "*".repeat(usize::try_from(stars).ok()?),
        (None, None) => MASK.to_owned(),
    };
    Some(Transform::Mask(text.into()))
}

fn salt(resolver: &mut Resolver<'_>) -> Option<Arc<str>> {
    resolver
        .name("format.hash_salt", 1_000, |c| !c.is_control())
        .map(Arc::from)
}

fn route(resolver: &mut Resolver<'_>, section: &str) -> Option<Route> {
    let path = |key: &str| format!("{section}.{key}");
    let tables = patterns(resolver, &path("tables"), 2);
    let topic = match resolver.text(&path("topic")) {
        None => Some(None),
        Some(_) => resolver
            .checked(&path("topic"), |text| {
                is_template(text).then(|| text.to_owned())
            })
            .map(Some),
    };
    let partitions = resolver.optional_number(&path("partitions"), 1, 10_000);
    let key = resolver
        .text(&path("key"))
        .map(|_| resolver.list(&path("key")));
    let table_in_key = resolver.choice(&path("table_in_key"), &[("true", true), ("false", false)]);
    Some(Route {
        tables: tables?,
        topic: topic?,
        partitions: partitions?.and_then(|count| i32::try_from(count).ok()),
        key: key.unwrap_or_else(|| Some(Vec::new()))?,
        table_in_key: table_in_key?,
    })
}

fn policy(resolver: &mut Resolver<'_>, section: &str) -> Option<Policy> {
    let tables = patterns(resolver, &format!("{section}.tables"), 2);
    let stop = resolver.choice(&format!("{section}.on_incompatible_change"), &ON_CHANGE);
    Some(Policy {
        tables: tables?,
        stop: stop?,
    })
}

pub(super) fn patterns(
    resolver: &mut Resolver<'_>,
    path: &str,
    parts: usize,
) -> Option<Vec<Pattern>> {
    let texts = resolver.list(path)?;
    let compile = |text: &String| {
        let pattern = Pattern::new(text, parts);
        pattern.ok_or_else(|| text.clone())
    };
    texts
        .iter()
        .map(compile)
        .collect::<Result<_, _>>()
        .map_err(|text| resolver.fault(path, &text))
        .ok()
}

/// A topic's name with the placeholders of a route.
fn is_template(text: &str) -> bool {
    is_topic(text, &["{prefix}", "{schema}", "{table}"])
}

/// A topic's name with placeholders.
pub(super) fn is_topic(text: &str, placeholders: &[&str]) -> bool {
    let plain = placeholders
        .iter()
        .fold(text.to_owned(), |text, name| text.replace(name, ""));
    text.len() <= TOPIC_BYTES_MAX && plain.chars().all(is_topic_character)
}
