//! Quoting for SQL text: the one place where a name becomes part of a statement.

/// `name` as a quoted identifier: `a"b` becomes `"a""b"`.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a string literal, safe whatever `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_cannot_escape_their_quotes() {
        for (name, quoted) in [("orders", "\"orders\""), ("a\"; drop", "\"a\"\"; drop\"")] {
            assert_eq!(quote_identifier(name), quoted);
        }
    }

    #[test]
    fn literals_cannot_escape_their_quotes() {
        for (text, quoted) in [("it's", "'it''s'"), ("a\\'b", " E'a\\\\''b'"), ("", "''")] {
            assert_eq!(quote_literal(text), quoted);
        }
    }
}
