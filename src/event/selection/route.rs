//! Where a table's changes go: topic, partitions, record key.

use super::pattern::Pattern;

/// One rule: these tables, that topic and key. The first that matches a table holds.
#[derive(Clone, Debug)]
pub struct Route {
    /// Patterns `schema.table`.
    pub tables: Vec<Pattern>,
    /// Name of the topic, with `{prefix}`, `{schema}` and `{table}`; `None` for `prefix.schema.table`.
    pub topic: Option<String>,
    /// Partitions when tidewater creates the topic.
    pub partitions: Option<i32>,
    /// Columns of the record key, instead of those of the primary key.
    pub key: Vec<String>,
    /// Whether keys in a topic of several tables say whose they are.
    pub table_in_key: bool,
}

impl Route {
    pub(super) fn matches(&self, schema: &str, table: &str) -> bool {
        self.tables
            .iter()
            .any(|pattern| pattern.matches(&[schema, table]))
    }

    /// Whether tables may share the topic, by its name alone.
    pub fn is_shared(&self) -> bool {
        self.topic.as_ref().is_some_and(|template| {
            !(template.contains("{schema}") && template.contains("{table}"))
        })
    }
}
