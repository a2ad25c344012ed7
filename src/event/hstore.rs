//! hstore: `"a"=>"1", "b"=>NULL` to `{"a":"1","b":null}`. The server writes each key once, and quotes
//! every key and every value that is not null.

use super::json::{self, Unexpected};
use super::quoted::unquote;

/// Appends an hstore as a JSON object of strings and nulls.
pub(super) fn write(
    text: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    out.push(b'{');
    let mut rest = text;
    while !rest.is_empty() {
        let quoted = rest.strip_prefix(b"\"").ok_or(Unexpected)?;
        let (key, after) = unquote(quoted, false, scratch)?;
        json::string(key, out)?;
        out.push(b':');
        let value = after.strip_prefix(b"=>").ok_or(Unexpected)?;
        let after = if let Some(quoted) = value.strip_prefix(b"\"") {
            let (value, after) = unquote(quoted, false, scratch)?;
            json::string(value, out)?;
            after
        } else {
            out.extend_from_slice(b"null");
            value.strip_prefix(b"NULL").ok_or(Unexpected)?
        };
        rest = match after.strip_prefix(b", ") {
            Some(next) if !next.is_empty() => {
                out.push(b',');
                next
            }
            Some(_) => return Err(Unexpected),
            None if after.is_empty() => after,
            None => return Err(Unexpected),
        };
    }
    out.push(b'}');
    Ok(())
}
