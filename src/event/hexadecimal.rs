//! Hexadecimal digits.

use super::json::Unexpected;

/// Appends two small digits for each byte.
pub(super) fn write(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    out.extend(nibbles.map(digit));
}

/// The value of a digit, large or small.
#[inline]
pub(super) fn value(digit: u8) -> Result<u8, Unexpected> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_back_as_they_were_written() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        let mut digits = Vec::new();
        write(&bytes, &mut digits);
        assert!(digits.starts_with(b"000102") && digits.ends_with(b"feff"));
        for digits in [digits.clone(), digits.to_ascii_uppercase()] {
            let (pairs, rest) = digits.as_chunks::<2>();
            let read = |[high, low]: &[u8; 2]| value(*high).unwrap() << 4 | value(*low).unwrap();
            assert!(rest.is_empty());
            assert_eq!(pairs.iter().map(read).collect::<Vec<_>>(), bytes);
        }
        assert_eq!(value(b'g'), Err(Unexpected));
    }
}
