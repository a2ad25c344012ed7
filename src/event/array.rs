//! Arrays: `{1,NULL,"a \"b\""}` to `[1,null,"a \"b\""]`.
//!
//! Dimensions nest, each in its own braces; lower bounds other than 1 (`[0:1]={…}`) are left out.
//! An element is quoted when it is empty, reads `NULL`, or holds a brace, delimiter, quote, backslash
//! or white space; a backslash takes the next byte as it is. An unquoted `NULL` is the null.

use super::json::Unexpected;
use super::kind::Kind;
use super::quoted::unquote;
use super::value;

/// PostgreSQL's `MAXDIM`.
pub(super) const DIMENSIONS_MAX: usize = 6;

/// Appends an array of so many dimensions at most as JSON, its elements as `element` says.
pub(super) fn write(
    text: &[u8],
    element: &Kind,
    delimiter: u8,
    dimensions_max: usize,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let mut rest = without_bounds(text)?;
    let mut depth = 0;
    loop {
        // Where an element or a nested array may begin.
        match rest.split_first() {
            Some((b'{', after)) => {
                if depth == dimensions_max {
                    return Err(Unexpected);
                }
                out.push(b'[');
                depth += 1;
                rest = after;
                if !rest.starts_with(b"}") {
                    continue;
                }
            }
            Some(_) if depth > 0 => {
                rest = write_element(rest, element, delimiter, scratch, out)?;
            }
            _ => return Err(Unexpected),
        }
        // After an element or an empty array: close what ends, up to the next delimiter.
        while let Some((b'}', after)) = rest.split_first() {
            if depth == 0 {
                return Err(Unexpected);
            }
            out.push(b']');
            depth -= 1;
            rest = after;
        }
        match rest.split_first() {
            None if depth == 0 => return Ok(()),
            Some((next, after)) if *next == delimiter && depth > 0 => {
                out.push(b',');
                rest = after;
            }
            _ => return Err(Unexpected),
        }
    }
}

fn without_bounds(text: &[u8]) -> Result<&[u8], Unexpected> {
    if !text.starts_with(b"[") {
        return Ok(text);
    }
    let equals = memchr::memchr(b'=', text).ok_or(Unexpected)?;
    text.get(equals + 1..).ok_or(Unexpected)
}

/// Appends one element; gives what follows it.
fn write_element<'a>(
    text: &'a [u8],
    kind: &Kind,
    delimiter: u8,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], Unexpected> {
    // Only an element that has parts of its own unescapes within itself, and it may allocate.
    let unused = &mut Vec::new();
    if let Some(quoted) = text.strip_prefix(b"\"") {
        let (element, rest) = unquote(quoted, false, scratch)?;
        value::write(kind, element, unused, out)?;
        return Ok(rest);
    }
    let end = text
        .iter()
        .position(|byte| *byte == delimiter || *byte == b'}')
        .filter(|end| *end > 0)
        .ok_or(Unexpected)?;
    let (element, rest) = text.split_at(end);
    if element == b"NULL" {
        out.extend_from_slice(b"null");
    } else {
        value::write(kind, element, unused, out)?;
    }
    Ok(rest)
}
