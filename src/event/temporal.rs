//! Dates and times: PostgreSQL's ISO output to ISO 8601, byte by byte.
//!
//! ```text
//! 2026-11-23 08:00:00.5+00     ─▶ 2026-11-23T08:00:00.500000Z
//! 0044-03-15 12:00:00 BC       ─▶ -0043-03-15T12:00:00.000000     44 BC is the year −43
//! 12345-01-01                  ─▶ +12345-01-01                    expanded years carry a sign
//! ```
//!
//! A timestamp always has six fraction digits, so that equal instants are equal strings. A time of day
//! keeps PostgreSQL's digits.

use super::json::Unexpected;

/// Appends a date as a JSON string.
pub(super) fn date(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    quoted(out, |out| {
        if infinite(text, out) {
            return Ok(());
        }
        match text.strip_suffix(b" BC") {
            Some(date) => day(date, true, out),
            None => day(text, false, out),
        }
    })
}

/// Appends a time of day as a JSON string; `zoned` for `timetz`.
pub(super) fn time(text: &[u8], zoned: bool, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    quoted(out, |out| {
        let clock = Clock::split(text)?;
        out.extend_from_slice(clock.seconds);
        if !clock.fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(clock.fraction);
        }
        zone(clock.zone, zoned, out)
    })
}

/// Appends a timestamp as a JSON string; `zoned` for `timestamptz`.
#[inline]
pub(super) fn timestamp(text: &[u8], zoned: bool, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    match usual_timestamp(text, zoned) {
        // Of constant length, so that it is copied by a few moves and not by a call.
        Some(json) if zoned => out.extend_from_slice(&json),
        Some(json) => {
            out.extend_from_slice(&json);
            out.truncate(out.len() - 2);
            out.push(b'"');
        }
        None => unusual_timestamp(text, zoned, out)?,
    }
    Ok(())
}

/// A four-digit year, in UTC if zoned; `None` for all others.
#[inline]
fn usual_timestamp(text: &[u8], zoned: bool) -> Option<[u8; 29]> {
    let mut json = *br#""0000-00-00T00:00:00.000000Z""#;
    let (year_month, rest) = text.split_first_chunk::<8>()?;
    let ([d1, d2, b' '], rest) = rest.split_first_chunk::<3>()? else {
        return None;
    };
    let (clock, rest) = rest.split_first_chunk::<8>()?;
    let fraction = if zoned {
        rest.strip_suffix(b"+00")?
    } else {
        rest
    };
    let digits = match fraction {
        [] => fraction,
        [b'.', digits @ ..] => digits,
        _ => return None,
    };
    let numeric = has_shape(*year_month, *b"0000-00-")
        && has_shape(*clock, *b"00:00:00")
        && d1.is_ascii_digit()
        && d2.is_ascii_digit();
    if !numeric {
        return None;
    }
    json.get_mut(1..9)?.copy_from_slice(year_month);
    json.get_mut(9..11)?.copy_from_slice(&[*d1, *d2]);
    json.get_mut(12..20)?.copy_from_slice(clock);
    let place = json.get_mut(21..27)?;
    if let Some((digits, [])) = digits.split_first_chunk::<6>() {
        let mut padded = [b'0'; 8];
        *padded.first_chunk_mut::<6>()? = *digits;
        if !has_shape(padded, [b'0'; 8]) {
            return None;
        }
        place.copy_from_slice(digits);
    } else if are_digits(digits) {
        place.get_mut(..digits.len())?.copy_from_slice(digits);
    } else {
        return None;
    }
    Some(json)
}

fn unusual_timestamp(text: &[u8], zoned: bool, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    quoted(out, |out| {
        if infinite(text, out) {
            return Ok(());
        }
        let (text, before_christ) = match text.strip_suffix(b" BC") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let space = memchr::memchr(b' ', text).ok_or(Unexpected)?;
        let (date, clock) = text.split_at_checked(space).ok_or(Unexpected)?;
        let clock = Clock::split(clock.get(1..).unwrap_or_default())?;
        day(date, before_christ, out)?;
        out.push(b'T');
        out.extend_from_slice(clock.seconds);
        out.push(b'.');
        out.extend_from_slice(clock.fraction);
        out.extend_from_slice(b"000000".get(clock.fraction.len()..).unwrap_or_default());
        zone(clock.zone, zoned, out)
    })
}

#[inline]
fn quoted(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Unexpected>,
) -> Result<(), Unexpected> {
    out.push(b'"');
    write(out)?;
    out.push(b'"');
    Ok(())
}

#[inline]
fn infinite(text: &[u8], out: &mut Vec<u8>) -> bool {
    let infinite = matches!(text, b"infinity" | b"-infinity");
    if infinite {
        out.extend_from_slice(text);
    }
    infinite
}

