//! Hexadecimal digits.

use super::json::Unexpected;

/// Appends two small digits for each byte.
pub(super) fn write(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    out.extend(nibbles.map(digit));
}

/// Appends the byte of each two digits.
pub(super) fn read(digits: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return Err(Unexpected);
    };
    for [high, low] in pairs {
        out.push(value(*high)? << 4 | value(*low)?);
    }
    Ok(())
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
            let mut found = Vec::new();
            read(&digits, &mut found).unwrap();
            assert_eq!(found, bytes);
        }
        assert_eq!(value(b'g'), Err(Unexpected));
    }
}
