//! Ranges: `[1,5)` to `{"lower":1,"upper":5,"bounds":"[)","empty":false}`, and multiranges, which are
//! arrays of them.
//!
//! A bound that is absent is unbounded, which is not the same as a bound of `infinity`. An empty range
//! has neither bounds nor brackets.

use memchr::memchr3;

use super::json::Unexpected;
use super::kind::Kind;
use super::quoted::write_part;

const EMPTY: &[u8] = br#"{"lower":null,"upper":null,"bounds":null,"empty":true}"#;

/// Appends a range as a JSON object, its bounds as `element` says.
pub(super) fn write(text: &[u8], element: &Kind, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if text == b"empty" {
        out.extend_from_slice(EMPTY);
        return Ok(());
    }
    let rest = write_range(text, element, out)?;
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Unexpected)
    }
}

/// Appends a multirange as a JSON array of ranges.
pub(super) fn write_multi(
    text: &[u8],
    element: &Kind,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let mut rest = text.strip_prefix(b"{").ok_or(Unexpected)?;
    out.push(b'[');
    if rest != b"}" {
        loop {
            rest = write_range(rest, element, out)?;
            match rest.strip_prefix(b",") {
                Some(after) => rest = after,
                None => break,
            }
            out.push(b',');
        }
    }
    out.push(b']');
    if rest == b"}" {
        Ok(())
    } else {
        Err(Unexpected)
    }
}

/// Appends a range that is not empty; gives what follows it.
fn write_range<'a>(
    text: &'a [u8],
    element: &Kind,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], Unexpected> {
    let (open, rest) = text.split_first().ok_or(Unexpected)?;
    if !matches!(open, b'[' | b'(') {
        return Err(Unexpected);
    }
    out.extend_from_slice(b"{\"lower\":");
    let rest = write_bound(rest, element, out)?;
    let rest = rest.strip_prefix(b",").ok_or(Unexpected)?;
    out.extend_from_slice(b",\"upper\":");
    let rest = write_bound(rest, element, out)?;
    let (close, rest) = rest.split_first().ok_or(Unexpected)?;
    if !matches!(close, b']' | b')') {
        return Err(Unexpected);
    }
    out.extend_from_slice(b",\"bounds\":\"");
    out.extend_from_slice(&[*open, *close]);
    out.extend_from_slice(b"\",\"empty\":false}");
    Ok(rest)
}

fn write_bound<'a>(
    text: &'a [u8],
    element: &Kind,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], Unexpected> {
    write_part(text, element, |text| memchr3(b',', b')', b']', text), out)
}
