//! Which tables are captured: the patterns of `source.tables` against the catalog.

use std::fmt;

use crate::connection::quote_identifier;
use crate::event::selection::{Pattern, included_and_excluded};

/// A table's qualified name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
}

impl TableName {
    /// The quoted name, for SQL.
    pub fn quoted(&self) -> String {
        format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&self.name)
        )
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Patterns `schema.table`, see [`Pattern`]; a leading `!` excludes. A table is captured when some
/// pattern matches and no excluding one does, whatever their order.
#[derive(Clone, Debug)]
pub struct Patterns {
    texts: Vec<String>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

/// A pattern that is not `schema.table`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid table pattern \"{0}\": expected schema.table, with * for any part of a name or a regular \
     expression between slashes"
)]
pub struct PatternsError(String);

impl Patterns {
    /// Compiles the patterns.
    pub fn new(patterns: &[String]) -> Result<Patterns, PatternsError> {
        let compile = |text: &str| Pattern::new(text, 2);
        let (include, exclude) = included_and_excluded(patterns, compile).map_err(PatternsError)?;
        Ok(Patterns {
            texts: patterns.to_vec(),
            include,
            exclude,
        })
    }

    /// Whether the table is captured.
    pub fn matches(&self, table: &TableName) -> bool {
        let names = [table.schema.as_str(), table.name.as_str()];
        let any = |list: &[Pattern]| list.iter().any(|pattern| pattern.matches(&names));
        any(&self.include) && !any(&self.exclude)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], table: &str, expected: bool) {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        let (schema, name) = table.split_once('.').unwrap();
        let table = TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        };
        let matched = Patterns::new(&patterns).unwrap().matches(&table);
        assert_eq!(matched, expected, "{patterns:?} and {table}");
    }

    #[test]
    fn tables_are_included_and_excluded() {
        check(&["public.orders"], "public.orders", true);
        check(&["public.orders"], "public.orders_old", false);
        check(&["public.*"], "public.orders", true);
        check(&["public.*"], "private.orders", false);
        check(&["*.orders"], "shop.orders", true);
        check(&["public.*", "!public.audit*"], "public.audit_log", false);
        check(&["!public.audit", "public.*"], "public.audit", false);
        check(&["!public.audit"], "public.orders", false);
        check(&["public.order?"], "public.orders", true);
        check(&["public./order_[0-9]+/"], "public.order_12", true);
        check(
            &["public.*", "!public./.*_old|tmp_.*/"],
            "public.orders_old",
            false,
        );
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in ["orders", ".orders", "public.", "", "!", "public.[a"] {
            let error = Patterns::new(&[text.to_owned()]).expect_err(text);
            assert!(
                error.to_string().contains("expected schema.table"),
                "{error}"
            );
        }
    }
}
