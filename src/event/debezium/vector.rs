//! pgvector: arrays of numbers.

use super::super::json::Unexpected;
use super::number;

/// Appends `[1,2.5]` with each number in Java's text.
fn write(
    text: &[u8],
    number: fn(&[u8], &mut Vec<u8>) -> Result<(), Unexpected>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let inner = text
        .strip_prefix(b"[")
        .and_then(|text| text.strip_suffix(b"]"));
    out.push(b'[');
    for (place, text) in inner
        .ok_or(Unexpected)?
        .split(|byte| *byte == b',')
        .enumerate()
    {
        if place > 0 {
            out.push(b',');
        }
        number(text, out)?;
    }
    out.push(b']');
    Ok(())
}

/// `vector`, whose numbers of 32 bits Debezium gives as ones of 64.
pub(super) fn double(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    write(text, number::double, out)
}

/// `halfvec`, whose numbers of 16 bits Debezium gives as ones of 32.
pub(super) fn single(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    write(text, number::real, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_java_s_text() {
        let mut out = Vec::new();
        double(b"[1,-2.5,1e-07,0.1]", &mut out).unwrap();
        single(b"[3]", &mut out).unwrap();
        assert_eq!(out, b"[1.0,-2.5,1.0E-7,0.1][3.0]");
        for text in [&b""[..], b"[]", b"[1,]", b"1,2", b"[1 ,2]", b"[NaN"] {
            assert_eq!(double(text, &mut Vec::new()), Err(Unexpected));
        }
    }
}
