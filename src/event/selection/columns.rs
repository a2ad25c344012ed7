//! Which columns are captured.

use super::pattern::{Pattern, included_and_excluded};

/// Patterns `schema.table.column`; a leading `!` excludes.
///
/// An including pattern limits the tables that it names to what such patterns match; tables that none
/// names have all their columns. An excluding one always wins.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Columns {
    /// Compiles the patterns; the first that is none is returned instead.
    pub fn new(patterns: &[String]) -> Result<Columns, String> {
        let compile = |text: &str| Pattern::new(text, 3);
        let (include, exclude) = included_and_excluded(patterns, compile)?;
        Ok(Columns { include, exclude })
    }

    /// Whether a column is captured.
    pub fn captures(&self, schema: &str, table: &str, column: &str) -> bool {
        let names = [schema, table, column];
        let any = |list: &[Pattern]| list.iter().any(|pattern| pattern.matches(&names));
        let limited = self
            .include
            .iter()
            .any(|pattern| pattern.matches(&[schema, table]));
        (!limited || any(&self.include)) && !any(&self.exclude)
    }

    /// Whether any pattern but `*.*.*` names the table.
    pub(super) fn touches(&self, schema: &str, table: &str) -> bool {
        let everything = |pattern: &&Pattern| !pattern.is_everything();
        let mut patterns = self.include.iter().filter(everything).chain(&self.exclude);
        patterns.any(|pattern| pattern.matches(&[schema, table]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], column: [&str; 3], expected: bool) {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        let columns = Columns::new(&patterns).unwrap();
        let [schema, table, name] = column;
        assert_eq!(
            columns.captures(schema, table, name),
            expected,
            "{patterns:?} and {column:?}"
        );
    }

    #[test]
    fn columns_are_included_and_excluded() {
        let email = ["public", "customers", "email"];
        check(&["*.*.*"], email, true);
        check(&["!public.customers.email"], email, false);
        check(
            &["!public.customers.email"],
            ["public", "customers", "id"],
            true,
        );
        check(&["public.customers.id"], email, false);
        check(
            &["public.customers.id"],
            ["public", "orders", "email"],
            true,
        );
        check(&["public.customers.*", "!*.*./e-?mail/"], email, false);
        check(&["!*.*.email", "public.customers.email"], email, false);
    }

    #[test]
    fn the_pattern_that_is_none_is_named() {
        let patterns = ["*.*.*".to_owned(), "!customers.email".to_owned()];
        assert_eq!(Columns::new(&patterns).unwrap_err(), "!customers.email");
    }
}
