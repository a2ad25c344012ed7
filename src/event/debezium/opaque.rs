//! Bytes: `bytea`, and the text of types that Debezium has no form for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

use super::super::hexadecimal;
use super::super::json::Unexpected;
use super::super::value;
use super::{BinaryHandling, number};

/// Whether Debezium takes the type's text apart into numbers and writes them in Java's text: lseg,
/// path, box, polygon, line, circle.
pub(super) fn is_geometric(type_oid: u32) -> bool {
    matches!(type_oid, 601 | 602 | 603 | 604 | 628 | 718)
}

/// `\x00ff` in whatever way bytes are handled.
pub(super) fn bytea(
    text: &[u8],
    handling: BinaryHandling,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    match handling {
        BinaryHandling::Bytes | BinaryHandling::Base64 => value::bytea(text, out),
        BinaryHandling::Hex => {
            let digits = text.strip_prefix(b"\\x").ok_or(Unexpected)?;
            out.push(b'"');
            out.extend_from_slice(digits);
            out.push(b'"');
            Ok(())
        }
        BinaryHandling::Base64UrlSafe => {
            let digits = text.strip_prefix(b"\\x").ok_or(Unexpected)?;
            scratch.clear();
            hexadecimal::read(digits, scratch)?;
            url_safe(scratch, out);
            Ok(())
        }
    }
}

/// Some text as bytes.
pub(super) fn write(
    text: &[u8],
    handling: BinaryHandling,
    geometric: bool,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    if !geometric {
        bytes(text, handling, out);
        return Ok(());
    }
    scratch.clear();
    numbers_as_java(text, scratch)?;
    bytes(scratch, handling, out);
    Ok(())
}

/// Bytes in whatever way they are handled.
pub(in crate::event) fn bytes(bytes: &[u8], handling: BinaryHandling, out: &mut Vec<u8>) {
    match handling {
        BinaryHandling::Bytes | BinaryHandling::Base64 => number::base64(bytes, out),
        BinaryHandling::Base64UrlSafe => url_safe(bytes, out),
        BinaryHandling::Hex => {
            out.push(b'"');
            hexadecimal::write(bytes, out);
            out.push(b'"');
        }
    }
}

fn url_safe(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exactly what it takes.
    let _ = URL_SAFE.encode_slice(bytes, out.get_mut(start..).unwrap_or_default());
    out.push(b'"');
}

/// `((0,0),(1,2.5))` to `((0.0,0.0),(1.0,2.5))`.
fn numbers_as_java(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let is_bracket = |byte: &u8| b"()[]<>{},".contains(byte);
    for part in text.chunk_by(|a, b| !is_bracket(a) && !is_bracket(b)) {
        match part {
            b"NaN" | b"Infinity" | b"-Infinity" => out.extend_from_slice(part),
            [bracket] if is_bracket(bracket) => out.push(*bracket),
            number => number::float(number::parse::<f64>(number)?, out),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_every_way() {
        for (handling, expected) in [
            (BinaryHandling::Bytes, "\"+/8B\""),
            (BinaryHandling::Base64, "\"+/8B\""),
            (BinaryHandling::Base64UrlSafe, "\"-_8B\""),
            (BinaryHandling::Hex, "\"fbff01\""),
        ] {
            let mut out = Vec::new();
            bytea(b"\\xfbff01", handling, &mut Vec::new(), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
            let mut out = Vec::new();
            bytes(&[0xFB, 0xFF, 1], handling, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn coordinates_are_in_java_s_text() {
        for (text, expected) in [
            ("(1,1),(0,0)", "(1.0,1.0),(0.0,0.0)"),
            ("<(1.5,-2),1e+20>", "<(1.5,-2.0),1.0E20>"),
            ("{1,NaN,0}", "{1.0,NaN,0.0}"),
        ] {
            let mut out = Vec::new();
            numbers_as_java(text.as_bytes(), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
