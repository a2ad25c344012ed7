//! Which messages of `pg_logical_emit_message` are published, by their prefix.

use super::pattern::{Part, included_and_excluded};

/// Patterns of prefixes, each a single part whatever dots it has; a leading `!` excludes.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    include: Vec<Part>,
    exclude: Vec<Part>,
}

impl Messages {
    /// Compiles the patterns; the first that is none is returned instead.
    pub fn new(patterns: &[String]) -> Result<Messages, String> {
        let (include, exclude) = included_and_excluded(patterns, Part::new)?;
        Ok(Messages { include, exclude })
    }

    /// Whether messages with this prefix are published.
    pub fn matches(&self, prefix: &str) -> bool {
        let any = |list: &[Part]| list.iter().any(|part| part.matches(prefix));
        any(&self.include) && !any(&self.exclude)
    }

    /// Whether any are.
    pub fn any(&self) -> bool {
        !self.include.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_included_and_excluded() {
        let patterns = ["app.*", "/job[0-9]/", "!app.private*"].map(str::to_owned);
        let messages = Messages::new(&patterns).unwrap();
        for (prefix, expected) in [
            ("app.orders", true),
            ("app.private.x", false),
            ("job7", true),
            ("job77", false),
            ("other", false),
        ] {
            assert_eq!(messages.matches(prefix), expected, "{prefix}");
        }
        assert!(!Messages::default().any());
        assert_eq!(Messages::new(&["/(/".to_owned()]).unwrap_err(), "/(/");
    }
}
