//! Chunks: half-open key ranges that together cover a table.
//!
//! ```text
//!  (−∞, k₁)  [k₁, k₂)  [k₂, k₃)  …  [kₙ, +∞)
//! ```
//!
//! A boundary is found by walking the key's index, one step of `rows` keys at a time, so any key works,
//! composite and textual ones included, and nothing needs to be monotonic. The first range has no lower
//! and the last no upper bound: together they cover every key. A table without a key is one chunk.

use crate::connection::{quote_identifier, quote_literal};
use crate::event::{Column, KeyRange};
use crate::pgoutput::Tuple;

/// A table as the snapshot reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotTable {
    /// Schema name.
    pub(crate) schema: String,
    /// Table name.
    pub(crate) name: String,
    /// Published columns in attribute order; `None` for one that is not captured, and not read either.
    pub(crate) columns: Vec<Option<String>>,
    /// Key columns with their types' names, as `format_type` gives them; empty without a key.
    pub(crate) key: Vec<KeyColumn>,
    /// Partitions of a partitioned table are read through it.
    pub(crate) partitioned: bool,
    /// The publication's row filter.
    pub(crate) row_filter: Option<String>,
}

/// One column of a table's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// Column name.
    pub(crate) name: String,
    /// Type name that a literal of it is cast to.
    pub(crate) type_name: String,
    /// Its place among the columns that are read.
    pub(crate) index: usize,
}

impl SnapshotTable {
    fn source(&self) -> String {
        let only = if self.partitioned { "" } else { "only " };
        format!(
            "{only}{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&self.name)
        )
    }

    fn values(&self, values: &[String]) -> String {
        let cast = |(column, value): (&KeyColumn, &String)| {
            format!("{}::{}", quote_literal(value), column.type_name)
        };
        let items: Vec<String> = self.key.iter().zip(values).map(cast).collect();
        format!("({})", items.join(", "))
    }

    fn row(&self, values: &[String]) -> String {
        format!("row{}", self.values(values))
    }

    fn key_row(&self) -> String {
        format!("row({})", self.key_names())
    }

    fn key_names(&self) -> String {
        let names: Vec<String> = self
            .key
            .iter()
            .map(|key| quote_identifier(&key.name))
            .collect();
        names.join(", ")
    }

    fn conditions(&self, range: &KeyRange) -> String {
        let from = range.from.as_ref();
        let from = from.map(|from| format!("{} >= {}", self.key_row(), self.row(from)));
        let until = range.until.as_ref();
        let until = until.map(|until| format!("{} < {}", self.key_row(), self.row(until)));
        self.filtered(from.into_iter().chain(until))
    }

    fn filtered(&self, conditions: impl IntoIterator<Item = String>) -> String {
        let filter = self.row_filter.iter().map(|filter| format!("({filter})"));
        let conditions: Vec<String> = conditions.into_iter().chain(filter).collect();
        if conditions.is_empty() {
            String::new()
        } else {
            format!(" where {}", conditions.join(" and "))
        }
    }

    /// The key's columns, qualified: a bare name would be a text of the same name, which is in another
    /// order and in no index.
    fn order(&self) -> String {
        let table = quote_identifier(&self.name);
        let order: Vec<String> = self
            .key
            .iter()
            .map(|key| format!("{table}.{}", quote_identifier(&key.name)))
            .collect();
        order.join(", ")
    }

