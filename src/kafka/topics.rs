//! Topic names.

/// The topic of a table: `<prefix>.<schema>.<table>`.
pub fn table(prefix: &str, schema: &str, table: &str) -> String {
    sanitise(&format!("{prefix}.{schema}.{table}"))
}

/// The topic of a table, by the template of its route if it has one.
pub fn routed(template: Option<&str>, prefix: &str, schema: &str, table: &str) -> String {
    match template {
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
    sanitise(&name)
}

/// The topic of heartbeats.
pub fn heartbeat(prefix: &str) -> String {
    sanitise(&format!("{prefix}.heartbeat"))
}

/// The topic of schema versions.
pub fn schema_changes(prefix: &str) -> String {
    sanitise(&format!("{prefix}.schema-changes"))
}

/// The topic of issued promotion codes.
pub fn promotions(prefix: &str) -> String {
    sanitise(&format!("{prefix}.promotions"))
}

/// The topic that holds the position of one slot's stream.
pub fn position(prefix: &str, slot: &str) -> String {
    sanitise(&format!("__tidewater.{prefix}.{slot}"))
}

/// Kafka allows letters, digits, dot, underscore and hyphen; anything else becomes an underscore.
fn sanitise(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
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
