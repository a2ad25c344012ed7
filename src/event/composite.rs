//! Composites: `(1,,"a ""b""")` to `{"id":1,"note":null,"name":"a \"b\""}`.
//!
//! A field is quoted when it is empty or holds a parenthesis, comma, quote, backslash or white space;
//! nothing at all between two commas is the null. A composite type in use by a table can neither gain nor
//! lose attributes, so a text with fewer or more fields than the type is refused.

use memchr::memchr2;

use super::json::Unexpected;
use super::kind::Kind;
use super::plan::Label;
use super::quoted::write_part;

/// A field of a composite type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// `{"name":` or `,"name":`.
    pub(super) label: Label,
    pub(super) kind: Kind,
}

/// Appends a composite as a JSON object.
pub(super) fn write(text: &[u8], fields: &[Field], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let mut rest = text.strip_prefix(b"(").ok_or(Unexpected)?;
    if fields.is_empty() {
        out.extend_from_slice(b"{}");
        return if rest == b")" {
            Ok(())
        } else {
            Err(Unexpected)
        };
    }
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(b",").ok_or(Unexpected)?;
        }
        field.label.append(out);
        rest = write_part(rest, &field.kind, |text| memchr2(b',', b')', text), out)?;
    }
    out.push(b'}');
    if rest == b")" {
        Ok(())
    } else {
        Err(Unexpected)
    }
}
