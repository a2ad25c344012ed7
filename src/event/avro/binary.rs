//! JSON to Avro's binary form, in one pass along the schema.
//!
//! The JSON is the encoder's own: no white space, members in the schema's order, absent ones optional. So
//! a member is found by comparing its label with what comes next, and nothing is looked up.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr2;

use super::node::{Branch, Node, NodeField};

/// JSON that is not of its schema; the innermost field, where it is in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::event) struct Misfit<'n>(pub(in crate::event) Option<&'n str>);

type Written<'n, 'j> = Result<&'j [u8], Misfit<'n>>;

/// Appends the JSON value in binary form.
pub(in crate::event) fn write<'n>(
    node: &'n Node,
    json: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Misfit<'n>> {
    match value(node, json, out)? {
        [] => Ok(()),
        _ => Err(Misfit(None)),
    }
}

/// Appends one value; gives what follows it.
fn value<'n, 'j>(node: &'n Node, json: &'j [u8], out: &mut Vec<u8>) -> Written<'n, 'j> {
    match node {
        Node::Boolean => boolean(json, out),
        Node::Integer => integer(json, out),
        Node::Float | Node::Double => float(node, json, out),
        Node::Bytes => bytes(json, out),
        Node::String => string(json, out),
        Node::Optional { null, value: inner } => {
            let (for_null, for_value) = match null {
                Branch::First => (0, 2),
                Branch::Second => (2, 0),
            };
            if let Some(rest) = json.strip_prefix(b"null") {
                out.push(for_null);
                return Ok(rest);
            }
            out.push(for_value);
            value(inner, json, out)
        }
        Node::Array(element) => {
            let rest = json.strip_prefix(b"[").ok_or(Misfit(None))?;
            block(rest, b']', out, |rest, out| value(element, rest, out))
        }
        Node::Map(member) => {
            let rest = json.strip_prefix(b"{").ok_or(Misfit(None))?;
            block(rest, b'}', out, |rest, out| {
                let rest = string(rest, out)?;
                let rest = rest.strip_prefix(b":").ok_or(Misfit(None))?;
                value(member, rest, out)
            })
        }
        Node::Record(fields) => record(fields, json, out),
    }
}

fn record<'n, 'j>(fields: &'n [NodeField], json: &'j [u8], out: &mut Vec<u8>) -> Written<'n, 'j> {
    let mut rest = json.strip_prefix(b"{").ok_or(Misfit(None))?;
    for field in fields {
        match rest.strip_prefix(&*field.label) {
            Some(after) => {
                let after = value(&field.node, after, out)
                    .map_err(|Misfit(inner)| Misfit(inner.or(Some(&field.name))))?;
                rest = after.strip_prefix(b",").unwrap_or(after);
            }
            None => absent(field, out)?,
        }
    }
    rest.strip_prefix(b"}").ok_or(Misfit(None))
}

fn absent<'n>(field: &'n NodeField, out: &mut Vec<u8>) -> Result<(), Misfit<'n>> {
    match &field.node {
        Node::Optional { .. } => value(&field.node, b"null", out).map(|_| ()),
        Node::Boolean
        | Node::Integer
        | Node::Float
        | Node::Double
        | Node::Bytes
        | Node::String
        | Node::Array(_)
        | Node::Map(_)
        | Node::Record(_) => Err(Misfit(Some(&field.name))),
    }
}

/// Appends items up to `end` as one block: their number comes first, so it is put there afterwards.
fn block<'n, 'j>(
    mut rest: &'j [u8],
    end: u8,
    out: &mut Vec<u8>,
    mut item: impl FnMut(&'j [u8], &mut Vec<u8>) -> Written<'n, 'j>,
) -> Written<'n, 'j> {
    let start = out.len();
    let mut count = 0;
    loop {
        match rest.split_first() {
            Some((next, after)) if *next == end => {
                rest = after;
                break;
            }
            Some((b',', after)) if count > 0 => rest = item(after, out)?,
            Some(_) if count == 0 => rest = item(rest, out)?,
            _ => return Err(Misfit(None)),
        }
        count += 1;
    }
    if count > 0 {
        let (varint, length) = varint(count);
        out.splice(start..start, varint.into_iter().take(length));
    }
    out.push(0);
    Ok(rest)
}

fn boolean<'j>(json: &'j [u8], out: &mut Vec<u8>) -> Written<'static, 'j> {
    if let Some(rest) = json.strip_prefix(b"true") {
        out.push(1);
        return Ok(rest);
    }
    out.push(0);
    json.strip_prefix(b"false").ok_or(Misfit(None))
}

/// An integer of 64 bits; an unsigned one, as a log position may be, keeps its bits.
fn integer<'j>(json: &'j [u8], out: &mut Vec<u8>) -> Written<'static, 'j> {
    let (negative, digits) = match json.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, json),
    };
    let mut magnitude: u64 = 0;
    let mut length = 0;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        magnitude = magnitude
            .checked_mul(10)
            .and_then(|shifted| shifted.checked_add(u64::from(digit - b'0')))
            .ok_or(Misfit(None))?;
        length += 1;
    }
    if length == 0 {
        return Err(Misfit(None));
    }
    let number = magnitude.cast_signed();
    long(
        if negative {
            number.wrapping_neg()
        } else {
            number
        },
        out,
    );
    Ok(digits.get(length..).unwrap_or_default())
}

