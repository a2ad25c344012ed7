//! Topic names.

/// The topic of a table: `<prefix>.<schema>.<table>`.
pub fn table(prefix: &str, schema: &str, table: &str) -> String {
    sanitise(&format!("{prefix}.{schema}.{table}"))
}

/// The topic of heartbeats.
pub fn heartbeat(prefix: &str) -> String {
    sanitise(&format!("{prefix}.heartbeat"))
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
            position("retail", "tidewater"),
            "__tidewater.retail.tidewater"
        );
    }
}
