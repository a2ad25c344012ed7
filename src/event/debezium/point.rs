//! Points: the coordinates, and the same as well-known binary.

use super::super::json::Unexpected;
use super::number::{base64, float, parse, special};

/// Little-endian, and a point.
const WKB_HEAD: [u8; 5] = [1, 1, 0, 0, 0];

pub(super) fn write(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let inner = text
        .strip_prefix(b"(")
        .and_then(|text| text.strip_suffix(b")"));
    let inner = inner.ok_or(Unexpected)?;
    let comma = memchr::memchr(b',', inner).ok_or(Unexpected)?;
    let (x, y) = inner.split_at(comma);
    let y = y.get(1..).unwrap_or_default();
    let mut wkb = [0; 21];
    let (head, coordinates) = wkb.split_at_mut(WKB_HEAD.len());
    head.copy_from_slice(&WKB_HEAD);
    for ((name, text), bytes) in [("{\"x\":", x), (",\"y\":", y)]
        .into_iter()
        .zip(coordinates.chunks_exact_mut(8))
    {
        out.extend_from_slice(name.as_bytes());
        let value = coordinate(text, out)?;
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(b",\"wkb\":");
    base64(&wkb, out);
    out.extend_from_slice(b",\"srid\":null}");
    Ok(())
}

fn coordinate(text: &[u8], out: &mut Vec<u8>) -> Result<f64, Unexpected> {
    if special(text, out) {
        return Ok(match text {
            b"Infinity" => f64::INFINITY,
            b"-Infinity" => f64::NEG_INFINITY,
            _ => f64::NAN,
        });
    }
    let value: f64 = parse(text)?;
    float(value, out);
    Ok(value)
}