/// Eight bytes, loaded once: whether they are digits where `shape` has a `0`, and otherwise the same.
#[inline]
fn has_shape(bytes: [u8; 8], shape: [u8; 8]) -> bool {
    const NIBBLE: u64 = 0xF0F0_F0F0_F0F0_F0F0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let mut separators = [0; 8];
    for (mask, byte) in separators.iter_mut().zip(shape) {
        *mask = if byte == b'0' { 0 } else { 0xFF };
    }
    let separators = u64::from_le_bytes(separators);
    let (word, shape) = (u64::from_le_bytes(bytes), u64::from_le_bytes(shape));
    // A byte is a digit iff its high nibble is 3, and still is after adding 6.
    let same = (word ^ shape) & separators;
    let low = (word ^ ZEROS) & NIBBLE & !separators;
    let high = (word.wrapping_add(0x0606_0606_0606_0606) ^ ZEROS) & NIBBLE & !separators;
    same | low | high == 0
}

fn are_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

/// Appends a calendar day.
#[inline]
fn day(text: &[u8], before_christ: bool, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if let ([head @ .., a, b], false) = (text, before_christ)
        && let Ok(head) = <[u8; 8]>::try_from(head)
        && has_shape(head, *b"0000-00-")
        && a.is_ascii_digit()
        && b.is_ascii_digit()
    {
        out.extend_from_slice(text);
        return Ok(());
    }
    unusual_day(text, before_christ, out)
}

/// Years before 1 or after 9999.
fn unusual_day(text: &[u8], before_christ: bool, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let year_digits = text.len().checked_sub("-00-00".len()).ok_or(Unexpected)?;
    let (year, rest) = text.split_at_checked(year_digits).ok_or(Unexpected)?;
    let [b'-', m1, m2, b'-', d1, d2] = rest else {
        return Err(Unexpected);
    };
    if !(4..=7).contains(&year_digits) || !are_digits(year) || !are_digits(&[*m1, *m2, *d1, *d2]) {
        return Err(Unexpected);
    }
    let year = year
        .iter()
        .fold(0_u32, |year, digit| year * 10 + u32::from(digit - b'0'));
    let (sign, year) = match (before_christ, year) {
        (true, 0) => return Err(Unexpected),
        (true, 1) => (None, 0),
        (true, year) => (Some(b'-'), year - 1),
        (false, 0..=9999) => (None, year),
        (false, _) => (Some(b'+'), year),
    };
    out.extend(sign);
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(year).as_bytes();
    out.extend_from_slice(
        b"000"
            .get(..4_usize.saturating_sub(digits.len()))
            .unwrap_or_default(),
    );
    out.extend_from_slice(digits);
    out.extend_from_slice(rest);
    Ok(())
}

/// A time of day and what follows it.
struct Clock<'a> {
    /// `HH:MM:SS`.
    seconds: &'a [u8],
    /// The digits after the point, at most six.
    fraction: &'a [u8],
    /// `+HH`, `+HH:MM`, `+HH:MM:SS` or empty.
    zone: &'a [u8],
}

impl<'a> Clock<'a> {
    #[inline]
    fn split(text: &'a [u8]) -> Result<Self, Unexpected> {
        let (seconds, rest) = text.split_first_chunk::<8>().ok_or(Unexpected)?;
        if !has_shape(*seconds, *b"00:00:00") {
            return Err(Unexpected);
        }
        let (fraction, zone) = match rest.split_first() {
            Some((b'.', rest)) => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                rest.split_at(digits)
            }
            _ => (&[][..], rest),
        };
        if fraction.len() > 6 {
            return Err(Unexpected);
        }
        Ok(Clock {
            seconds,
            fraction,
            zone,
        })
    }
}

/// Appends `Z` for UTC, or an offset with its minutes.
#[inline]
fn zone(text: &[u8], zoned: bool, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    match (text, zoned) {
        ([], false) => {}
        (b"+00", true) => out.push(b'Z'),
        ([b'+' | b'-', rest @ ..], true) => {
            if !is_offset(rest) {
                return Err(Unexpected);
            }
            out.extend_from_slice(text);
            if rest.len() == 2 {
                out.extend_from_slice(b":00");
            }
        }
        _ => return Err(Unexpected),
    }
    Ok(())
}

