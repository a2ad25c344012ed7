//! One column value: PostgreSQL's text in, JSON out.

use super::json::{self, Unexpected};
use super::kind::Kind;
use super::selection::Transform;
use super::{array, composite, debezium, hexadecimal, hstore, range, temporal};

/// Appends the JSON form of a value. `scratch` holds unescaped array elements and is reused.
#[inline]
pub(super) fn write(
    kind: &Kind,
    text: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    match kind {
        Kind::Text => json::string(text, out),
        Kind::Plain => plain(text, out),
        Kind::Integer => integer(text, out),
        Kind::TimestampTz => temporal::timestamp(text, true, out),
        Kind::Timestamp => temporal::timestamp(text, false, out),
        Kind::Boolean => boolean(text, out),
        Kind::Float => float(text, out),
        Kind::Date => temporal::date(text, out),
        Kind::Time => temporal::time(text, false, out),
        Kind::TimeTz => temporal::time(text, true, out),
        Kind::Bytea => bytea(text, out),
        Kind::Array {
            element,
            delimiter,
            dimensions_max,
        } => array::write(text, element, *delimiter, *dimensions_max, scratch, out),
        Kind::Composite(fields) => composite::write(text, fields, out),
        Kind::Range(element) => range::write(text, element, out),
        Kind::Multirange(element) => range::write_multi(text, element, out),
        Kind::Hstore => hstore::write(text, scratch, out),
        Kind::Excluded => Ok(()),
        Kind::Transformed(transformed) => write_transformed(transformed, text, scratch, out),
        Kind::Debezium(form) => debezium::write(form, text, scratch, out),
    }
}

#[cold]
fn write_transformed(
    (transform, kind): &(Transform, Kind),
    text: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let mut transformed = std::mem::take(scratch);
    transform.apply(text, &mut transformed);
    let written = write(kind, &transformed, scratch, out);
    *scratch = transformed;
    written
}

/// Looked at all the same: the bytes come over a network.
#[inline]
fn plain(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if !json::is_plain(text) {
        return Err(Unexpected);
    }
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
    Ok(())
}

#[inline]
pub(super) fn integer(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if !json::is_integer(text) {
        return Err(Unexpected);
    }
    out.extend_from_slice(text);
    Ok(())
}

#[inline]
pub(super) fn boolean(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    out.extend_from_slice(match text {
        b"t" => b"true",
        b"f" => b"false",
        _ => return Err(Unexpected),
    });
    Ok(())
}

/// With `extra_float_digits` of 1 or more PostgreSQL writes the shortest text that reads back the
/// same, and it is a JSON number as it stands.
fn float(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if matches!(text, b"NaN" | b"Infinity" | b"-Infinity") {
        return json::string(text, out);
    }
    if !json::is_number(text) {
        return Err(Unexpected);
    }
    out.extend_from_slice(text);
    Ok(())
}

/// Hexadecimal (`\x0aff`) to base64: six digits are three bytes are four letters.
pub(super) fn bytea(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let digits = text.strip_prefix(b"\\x").ok_or(Unexpected)?;
    if !digits.len().is_multiple_of(2) {
        return Err(Unexpected);
    }
    out.push(b'"');
    for group in digits.chunks(6) {
        let mut bits = 0;
        for digit in group {
            bits = bits << 4 | u32::from(hexadecimal::value(*digit)?);
        }
        bits <<= 24 - 4 * group.len();
        let mut letters = [18, 12, 6, 0].map(|shift| base64_letter(bits >> shift));
        if group.len() < 6 {
            letters[3] = b'=';
        }
        if group.len() < 4 {
            letters[2] = b'=';
        }
        out.extend_from_slice(&letters);
    }
    out.push(b'"');
    Ok(())
}

fn base64_letter(bits: u32) -> u8 {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    LETTERS
        .get((bits & 63) as usize)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
