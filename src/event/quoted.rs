//! Quoted parts of PostgreSQL's text forms: records and ranges double a quote, arrays and hstore put a
//! backslash before it; each of them reads both, so one reader serves all.

use super::json::Unexpected;
use super::kind::Kind;
use super::value;

/// Splits after the closing quote of a text whose opening quote has been taken. A part without escapes
/// is not copied.
pub(super) fn unquote<'a, 's>(
    text: &'a [u8],
    doubled: bool,
    scratch: &'s mut Vec<u8>,
) -> Result<(&'s [u8], &'a [u8]), Unexpected>
where
    'a: 's,
{
    let stop = memchr::memchr2(b'"', b'\\', text).ok_or(Unexpected)?;
    let (run, rest) = text.split_at(stop);
    if let Some(after) = rest.strip_prefix(b"\"")
        && !(doubled && after.starts_with(b"\""))
    {
        return Ok((run, after));
    }
    scratch.clear();
    scratch.extend_from_slice(run);
    let mut rest = rest;
    loop {
        let (byte, after) = match rest {
            [b'"', b'"', after @ ..] if doubled => (b'"', after),
            [b'"', after @ ..] => return Ok((scratch, after)),
            [b'\\', byte, after @ ..] => (*byte, after),
            _ => return Err(Unexpected),
        };
        scratch.push(byte);
        let stop = memchr::memchr2(b'"', b'\\', after).ok_or(Unexpected)?;
        let (run, after) = after.split_at(stop);
        scratch.extend_from_slice(run);
        rest = after;
    }
}

/// Appends a field of a composite or a bound of a range, nothing at all being the null; gives what
/// follows it. `end` finds where a part without quotes ends.
pub(super) fn write_part<'a>(
    text: &'a [u8],
    kind: &Kind,
    end: impl FnOnce(&[u8]) -> Option<usize>,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], Unexpected> {
    let (scratch, unused) = (&mut Vec::new(), &mut Vec::new());
    if let Some(quoted) = text.strip_prefix(b"\"") {
        let (part, rest) = unquote(quoted, true, scratch)?;
        value::write(kind, part, unused, out)?;
        return Ok(rest);
    }
    let (part, rest) = text.split_at(end(text).ok_or(Unexpected)?);
    if part.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        value::write(kind, part, unused, out)?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, doubled: bool, part: &str, rest: &str) {
        let mut scratch = Vec::new();
        let found = unquote(text.as_bytes(), doubled, &mut scratch);
        assert_eq!(found, Ok((part.as_bytes(), rest.as_bytes())), "{text}");
    }

    #[test]
    fn both_ways_to_escape_a_quote_are_read() {
        check("plain\",rest", false, "plain", ",rest");
        check("\"", false, "", "");
        check(r#"a\"b\\c"x"#, false, r#"a"b\c"#, "x");
        check(r#"a""b\\c"x"#, true, r#"a"b\c"#, "x");
        check("\"\"\"x", true, "\"", "x");
        // Where quotes are not doubled the next one opens something else.
        check("a\"\"b", false, "a", "\"b");
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for text in ["", "abc", "a\\", "a\\\"", "a\"\""] {
            let mut scratch = Vec::new();
            assert_eq!(
                unquote(text.as_bytes(), true, &mut scratch),
                Err(Unexpected),
                "{text}"
            );
        }
    }
}
