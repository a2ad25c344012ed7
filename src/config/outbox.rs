//! `[outbox]`: tables whose rows are events, and what their columns are for.

use super::resolve::Resolver;
use super::selection::{is_topic, patterns};
use crate::event::selection::{OnUpdate, Outbox, Placed};

/// Longest name of a column, bytes.
const NAME_MAX: usize = 63;

/// Resolves it. The outer `None` is a fault, the inner one "there is none".
pub(super) fn outbox(resolver: &mut Resolver<'_>) -> Option<Option<Outbox>> {
    if !resolver.has_section("outbox") {
        return Some(None);
    }
    let placeholders = ["{routed}", "{prefix}", "{schema}", "{table}"];
    let tables = patterns(resolver, "outbox.tables", 2);
    let topic = resolver.checked("outbox.topic", |text| {
        is_topic(text, &placeholders).then(|| text.to_owned())
    });
    let partitions = resolver.optional_number("outbox.partitions", 1, 10_000);
    let topics_max = resolver.number("outbox.topics_max", 1, 100_000);
    let [id, key, route_by, payload] =
        ["id", "key", "route_by", "payload"].map(|key| column(resolver, key));
    let [timestamp, partition] = ["timestamp", "partition"].map(|key| {
        let is_set = resolver.is_set(&format!("outbox.{key}"));
        is_set.then(|| column(resolver, key))
    });
    let headers = placed(resolver, "outbox.headers");
    let fields = placed(resolver, "outbox.fields");
    let flag = [("true", true), ("false", false)];
    let expand_json = resolver.choice("outbox.expand_json", &flag);
    let tombstones = resolver.choice("outbox.tombstones", &flag);
    let on_update = resolver.choice(
        "outbox.on_update",
        &[
            ("warn", OnUpdate::Warn),
            ("error", OnUpdate::Error),
            ("stop", OnUpdate::Stop),
        ],
    );
    let outbox = Outbox {
        tables: tables?,
        topic: topic?,
        partitions: partitions?.and_then(|count| i32::try_from(count).ok()),
        topics_max: usize::try_from(topics_max?).ok()?,
        id: id?,
        key: key?,
        route_by: route_by?,
        payload: payload?,
        timestamp: timestamp.map_or(Some(None), |column| column.map(Some))?,
        partition: partition.map_or(Some(None), |column| column.map(Some))?,
        headers: headers?,
        fields: fields?,
        expand_json: expand_json?,
        tombstones: tombstones?,
        on_update: on_update?,
    };
    check_together(outbox, resolver).map(Some)
}

fn column(resolver: &mut Resolver<'_>, key: &str) -> Option<String> {
    resolver.name(&format!("outbox.{key}"), NAME_MAX, |c| !c.is_control())
}

/// `column`, or `column:name`.
fn placed(resolver: &mut Resolver<'_>, path: &str) -> Option<Vec<Placed>> {
    if !resolver.is_set(path) {
        return Some(Vec::new());
    }
    let place = |text: &String| {
        let (column, alias) = text.split_once(':').unwrap_or((text, text));
        let named = !column.is_empty() && !alias.is_empty() && column.len() <= NAME_MAX;
        named.then(|| Placed {
            column: column.to_owned(),
            alias: alias.to_owned(),
        })
    };
    let texts = resolver.list(path)?;
    let placed: Option<Vec<Placed>> = texts.iter().map(place).collect();
    if placed.is_none() {
        resolver.fault(path, &texts.join(", "));
    }
    placed
}

/// Refuses what cannot be written.
fn check_together(outbox: Outbox, resolver: &mut Resolver<'_>) -> Option<Outbox> {
    let mut names: Vec<&str> = outbox.fields.iter().map(|field| &*field.alias).collect();
    names.push("payload");
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        resolver.conflict(
            "outbox.fields",
            "gives two fields of the value one name; the payload's is \"payload\"".to_owned(),
            "give one of them another, as column:name",
        );
        return None;
    }
    let encoding = resolver.text("format.encoding").unwrap_or_default();
    if outbox.expand_json && encoding != "json" {
        resolver.conflict(
            "outbox.expand_json",
            format!("is true, and format.encoding is {encoding:?}: each payload would have a schema of its own"),
            "remove it, or set format.encoding = \"json\"",
        );
        return None;
    }
    Some(outbox)
}