    /// The key of a row that was read, as a bound. Without a key an empty one, which is no row's.
    pub(crate) fn bound(&self, row: Tuple<'_>) -> Vec<String> {
        let text = |key: &KeyColumn| match row.columns().nth(key.index) {
            // The connection's encoding is UTF-8.
            Some(Column::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            None | Some(Column::Null | Column::Unchanged) => String::new(),
        };
        self.key.iter().map(text).collect()
    }

    /// The query that reads one range, in the order of the keys: a transaction may end at any row.
    pub(crate) fn select(&self, range: &KeyRange) -> String {
        self.select_where(&self.conditions(range))
    }

    /// The query that reads the rows with these keys, in their order.
    pub(crate) fn select_keys(&self, keys: &[Vec<String>]) -> String {
        let values: Vec<String> = keys.iter().map(|key| self.values(key)).collect();
        let among = if values.is_empty() {
            "false".to_owned()
        } else {
            // One probe of the index for each; of an `or` for each the planner would make more.
            let values = values.join(", ");
            format!("({}) in (values {values})", self.key_names())
        };
        self.select_where(&self.filtered([among]))
    }

    fn select_where(&self, conditions: &str) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|name| name.as_deref().map_or("null".to_owned(), quote_identifier))
            .collect();
        let order = if self.key.is_empty() {
            String::new()
        } else {
            format!(" order by {}", self.order())
        };
        format!(
            "select {} from {}{conditions}{order}",
            columns.join(", "),
            self.source(),
        )
    }

    /// The query for what a column holds, `most` values at most.
    pub(crate) fn distinct(&self, column: &str, most: usize) -> String {
        format!(
            "select distinct {} from {}{} limit {most}",
            quote_identifier(column),
            self.source(),
            self.conditions(&KeyRange::default())
        )
    }

    /// The query that reads the first rows of a range.
    pub(crate) fn select_first(&self, range: &KeyRange, rows: u64) -> String {
        format!("{} limit {rows}", self.select(range))
    }

    /// The query that finds the boundary `rows` keys into the range; its one row is the boundary's key as
    /// text, and no row means that fewer remain.
    pub(crate) fn next_boundary(&self, range: &KeyRange, rows: u64) -> String {
        let texts: Vec<String> = self
            .key
            .iter()
            .map(|key| format!("{}::text", quote_identifier(&key.name)))
            .collect();
        let unfiltered = SnapshotTable {
            row_filter: None,
            ..self.clone()
        };
        format!(
            "select {} from {}{} order by {} offset {rows} limit 1",
            texts.join(", "),
            self.source(),
            unfiltered.conditions(range),
            self.order(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SnapshotTable {
        let key = |name: &str, type_name: &str, index| KeyColumn {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            index,
        };
        SnapshotTable {
            schema: "public".to_owned(),
            name: "inventory".to_owned(),
            columns: ["store_id", "product_id", "on_hand"]
                .map(|name| Some(name.to_owned()))
                .to_vec(),
            key: vec![key("store_id", "bigint", 0), key("product_id", "bigint", 1)],
            partitioned: false,
            row_filter: None,
        }
    }

    fn bound(store: &str, product: &str) -> Vec<String> {
        vec![store.to_owned(), product.to_owned()]
    }

    #[test]
    fn a_whole_table_has_no_condition() {
        assert_eq!(
            table().select(&KeyRange::default()),
            r#"select "store_id", "product_id", "on_hand" from only "public"."inventory" order by "inventory"."store_id", "inventory"."product_id""#
        );
        let keyless = SnapshotTable {
            key: Vec::new(),
            ..table()
        };
        assert_eq!(
            keyless.select(&KeyRange::default()),
            r#"select "store_id", "product_id", "on_hand" from only "public"."inventory""#
        );
    }

    #[test]
    fn a_column_that_is_not_captured_stays_on_the_server() {
        let mut table = table();
        table.columns[2] = None;
        assert_eq!(
            table.select(&KeyRange::default()),
            r#"select "store_id", "product_id", null from only "public"."inventory" order by "inventory"."store_id", "inventory"."product_id""#
        );
    }

    #[test]
    fn a_range_is_half_open() {
        let range = KeyRange {
            from: Some(bound("1", "7")),
            until: Some(bound("2", "3")),
        };
        let query = table().select(&range);
        let expected = r#" where row("store_id", "product_id") >= row('1'::bigint, '7'::bigint) and row("store_id", "product_id") < row('2'::bigint, '3'::bigint) order by"#;
        assert!(query.contains(expected), "{query}");
    }

    #[test]
    fn a_row_filter_applies_to_the_rows_and_not_to_the_boundaries() {
        let filtered = SnapshotTable {
            row_filter: Some("on_hand > 0".to_owned()),
            ..table()
        };
        assert!(
            filtered
                .select(&KeyRange::default())
                .contains(" where (on_hand > 0) order by")
        );
        assert_eq!(
            filtered.next_boundary(&KeyRange::default(), 1000),
            r#"select "store_id"::text, "product_id"::text from only "public"."inventory" order by "inventory"."store_id", "inventory"."product_id" offset 1000 limit 1"#
        );
    }

    #[test]
    fn rows_are_read_by_their_keys() {
        let filtered = SnapshotTable {
            row_filter: Some("on_hand > 0".to_owned()),
            ..table()
        };
        let query = filtered.select_keys(&[bound("1", "7"), bound("2", "3")]);
        let expected = r#" where ("store_id", "product_id") in (values ('1'::bigint, '7'::bigint), ('2'::bigint, '3'::bigint)) and (on_hand > 0) order by"#;
        assert!(query.contains(expected), "{query}");
        let none = table().select_keys(&[]);
        assert!(none.contains(" where false order by"), "{none}");
    }

    #[test]
    fn a_row_is_bound_by_its_key() {
        let row = b"\0\x03\0\0\0\x011\0\0\0\x017\xFF\xFF\xFF\xFF";
        let row = Tuple::from_data_row(row).unwrap();
        assert_eq!(table().bound(row), bound("1", "7"));
    }
}
