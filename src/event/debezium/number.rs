//! Numbers: decimals as the bytes of Java's `BigDecimal`, floats in Java's text.

use std::fmt::LowerExp;
use std::io::Write;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::json::{self, Unexpected};
use super::{DecimalHandling, Form};

/// Decimal digits that are taken in one step: 10⁹ times a byte and a carry are far below 2⁶⁴.
const CHUNK: usize = 9;

/// The form of a numeric with that modifier, which is 4 more than `precision << 16 | scale`.
pub(super) fn of_modifier(modifier: i32, handling: DecimalHandling) -> Form {
    let scale = match modifier.checked_sub(4) {
        // Eleven bits; a negative scale is taken for a large one, as Debezium does.
        Some(packed @ 0..) => usize::try_from(packed & 0x7FF).ok(),
        _ => None,
    };
    match (handling, scale) {
        (DecimalHandling::Precise, Some(scale)) => Form::Decimal { scale },
        (DecimalHandling::Precise, None) => Form::VariableDecimal,
        (DecimalHandling::Double, _) => Form::DecimalDouble,
        (DecimalHandling::String, scale) => Form::DecimalText {
            scale: scale.unwrap_or_default(),
        },
    }
}

/// A numeric of fixed scale. NaN is null.
pub(super) fn decimal(
    text: &[u8],
    scale: usize,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let Some(number) = Decimal::parse(text)? else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    let zeros = scale.checked_sub(number.fraction.len()).ok_or(Unexpected)?;
    number.unscaled(zeros, scratch);
    base64(scratch, out);
    Ok(())
}

/// A numeric of any scale, without trailing zeros. NaN and infinities are null.
pub(super) fn variable_decimal(
    text: &[u8],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let Some(mut number) = Decimal::parse(text)? else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    while let Some(shorter) = number.fraction.strip_suffix(b"0") {
        number.fraction = shorter;
    }
    out.extend_from_slice(b"{\"scale\":");
    json::number(number.fraction.len(), out);
    out.extend_from_slice(b",\"value\":");
    number.unscaled(0, scratch);
    base64(scratch, out);
    out.push(b'}');
    Ok(())
}

/// A numeric as floating-point number.
pub(super) fn decimal_double(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if special(text, out) {
        return Ok(());
    }
    let value = parse_any::<f64>(text)?;
    if value.is_infinite() {
        let word: &[u8] = if value > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        };
        special(word, out);
    } else {
        float(value, out);
    }
    Ok(())
}

/// A numeric's digits as a string, with zeros up to its scale.
pub(super) fn decimal_text(text: &[u8], scale: usize, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let word = match text {
        b"NaN" => &b"\"NAN\""[..],
        b"Infinity" => b"\"POSITIVE_INFINITY\"",
        b"-Infinity" => b"\"NEGATIVE_INFINITY\"",
        _ => b"",
    };
    if !word.is_empty() {
        out.extend_from_slice(word);
        return Ok(());
    }
    let digits = Decimal::parse(text)?.map_or(0, |number| number.fraction.len());
    out.push(b'"');
    out.extend_from_slice(text);
    if digits == 0 && scale > 0 {
        out.push(b'.');
    }
    out.resize(out.len() + scale.saturating_sub(digits), b'0');
    out.push(b'"');
    Ok(())
}

/// A numeric's digits as a number of its scale.
pub(super) fn header_decimal(
    text: &[u8],
    scale: usize,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let start = out.len();
    decimal_text(text, scale, out)?;
    out.pop();
    out.remove(start);
    Ok(())
}

/// Money as `lc_monetary = 'C'` writes it: `-$1,234.56`.
pub(super) fn money(
    text: &[u8],
    handling: DecimalHandling,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let text = text.strip_prefix(b"$").ok_or(Unexpected)?;
    let ([whole @ .., b'.', tenths, hundredths], true) = (text, text.len() > 3) else {
        return Err(Unexpected);
    };
    scratch.clear();
    scratch.extend(negative.then_some(b'-'));
    scratch.extend(whole.iter().filter(|byte| **byte != b','));
    scratch.extend_from_slice(&[b'.', *tenths, *hundredths]);
    // No more than nineteen digits, as a bigint has them.
    let mut digits = [0; 24];
    let digits = digits.get_mut(..scratch.len()).ok_or(Unexpected)?;
    digits.copy_from_slice(scratch);
    match handling {
        DecimalHandling::Precise => decimal(digits, 2, scratch, out),
        DecimalHandling::Double => decimal_double(digits, out),
        DecimalHandling::String => decimal_text(digits, 2, out),
    }
}

struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// `None` for NaN and infinities.
    fn parse(text: &'a [u8]) -> Result<Option<Self>, Unexpected> {
        if matches!(text, b"NaN" | b"Infinity" | b"-Infinity") {
            return Ok(None);
        }
        let (negative, digits) = match text.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = match memchr::memchr(b'.', digits) {
            Some(point) => (
                digits.get(..point).unwrap_or_default(),
                digits.get(point + 1..).unwrap_or_default(),
            ),
            None => (digits, &[][..]),
        };
        let valid = !whole.is_empty() && whole.iter().chain(fraction).all(u8::is_ascii_digit);
        if !valid {
            return Err(Unexpected);
        }
        Ok(Some(Decimal {
            negative,
            whole,
            fraction,
        }))
    }

    /// The digits without their point and with so many zeros behind, as big-endian bytes.
    fn unscaled(&self, zeros: usize, bytes: &mut Vec<u8>) {
        bytes.clear();
        for part in [self.whole, self.fraction] {
            for chunk in part.chunks(CHUNK) {
                let value = chunk
                    .iter()
                    .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
                multiply_and_add(bytes, power_of_ten(chunk.len()), value);
            }
        }
        for done in (0..zeros).step_by(CHUNK) {
            multiply_and_add(bytes, power_of_ten(CHUNK.min(zeros - done)), 0);
        }
        complement(self.negative, bytes);
    }
}

fn power_of_ten(exponent: usize) -> u64 {
    (0..exponent).fold(1, |power, _| power * 10)
}

/// On little-endian bytes without leading zeros.
#[expect(clippy::cast_possible_truncation)] // the carry keeps the rest
fn multiply_and_add(bytes: &mut Vec<u8>, factor: u64, summand: u64) {
    let mut carry = summand;
    for byte in bytes.iter_mut() {
        carry += u64::from(*byte) * factor;
        *byte = carry as u8;
        carry >>= 8;
    }
    while carry > 0 {
        bytes.push(carry as u8);
        carry >>= 8;
    }
}

/// From a little-endian magnitude to the shortest big-endian two's complement: −n is the complement of
/// n − 1.
fn complement(negative: bool, bytes: &mut Vec<u8>) {
    let negative = negative && !bytes.is_empty();
    if negative {
        for byte in bytes.iter_mut() {
            let borrow = *byte == 0;
            *byte = byte.wrapping_sub(1);
            if !borrow {
                break;
            }
        }
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
    }
    if bytes.last().is_none_or(|byte| *byte >= 0x80) {
        bytes.push(0);
    }
    if negative {
        for byte in bytes.iter_mut() {
            *byte = !*byte;
        }
    }
    bytes.reverse();
}

/// Appends bytes as a base64 string.
pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exactly what it takes.
    let _ = STANDARD.encode_slice(bytes, out.get_mut(start..).unwrap_or_default());
    out.push(b'"');
}

pub(super) fn real(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if special(text, out) {
        return Ok(());
    }
    float(parse::<f32>(text)?, out);
    Ok(())
}

pub(super) fn double(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    if special(text, out) {
        return Ok(());
    }
    float(parse::<f64>(text)?, out);
    Ok(())
}

/// Appends a finite number as `Double.toString` or `Float.toString` writes it.
pub(super) fn float<T: LowerExp + FromStr + PartialEq>(value: T, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing to memory does not fail.
    let _ = write!(out, "{value:e}");
    let written = out.get(start..).unwrap_or_default();
    let exponent = memchr::memchr(b'e', written).unwrap_or(written.len());
    match memchr::memchr(b'.', written) {
        None => {
            // Java always writes two digits, and the closest two.
            out.truncate(start);
            let _ = write!(out, "{value:.1e}");
        }
        Some(point) if is_odd(written.get(exponent - 1)) => {
            even(&value, exponent - point - 1, start, out);
        }
        Some(_) => {}
    }
    as_java(start, out);
}

