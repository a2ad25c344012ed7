//! `Pattern`: names of tables and columns, part by part.
//!
//! ```text
//! public.order_*               a part is the name, with * for any text and ? for one character
//! public./order_[0-9]+/        or a regular expression between slashes, for the whole part
//! *.*.email                    a column's pattern has three parts
//! ```
//!
//! One language for both, so that what is said of a table can be said of its columns.

use globset::{Glob, GlobMatcher};
use regex::Regex;

/// A qualified name's pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    parts: Vec<Part>,
}

/// One name's pattern.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Glob(GlobMatcher),
    Regex(Regex),
}

/// What patterns include, and what those with a leading `!` exclude, each compiled; the first that is no
/// pattern is returned instead.
pub fn included_and_excluded<P>(
    patterns: &[String],
    compile: impl Fn(&str) -> Option<P>,
) -> Result<(Vec<P>, Vec<P>), String> {
    let (mut include, mut exclude) = (Vec::new(), Vec::new());
    for text in patterns {
        let (list, pattern) = match text.strip_prefix('!') {
            Some(pattern) => (&mut exclude, pattern),
            None => (&mut include, text.as_str()),
        };
        list.push(compile(pattern).ok_or_else(|| text.clone())?);
    }
    Ok((include, exclude))
}

impl Pattern {
    /// Compiles a pattern of that many parts; `None` if it is not one.
    pub fn new(text: &str, parts: usize) -> Option<Pattern> {
        let parts_found: Option<Vec<Part>> = split(text)?.into_iter().map(Part::new).collect();
        let pattern = Pattern {
            parts: parts_found?,
        };
        (pattern.parts.len() == parts).then_some(pattern)
    }

    /// Whether the names match, each its part. Fewer names than parts are compared as far as they go:
    /// so is a column's pattern with a table.
    pub fn matches(&self, names: &[&str]) -> bool {
        self.parts
            .iter()
            .zip(names)
            .all(|(part, name)| part.matches(name))
    }

    /// Whether it is `*.*`, or as much for columns.
    pub(super) fn is_everything(&self) -> bool {
        let star = |part: &Part| matches!(part, Part::Glob(glob) if glob.glob().glob() == "*");
        self.parts.iter().all(star)
    }
}

impl Part {
    pub(super) fn new(text: &str) -> Option<Part> {
        if let Some(expression) = text
            .strip_prefix('/')
            .and_then(|text| text.strip_suffix('/'))
        {
            return Regex::new(&format!("^(?:{expression})$"))
                .ok()
                .map(Part::Regex);
        }
        if text.is_empty() {
            return None;
        }
        Glob::new(text)
            .ok()
            .map(|glob| Part::Glob(glob.compile_matcher()))
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Part::Glob(glob) => glob.is_match(name),
            Part::Regex(regex) => regex.is_match(name),
        }
    }
}

/// Cuts at the dots outside of regular expressions; `None` where one has no end.
fn split(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let end = match rest.strip_prefix('/') {
            // The slash that ends it stands before a dot or at the end.
            Some(expression) => {
                let inner = expression.find("/.").or_else(|| {
                    let last = expression.strip_suffix('/')?;
                    Some(last.len())
                })?;
                inner + 2
            }
            None => rest.find('.').unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at_checked(end)?;
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return after.is_empty().then_some(parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        let names: Vec<&str> = name.split('|').collect();
        let pattern = Pattern::new(pattern, names.len()).unwrap();
        assert_eq!(pattern.matches(&names), expected, "{name}");
    }

    #[test]
    fn globs_and_regular_expressions_match_whole_parts() {
        check("public.order?", "public|orders", true);
        check("public.order", "public|orders", false);
        check("public./order_[0-9]+/", "public|order_12", true);
        check("public./order_[0-9]+/", "public|order_12_old", false);
        check("public./order_[0-9]+/", "public|my_order_12", false);
        check("/a|b/.*.email", "b|t|email", true);
        check("/a|b/.*.email", "bc|t|email", false);
        check("public./a.c/./x/", "public|abc|x", true);
        check("*./(?i)CUSTOMERS/.*", "shop|customers|email", true);
    }

    #[test]
    fn a_column_s_pattern_can_be_compared_with_its_table() {
        let pattern = Pattern::new("public.customers.email", 3).unwrap();
        assert!(pattern.matches(&["public", "customers"]));
        assert!(!pattern.matches(&["public", "orders"]));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "orders", "a.b.c", ".b", "a.", "", "a./b", "a./(/", "a.[b", "/a/b.c", "//b.c",
        ] {
            assert!(Pattern::new(text, 2).is_none(), "{text}");
        }
    }
}