/// A number of floating point, or one of the words that JSON has no number for.
fn float<'n, 'j>(node: &Node, json: &'j [u8], out: &mut Vec<u8>) -> Written<'n, 'j> {
    let (text, rest) = if let Some(quoted) = json.strip_prefix(b"\"") {
        let end = memchr::memchr(b'"', quoted).ok_or(Misfit(None))?;
        let (word, rest) = quoted.split_at(end);
        if !matches!(word, b"NaN" | b"Infinity" | b"-Infinity") {
            return Err(Misfit(None));
        }
        (word, rest.get(1..).unwrap_or_default())
    } else {
        let number = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        json.split_at(json.iter().take_while(number).count())
    };
    let text = std::str::from_utf8(text).map_err(|_| Misfit(None))?;
    if *node == Node::Float {
        let number: f32 = text.parse().map_err(|_| Misfit(None))?;
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        let number: f64 = text.parse().map_err(|_| Misfit(None))?;
        out.extend_from_slice(&number.to_le_bytes());
    }
    Ok(rest)
}

fn bytes<'j>(json: &'j [u8], out: &mut Vec<u8>) -> Written<'static, 'j> {
    let quoted = json.strip_prefix(b"\"").ok_or(Misfit(None))?;
    let end = memchr::memchr(b'"', quoted).ok_or(Misfit(None))?;
    let (text, rest) = quoted.split_at(end);
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let length = (text.len() / 4 * 3)
        .checked_sub(padding)
        .ok_or(Misfit(None))?;
    count(length, out);
    let start = out.len();
    out.resize(start + length, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let decoded = STANDARD.decode_slice(text, room);
    if decoded != Ok(length) {
        return Err(Misfit(None));
    }
    Ok(rest.get(1..).unwrap_or_default())
}

/// A string: its length in bytes comes first, so one with escapes is measured before it is written.
fn string<'j>(json: &'j [u8], out: &mut Vec<u8>) -> Written<'static, 'j> {
    let quoted = json.strip_prefix(b"\"").ok_or(Misfit(None))?;
    let plain = memchr2(b'"', b'\\', quoted).ok_or(Misfit(None))?;
    let (text, rest) = quoted.split_at(plain);
    if let Some(rest) = rest.strip_prefix(b"\"") {
        count(text.len(), out);
        out.extend_from_slice(text);
        return Ok(rest);
    }
    let mut length = 0;
    unescape(quoted, |part| length += part.len())?;
    count(length, out);
    unescape(quoted, |part| out.extend_from_slice(part))
}

/// Hands over the parts of a string without its escapes; gives what follows the closing quote.
fn unescape(mut rest: &[u8], mut part: impl FnMut(&[u8])) -> Written<'static, '_> {
    loop {
        let run = memchr2(b'"', b'\\', rest).ok_or(Misfit(None))?;
        let (text, after) = rest.split_at(run);
        part(text);
        if let Some(after) = after.strip_prefix(b"\"") {
            return Ok(after);
        }
        let (character, after) = escape(after.get(1..).unwrap_or_default())?;
        part(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = after;
    }
}

/// The character of an escape, behind its backslash.
fn escape(json: &[u8]) -> Result<(char, &[u8]), Misfit<'static>> {
    let (letter, rest) = json.split_first().ok_or(Misfit(None))?;
    let character = match letter {
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'"' | b'\\' | b'/' => char::from(*letter),
        b'u' => return unicode(rest),
        _ => return Err(Misfit(None)),
    };
    Ok((character, rest))
}

/// Four digits, or two times four with an escape between: a pair of surrogates.
fn unicode(json: &[u8]) -> Result<(char, &[u8]), Misfit<'static>> {
    let (first, rest) = unit(json)?;
    if !(0xD800..0xDC00).contains(&first) {
        let character = char::from_u32(first).ok_or(Misfit(None))?;
        return Ok((character, rest));
    }
    let (second, rest) = unit(rest.strip_prefix(b"\\u").ok_or(Misfit(None))?)?;
    let low = second.checked_sub(0xDC00).ok_or(Misfit(None))?;
    let character = char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + low);
    Ok((character.ok_or(Misfit(None))?, rest))
}

fn unit(json: &[u8]) -> Result<(u32, &[u8]), Misfit<'static>> {
    let (digits, rest) = json.split_first_chunk::<4>().ok_or(Misfit(None))?;
    let mut unit = 0;
    for digit in digits {
        unit = unit << 4 | char::from(*digit).to_digit(16).ok_or(Misfit(None))?;
    }
    Ok((unit, rest))
}

/// A length; memory holds none that is not a `long`.
fn count(length: usize, out: &mut Vec<u8>) {
    long(i64::try_from(length).unwrap_or(i64::MAX), out);
}

#[inline]
fn long(number: i64, out: &mut Vec<u8>) {
    let (bytes, length) = varint(number);
    out.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

/// Zigzag, then seven bits a byte, the lowest first.
#[inline]
fn varint(number: i64) -> ([u8; 10], usize) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = [0; 10];
    let mut length = 0;
    for byte in &mut bytes {
        length += 1;
        let low = u8::try_from(rest & 0x7F).unwrap_or_default();
        rest >>= 7;
        if rest == 0 {
            *byte = low;
            break;
        }
        *byte = low | 0x80;
    }
    (bytes, length)
}