fn is_odd(digit: Option<&u8>) -> bool {
    digit.is_some_and(|digit| digit % 2 == 1)
}

/// Of two numbers with so few digits that are equally close, Java takes the even one, if that is still the same
/// number; here the other one was written.
fn even<T: LowerExp + FromStr + PartialEq>(
    value: &T,
    fraction: usize,
    start: usize,
    out: &mut Vec<u8>,
) {
    let end = out.len();
    // With a number of digits it is rounded to even.
    let _ = write!(out, "{value:.fraction$e}");
    let rounded = out.get(end..).unwrap_or_default();
    let same = std::str::from_utf8(rounded).is_ok_and(|text| {
        let parsed = text.parse::<T>();
        parsed.is_ok_and(|parsed| parsed == *value)
    });
    if same {
        out.drain(start..end);
    } else {
        out.truncate(end);
    }
}

/// Appends the words that JSON has no number for, as strings.
pub(super) fn special(text: &[u8], out: &mut Vec<u8>) -> bool {
    let special = matches!(text, b"NaN" | b"Infinity" | b"-Infinity");
    if special {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    }
    special
}

/// A finite number: one beyond the type's range is none that PostgreSQL has in it.
pub(super) fn parse<T: FromStr + Into<f64> + Copy>(text: &[u8]) -> Result<T, Unexpected> {
    let value = parse_any::<T>(text)?;
    if value.into().is_finite() {
        Ok(value)
    } else {
        Err(Unexpected)
    }
}

fn parse_any<T: FromStr>(text: &[u8]) -> Result<T, Unexpected> {
    if !json::is_number(text) {
        return Err(Unexpected);
    }
    let text = std::str::from_utf8(text).map_err(|_| Unexpected)?;
    text.parse().map_err(|_| Unexpected)
}

/// Rewrites `d.ddde-5`, from `start` on, as Java does: without exponent from 0.001 to 10⁷, else with a
/// capital letter.
fn as_java(start: usize, out: &mut Vec<u8>) {
    let mut text = [0; 40];
    let length = out.len() - start;
    let (Some(copy), Some(written)) = (text.get_mut(..length), out.get(start..)) else {
        return;
    };
    copy.copy_from_slice(written);
    let (negative, number) = match copy.strip_prefix(b"-") {
        Some(number) => (true, number),
        None => (false, &*copy),
    };
    let Some(at) = memchr::memchr(b'e', number) else {
        return;
    };
    let (mantissa, exponent) = number.split_at(at);
    let exponent = std::str::from_utf8(exponent.get(1..).unwrap_or_default());
    let exponent: i32 = exponent
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let (first, rest) = mantissa.split_at(1);
    let fraction = rest.strip_prefix(b".").unwrap_or_default();
    out.truncate(start);
    if negative {
        out.push(b'-');
    }
    let zero = (first, fraction) == (b"0", b"0");
    match usize::try_from(exponent) {
        _ if zero => out.extend_from_slice(b"0.0"),
        Ok(places @ 0..7) => plain(first, fraction, places, out),
        Err(_) if exponent >= -3 => {
            out.extend_from_slice(b"0.");
            for _ in exponent..-1 {
                out.push(b'0');
            }
            out.extend_from_slice(first);
            if fraction != b"0" {
                out.extend_from_slice(fraction);
            }
        }
        _ => {
            out.extend_from_slice(mantissa);
            out.push(b'E');
            json::number(exponent, out);
        }
    }
}

/// The point moved by so many places to the right.
fn plain(first: &[u8], fraction: &[u8], places: usize, out: &mut Vec<u8>) {
    let (before, after) = fraction.split_at(places.min(fraction.len()));
    out.extend_from_slice(first);
    out.extend_from_slice(before);
    for _ in before.len()..places {
        out.push(b'0');
    }
    out.push(b'.');
    out.extend_from_slice(if after.is_empty() { b"0" } else { after });
}
