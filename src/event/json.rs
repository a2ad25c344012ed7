//! Writing JSON: strings and numbers, straight onto the end of the arena.

use super::hexadecimal;

/// A value's text is not what its type promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unexpected;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The first byte that a JSON string can't hold as it is, or the length. Eight bytes at a time: a byte
/// is below `n` iff subtracting `n` from it borrows, and the lowest borrow, the only one looked at, is
/// never a false one.
fn first_special(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_or_high(*word) & !u64::from_le_bytes(*word) & HIGH;
        if special != 0 {
            return index * 8 + (special.trailing_zeros() / 8) as usize;
        }
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    text.len() - tail.len() + tail.iter().position(special).unwrap_or(tail.len())
}

/// Whether `text` is ASCII and stands in a JSON string as it is. The last bytes are looked at in a
/// word that overlaps the one before, so that there is no tail.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    let (words, _) = text.as_chunks::<8>();
    match (words, text.last_chunk::<8>()) {
        (words, Some(last)) => {
            let special = words.iter().fold(special_or_high(*last), |special, word| {
                special | special_or_high(*word)
            });
            special & HIGH == 0
        }
        (_, None) => text
            .iter()
            .all(|byte| (0x20..0x80).contains(byte) && *byte != b'"' && *byte != b'\\'),
    }
}

/// A high bit in some byte iff some byte of the word is special or not ASCII.
#[inline]
fn special_or_high(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    word | control | quote | backslash
}

/// Appends `text` as a JSON string.
#[inline]
pub(super) fn string(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    out.push(b'"');
    escaped(text, out)?;
    out.push(b'"');
    Ok(())
}

/// Appends `text` as it stands inside a JSON string.
#[inline]
pub(super) fn escaped(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if is_plain(text) {
        out.extend_from_slice(text);
        return Ok(());
    }
    escape_special(text, out)
}

fn escape_special(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if std::str::from_utf8(text).is_err() {
        return Err(Unexpected);
    }
    escape_runs(text, out);
    Ok(())
}

fn escape_runs(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let (run, rest) = text.split_at(first_special(text));
        out.extend_from_slice(run);
        let Some((special, rest)) = rest.split_first() else {
            return;
        };
        escape(*special, out);
        text = rest;
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            hexadecimal::write(&[byte], out);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends an integer's digits.
#[inline]
pub(super) fn number(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Whether `text` is a JSON number without fraction and exponent.
#[inline]
pub(super) fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [] | [b'0', _, ..] => false,
        _ => digits.iter().all(u8::is_ascii_digit),
    }
}

/// Whether `text` is a JSON number.
pub(super) fn is_number(text: &[u8]) -> bool {
    let exponent = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (
            mantissa.get(..at).unwrap_or_default(),
            mantissa.get(at + 1..),
        ),
        None => (mantissa, None),
    };
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    is_integer(whole)
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|part| {
            digits(
                part.strip_prefix(b"+")
                    .or(part.strip_prefix(b"-"))
                    .unwrap_or(part),
            )
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &[u8]) -> Result<String, Unexpected> {
        let mut out = Vec::new();
        string(text, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_special_byte_is_escaped_at_every_offset() {
        for byte in 0..0x80 {
            for before in 0..20 {
                let text = format!("{}{}tail", "x".repeat(before), char::from(byte));
                let json = written(text.as_bytes()).unwrap();
                assert_eq!(
                    serde_json::from_str::<String>(&json).unwrap(),
                    text,
                    "{json}"
                );
            }
        }
        assert_eq!(
            written(b"a\"\\\n\x01\x7f").unwrap(),
            "\"a\\\"\\\\\\n\\u0001\x7f\""
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_at_every_offset() {
        for before in 0..20 {
            let text = [&vec![b'x'; before][..], b"\xC3\x28\""].concat();
            assert_eq!(written(&text), Err(Unexpected), "{before}");
        }
    }

    #[test]
    fn numbers() {
        for text in ["0", "-0", "12", "-1.5", "1e+16", "1.5e-07", "1E5", "0.001"] {
            assert!(is_number(text.as_bytes()), "{text}");
        }
        for text in [
            "", "-", "+1", "01", ".5", "1.", "1e", "1e+", "NaN", "1.2.3", "1e5e5", "1 ",
        ] {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
        for (text, expected) in [("7", true), ("-7", true), ("07", false), ("1.0", false)] {
            assert_eq!(is_integer(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn strings_round_trip(text in "(\\PC|[\\x00-\\x1f\"\\\\]|[\u{80}-\u{10ffff}]){0,60}") {
            let json = written(text.as_bytes()).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
