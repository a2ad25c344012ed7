//! Which tables are captured: the patterns of `source.tables` against the catalog.

use std::fmt;

use globset::{Glob, GlobMatcher};

use crate::connection::quote_identifier;

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

/// Patterns `schema.table` with `*` and `?`; a leading `!` excludes. A table is captured when some
/// pattern matches and no excluding one does, whatever their order.
#[derive(Clone, Debug)]
pub struct Patterns {
    texts: Vec<String>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    schema: GlobMatcher,
    table: GlobMatcher,
}

/// A pattern that is not `schema.table`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid table pattern \"{0}\": expected schema.table, with * for any part of a name")]
pub struct PatternsError(String);

impl Patterns {
    /// Compiles the patterns.
    pub fn new(patterns: &[String]) -> Result<Patterns, PatternsError> {
        let (mut include, mut exclude) = (Vec::new(), Vec::new());
        for text in patterns {
            let (list, name) = match text.strip_prefix('!') {
                Some(name) => (&mut exclude, name),
                None => (&mut include, text.as_str()),
            };
            list.push(Pattern::new(name).ok_or_else(|| PatternsError(text.clone()))?);
        }
        Ok(Patterns {
            texts: patterns.to_vec(),
            include,
            exclude,
        })
    }

    /// Whether the table is captured.
    pub fn matches(&self, table: &TableName) -> bool {
        let any = |list: &[Pattern]| list.iter().any(|pattern| pattern.matches(table));
        any(&self.include) && !any(&self.exclude)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts.join(", "))
    }
}

impl Pattern {
    fn new(text: &str) -> Option<Pattern> {
        let (schema, table) = text.split_once('.')?;
        if schema.is_empty() || table.is_empty() {
            return None;
        }
        let compile = |part: &str| Some(Glob::new(part).ok()?.compile_matcher());
        Some(Pattern {
            schema: compile(schema)?,
            table: compile(table)?,
        })
    }

    fn matches(&self, table: &TableName) -> bool {
        self.schema.is_match(&table.schema) && self.table.is_match(&table.name)
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
