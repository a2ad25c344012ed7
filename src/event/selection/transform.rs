//! What becomes of a column's value before it leaves the process.
//!
//! A transformed value is a string, whatever the column's type; null stays null. Hashes are those of
//! Debezium's `column.mask.hash.v2.SHA-256`: of the salt and then the value's text, in hexadecimal.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::pattern::Pattern;
use crate::event::hexadecimal;

/// One rule: these columns, that transform.
#[derive(Clone, Debug)]
pub struct TransformRule {
    /// Patterns `schema.table.column`.
    pub columns: Vec<Pattern>,
    /// What becomes of their values.
    pub transform: Transform,
}

/// What becomes of a value.
#[derive(Clone, PartialEq, Eq)]
pub enum Transform {
    /// It is not there, and neither is the column.
    Excluded,
    /// The same text whatever the value was.
    Mask(Arc<str>),
    /// The hash of salt and value.
    Hash(Arc<str>),
    /// So many characters at most.
    Truncate(usize),
}

impl std::fmt::Debug for Transform {
    // The salt must not be shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Transform::Excluded => f.write_str("Excluded"),
            Transform::Mask(text) => write!(f, "Mask({text:?})"),
            Transform::Hash(_) => f.write_str("Hash(…)"),
            Transform::Truncate(characters) => write!(f, "Truncate({characters})"),
        }
    }
}

impl Transform {
    /// Writes what becomes of `text` over `out`. Text that is not UTF-8 is passed on where it is not
    /// replaced: whoever writes it down says what is wrong.
    pub fn apply(&self, text: &[u8], out: &mut Vec<u8>) {
        out.clear();
        match self {
            Transform::Excluded => {}
            Transform::Mask(mask) => out.extend_from_slice(mask.as_bytes()),
            Transform::Hash(salt) => hash(salt, text, out),
            Transform::Truncate(characters) => out.extend_from_slice(first(text, *characters)),
        }
    }

    /// Whether the values are text afterwards, whatever they were.
    pub fn is_text(&self) -> bool {
        matches!(self, Transform::Mask(_) | Transform::Hash(_))
    }

    /// What it does to a value, for messages.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Transform::Excluded => "excluded",
            Transform::Mask(_) => "masked",
            Transform::Hash(_) => "hashed",
            Transform::Truncate(_) => "truncated",
        }
    }
}

fn hash(salt: &str, text: &[u8], out: &mut Vec<u8>) {
    let digest = Sha256::new()
        .chain_update(salt)
        .chain_update(text)
        .finalize();
    hexadecimal::write(&digest, out);
}

/// The first characters of a text, by the bytes that begin one in UTF-8.
fn first(text: &[u8], characters: usize) -> &[u8] {
    let starts = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte & 0xC0 != 0x80);
    let end = starts.map(|(at, _)| at).nth(characters);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(transform: &Transform, text: &str, expected: &str) {
        let mut out = b"left over".to_vec();
        transform.apply(text.as_bytes(), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            expected,
            "{transform:?} of {text}"
        );
    }

    #[test]
    fn values_are_masked_hashed_and_truncated() {
        check(&Transform::Mask("***".into()), "secret", "***");
        check(&Transform::Mask("***".into()), "", "***");
        check(&Transform::Truncate(3), "größe", "grö");
        check(&Transform::Truncate(5), "größe", "größe");
        check(&Transform::Truncate(6), "größe", "größe");
        check(&Transform::Truncate(1), "€uro", "€");
        check(&Transform::Truncate(0), "x", "");
        check(&Transform::Truncate(2), "", "");
        // sha256sum of "pepperalice@example.com"
        check(
            &Transform::Hash("pepper".into()),
            "alice@example.com",
            "8b8d9adc4875c0dca816e3e17b7ac87b45e40945b731fa02e3b42bf101589e21",
        );
    }

    #[test]
    fn the_salt_is_not_shown() {
        let shown = format!("{:?}", Transform::Hash("pepper".into()));
        assert!(!shown.contains("pepper"), "{shown}");
    }
}
