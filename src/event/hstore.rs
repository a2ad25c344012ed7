//! hstore: `"a"=>"1", "b"=>NULL` to `{"a":"1","b":null}`. The server writes each key once, and quotes
//! every key and every value that is not null.

use super::json::{self, Unexpected};
use super::quoted::unquote;

/// A key, or the value behind it.
pub(super) enum Part<'a> {
    Key(&'a [u8]),
    Value(Option<&'a [u8]>),
}

/// Appends an hstore as a JSON object of strings and nulls.
pub(super) fn write(
    text: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let start = out.len();
    each(text, scratch, |part| match part {
        Part::Key(key) => {
            out.push(b',');
            json::string(key, out)?;
            out.push(b':');
            Ok(())
        }
        Part::Value(Some(value)) => json::string(value, out),
        Part::Value(None) => {
            out.extend_from_slice(b"null");
            Ok(())
        }
    })?;
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
    Ok(())
}

/// Goes through the keys and values in their order.
pub(super) fn each(
    text: &[u8],
    scratch: &mut Vec<u8>,
    mut part: impl FnMut(Part<'_>) -> Result<(), Unexpected>,
) -> Result<(), Unexpected> {
    let mut rest = text;
    while !rest.is_empty() {
        let quoted = rest.strip_prefix(b"\"").ok_or(Unexpected)?;
        let (key, after) = unquote(quoted, false, scratch)?;
        part(Part::Key(key))?;
        let value = after.strip_prefix(b"=>").ok_or(Unexpected)?;
        let after = if let Some(quoted) = value.strip_prefix(b"\"") {
            let (value, after) = unquote(quoted, false, scratch)?;
            part(Part::Value(Some(value)))?;
            after
        } else {
            part(Part::Value(None))?;
            value.strip_prefix(b"NULL").ok_or(Unexpected)?
        };
        rest = match after.strip_prefix(b", ") {
            Some(next) if !next.is_empty() => next,
            Some(_) => return Err(Unexpected),
            None if after.is_empty() => after,
            None => return Err(Unexpected),
        };
    }
    Ok(())
}
