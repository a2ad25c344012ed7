//! Topic names.

use crate::event::selection::Selection;
use crate::event::topic_characters;

/// The topic of a table that no route matches: `<prefix>.<schema>.<table>`.
pub fn table(prefix: &str, schema: &str, table: &str) -> String {
    topic_characters(&format!("{prefix}.{schema}.{table}"))
}

/// The topic of a table, by the template of its route if it has one.
pub fn routed(selection: &Selection, prefix: &str, schema: &str, table: &str) -> String {
    match selection.topic(schema, table) {
        Some(template) => templated(template, prefix, schema, table),
        None => self::table(prefix, schema, table),
    }
}

/// The topic of a table by a template with `{prefix}`, `{schema}` and `{table}`.
fn templated(template: &str, prefix: &str, schema: &str, table: &str) -> String {
    // One placeholder after the other, from the left: a table's name may look like one.
    let mut name = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (placeholder, next) = after.split_once('}').unwrap_or((after, ""));
        name.push_str(before);
        name.push_str(match placeholder {
            "prefix" => prefix,
            "schema" => schema,
            "table" => table,
            _ => "",
        });
        rest = next;
    }
    name.push_str(rest);
    topic_characters(&name)
}

/// The topic of heartbeats.
pub fn heartbeat(prefix: &str) -> String {
    topic_characters(&format!("{prefix}.heartbeat"))
}

/// The topic of the users' own logical messages.
pub fn messages(prefix: &str) -> String {
    topic_characters(&format!("{prefix}.message"))
}

/// The topic of transactions' begins and ends.
pub fn transactions(prefix: &str) -> String {
    topic_characters(&format!("{prefix}.transaction"))
}

/// The topic of schema versions.
pub fn schema_changes(prefix: &str) -> String {
    topic_characters(&format!("{prefix}.schema-changes"))
}

/// The topic of changes that were too large to be published.
pub fn passed_over(prefix: &str) -> String {
    topic_characters(&format!("{prefix}.passed-over"))
}

/// The topic of applications' events.
pub fn events(prefix: &str) -> String {
    topic_characters(&format!("{prefix}.events"))
}

/// The topic of issued promotion codes.
pub fn promotions(prefix: &str) -> String {
    topic_characters(&format!("{prefix}.promotions"))
}

/// The topic that holds the position of one slot's stream.
pub fn position(prefix: &str, slot: &str) -> String {
    topic_characters(&format!("__tidewater.{prefix}.{slot}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_only_what_kafka_allows() {
        assert_eq!(table("retail", "public", "orders"), "retail.public.orders");
        assert_eq!(table("retail", "Größe", "a b"), "retail.Gr__e.a_b");
        assert_eq!(
            templated("{prefix}.all-{table}", "p", "s", "{schema}"),
            "p.all-_schema_"
        );
        assert_eq!(templated("orders", "p", "s", "t"), "orders");
        assert_eq!(
            position("retail", "tidewater"),
            "__tidewater.retail.tidewater"
        );
    }
}