/// `HH`, `HH:MM` or `HH:MM:SS`.
fn is_offset(text: &[u8]) -> bool {
    let mut places = text.iter().enumerate();
    matches!(text.len(), 2 | 5 | 8)
        && places.all(|(place, byte)| match place % 3 {
            2 => *byte == b':',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Unexpected>,
    ) -> Result<String, Unexpected> {
        let mut out = Vec::new();
        write(&mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn timestamps() {
        for (text, zoned, expected) in [
            (
                "2026-11-23 08:00:00.123456+00",
                true,
                "2026-11-23T08:00:00.123456Z",
            ),
            (
                "2026-11-23 08:00:00+00",
                true,
                "2026-11-23T08:00:00.000000Z",
            ),
            ("2026-11-23 08:00:00.5", false, "2026-11-23T08:00:00.500000"),
            (
                "2026-11-23 08:00:00-03",
                true,
                "2026-11-23T08:00:00.000000-03:00",
            ),
            (
                "1900-01-01 00:00:00.1+05:30",
                true,
                "1900-01-01T00:00:00.100000+05:30",
            ),
            (
                "1880-01-01 00:00:00+00:19:32",
                true,
                "1880-01-01T00:00:00.000000+00:19:32",
            ),
            (
                "0044-03-15 12:00:00 BC",
                false,
                "-0043-03-15T12:00:00.000000",
            ),
            (
                "0044-03-15 12:00:00+00 BC",
                true,
                "-0043-03-15T12:00:00.000000Z",
            ),
            (
                "0001-12-31 23:59:59.999999 BC",
                false,
                "0000-12-31T23:59:59.999999",
            ),
            (
                "4713-11-24 00:00:00 BC",
                false,
                "-4712-11-24T00:00:00.000000",
            ),
            ("0001-01-01 00:00:00", false, "0001-01-01T00:00:00.000000"),
            (
                "12345-01-01 00:00:00",
                false,
                "+12345-01-01T00:00:00.000000",
            ),
            (
                "294276-12-31 23:59:59.999999+00",
                true,
                "+294276-12-31T23:59:59.999999Z",
            ),
            ("infinity", false, "infinity"),
            ("-infinity", true, "-infinity"),
        ] {
            let json = written(|out| timestamp(text.as_bytes(), zoned, out));
            assert_eq!(json, Ok(format!("\"{expected}\"")), "{text}");
        }
    }

    #[test]
    fn dates() {
        for (text, expected) in [
            ("2026-11-23", "2026-11-23"),
            ("0044-03-15 BC", "-0043-03-15"),
            ("10001-01-01 BC", "-10000-01-01"),
            ("0001-01-01 BC", "0000-01-01"),
            ("5874897-12-31", "+5874897-12-31"),
            ("-infinity", "-infinity"),
        ] {
            let json = written(|out| date(text.as_bytes(), out));
            assert_eq!(json, Ok(format!("\"{expected}\"")), "{text}");
        }
    }

    #[test]
    fn times_of_day() {
        for (text, zoned, expected) in [
            ("08:00:00", false, "08:00:00"),
            ("08:00:00.5", false, "08:00:00.5"),
            ("24:00:00", false, "24:00:00"),
            ("08:00:00.123456+00", true, "08:00:00.123456Z"),
            ("08:00:00+02", true, "08:00:00+02:00"),
            ("08:00:00-15:59:59", true, "08:00:00-15:59:59"),
        ] {
            let json = written(|out| time(text.as_bytes(), zoned, out));
            assert_eq!(json, Ok(format!("\"{expected}\"")), "{text}");
        }
    }

    #[test]
    fn other_date_styles_are_refused() {
        for text in [
            "",
            "23/11/2026 08:00:00",
            "11-23-2026 08:00:00",
            "Mon 23 Nov 08:00:00 2026",
            "2026-11-23",
            "2026-11-23 08:00",
            "2026-11-23 08:00:00.1234567",
            "2026-11-23 08:00:00.12345x",
            "2026-11-23 08:00:00.x23456+00",
            "2026-11-23 08:00:00.1234x+00",
            "2026-11-23 08:00:00 UTC",
            "2026-11-23 08:00:00+0",
            "2026-11-2: 08:00:00",
            "202\"-11-23 08:00:00",
            "0000-01-01 00:00:00 BC",
        ] {
            for zoned in [false, true] {
                let json = written(|out| timestamp(text.as_bytes(), zoned, out));
                assert_eq!(json, Err(Unexpected), "{text}");
            }
        }
        let accepted = |text: &[u8], zoned| written(|out| timestamp(text, zoned, out)).is_ok();
        assert!(!accepted(b"2026-11-23 08:00:00", true));
        assert!(!accepted(b"2026-11-23 08:00:00+00", false));
        for text in ["", "-", "2026-11", "26-11-23", "2026-11-23 AD"] {
            assert_eq!(
                written(|out| date(text.as_bytes(), out)),
                Err(Unexpected),
                "{text}"
            );
        }
        for text in ["", "08:00", "8:00:00", "08:00:0x", "08:00:00+00"] {
            assert_eq!(
                written(|out| time(text.as_bytes(), false, out)),
                Err(Unexpected),
                "{text}"
            );
        }
    }

    #[test]
    fn only_digits_have_the_shape_of_digits() {
        for byte in 0..=u8::MAX {
            let shaped = has_shape(
                [b'1', b'2', b':', b'0', byte, b':', b'5', b'9'],
                *b"00:00:00",
            );
            assert_eq!(shaped, byte.is_ascii_digit(), "{byte}");
        }
        assert!(!has_shape(*b"12:34-56", *b"00:00:00"));
    }
}
