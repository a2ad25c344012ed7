//! Dates, times and intervals as Debezium counts them (`time.precision.mode=adaptive`).

use std::io::Write;

use super::super::json::{self, Unexpected};
use super::super::temporal;

const DAY_US: i64 = 86_400_000_000;
/// What the JDBC driver takes for an infinite timestamp, microseconds since 1970.
const FOREVER_US: i64 = 9_223_372_036_825_200_000;
const NEVER_US: i64 = -9_223_372_036_832_400_000;
/// What becomes of an infinite date while streaming, as it overflows.
const FOREVER_DAYS: i64 = -2_147_472_692;
const NEVER_DAYS: i64 = -2_147_472_691;

/// What a timestamp is counted in.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Millis,
    Micros,
}

pub(super) fn date(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let days = match text {
        b"infinity" => FOREVER_DAYS,
        b"-infinity" => NEVER_DAYS,
        _ => days(text)?,
    };
    json::number(days, out);
    Ok(())
}

/// A time of day in units of so many microseconds.
pub(super) fn time(text: &[u8], unit_us: i64, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let (clock_us, rest) = clock_us(text)?;
    if !rest.is_empty() {
        return Err(Unexpected);
    }
    json::number(clock_us / unit_us, out);
    Ok(())
}

pub(super) fn timestamp(text: &[u8], unit: Unit, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let infinite = match text {
        b"infinity" => Some(FOREVER_US),
        b"-infinity" => Some(NEVER_US),
        _ => None,
    };
    let value = match (infinite, unit) {
        (Some(us), Unit::Micros) => us,
        (Some(us), Unit::Millis) => us / 1000,
        (None, unit) => {
            let (seconds, fraction_us) = since_1970(text)?;
            match unit {
                Unit::Millis => seconds * 1000 + fraction_us / 1000,
                // As Java does it: the seconds saturate, and the fraction may then wrap around.
                Unit::Micros => seconds.saturating_mul(1_000_000).wrapping_add(fraction_us),
            }
        }
    };
    json::number(value, out);
    Ok(())
}

/// A timestamp with time zone, from a session in UTC.
pub(super) fn zoned_timestamp(
    text: &[u8],
    fraction_digits: usize,
    out: &mut Vec<u8>,
) -> Result<(), Unexpected> {
    temporal::timestamp(text, true, out)?;
    if fraction_digits < 6 && out.ends_with(b"Z\"") {
        let point = out.len() - br#".000000Z""#.len();
        out.truncate(match fraction_digits {
            0 => point,
            digits => point + 1 + digits,
        });
        out.extend_from_slice(b"Z\"");
    }
    Ok(())
}

/// A time of day with time zone, in UTC.
pub(super) fn zoned_time(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let (clock_us, zone) = clock_us(text)?;
    let (sign, zone) = zone.split_first().ok_or(Unexpected)?;
    let mut offset_us = 0;
    for (part, us) in zone
        .split(|byte| *byte == b':')
        .zip([3_600_000_000, 60_000_000, 1_000_000])
    {
        offset_us += digits(part)? * us;
    }
    let utc_us = match sign {
        b'+' => clock_us - offset_us,
        b'-' => clock_us + offset_us,
        _ => return Err(Unexpected),
    }
    .rem_euclid(DAY_US);
    let (seconds, mut fraction) = (utc_us / 1_000_000, utc_us % 1_000_000);
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "\"{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction > 0 {
        let mut width = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        let _ = write!(out, ".{fraction:0width$}");
    }
    out.extend_from_slice(b"Z\"");
    Ok(())
}

/// `P1Y2M-3DT4H5M6.5S` to microseconds, in the floating-point steps that Debezium takes.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // as Java's casts
pub(super) fn interval(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let mut parts = Parts::default();
    parts.read(text)?;
    let days = (parts.years * 12 + parts.months) as f64 * (365.25 / 12.0) + parts.days as f64;
    let hours = days * 24.0 + parts.hours as f64;
    let seconds = parts.seconds_us / 1_000_000;
    let seconds = seconds as f64 + (parts.seconds_us % 1_000_000) as f64 / 1e6;
    let seconds = (hours * 60.0 + parts.minutes as f64) * 60.0 + seconds;
    json::number((seconds * 1e6) as i64, out);
    Ok(())
}

#[derive(Default)]
struct Parts {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds_us: i64,
}

impl Parts {
    fn read(&mut self, text: &[u8]) -> Result<(), Unexpected> {
        let mut rest = text.strip_prefix(b"P").ok_or(Unexpected)?;
        let mut time = false;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(b"T") {
                (time, rest) = (true, after);
                continue;
            }
            let unit = rest
                .iter()
                .position(u8::is_ascii_alphabetic)
                .ok_or(Unexpected)?;
            let (number, after) = rest.split_at(unit);
            let (unit, after) = after.split_first().ok_or(Unexpected)?;
            if (*unit, time) == (b'S', true) {
                self.seconds_us = signed_us(number)?;
            } else {
                let part = match (unit, time) {
                    (b'Y', false) => &mut self.years,
                    (b'M', false) => &mut self.months,
                    (b'D', false) => &mut self.days,
                    (b'H', true) => &mut self.hours,
                    (b'M', true) => &mut self.minutes,
                    _ => return Err(Unexpected),
                };
                *part = signed(number)?;
            }
            rest = after;
        }
        Ok(())
    }
}

fn signed(text: &[u8]) -> Result<i64, Unexpected> {
    match text.strip_prefix(b"-") {
        Some(magnitude) => digits(magnitude).map(|value| -value),
        None => digits(text),
    }
}

/// Seconds with a fraction of at most six digits.
fn signed_us(text: &[u8]) -> Result<i64, Unexpected> {
    let (negative, magnitude) = match text.strip_prefix(b"-") {
        Some(magnitude) => (true, magnitude),
        None => (false, text),
    };
    let point = magnitude.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = magnitude.split_at(point.unwrap_or(magnitude.len()));
    let us = digits(whole)? * 1_000_000 + fraction_us(fraction)?;
    Ok(if negative { -us } else { us })
}

/// Of `.5`, or of nothing.
fn fraction_us(text: &[u8]) -> Result<i64, Unexpected> {
    let Some(fraction) = text.strip_prefix(b".") else {
        return if text.is_empty() {
            Ok(0)
        } else {
            Err(Unexpected)
        };
    };
    let scale = 6_u32.checked_sub(u32::try_from(fraction.len()).map_err(|_| Unexpected)?);
    Ok(digits(fraction)? * 10_i64.pow(scale.ok_or(Unexpected)?))
}

fn digits(text: &[u8]) -> Result<i64, Unexpected> {
    if text.is_empty() || text.len() > 12 || !text.iter().all(u8::is_ascii_digit) {
        return Err(Unexpected);
    }
    Ok(text
        .iter()
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

/// Seconds and microseconds since 1970, the latter never negative.
fn since_1970(text: &[u8]) -> Result<(i64, i64), Unexpected> {
    let space = memchr::memchr(b' ', text).ok_or(Unexpected)?;
    let (date, clock) = text.split_at(space);
    let (clock_us, era) = clock_us(clock.get(1..).unwrap_or_default())?;
    let days = match era {
        b"" => civil_days(date, false)?,
        b" BC" => civil_days(date, true)?,
        _ => return Err(Unexpected),
    };
    Ok((days * 86_400 + clock_us / 1_000_000, clock_us % 1_000_000))
}

/// Microseconds of `HH:MM:SS[.ffffff]`, and what follows.
fn clock_us(text: &[u8]) -> Result<(i64, &[u8]), Unexpected> {
    let ([h1, h2, b':', m1, m2, b':', s1, s2], rest) =
        text.split_first_chunk::<8>().ok_or(Unexpected)?
    else {
        return Err(Unexpected);
    };
    let fraction = rest
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
    let (fraction, rest) = rest.split_at(fraction.count());
    let minutes = digits(&[*h1, *h2])? * 60 + digits(&[*m1, *m2])?;
    let seconds = minutes * 60 + digits(&[*s1, *s2])?;
    Ok((seconds * 1_000_000 + fraction_us(fraction)?, rest))
}

fn days(text: &[u8]) -> Result<i64, Unexpected> {
    match text.strip_suffix(b" BC") {
        Some(date) => civil_days(date, true),
        None => civil_days(text, false),
    }
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar: the year begins in March, so that
/// the leap day is its last, and 400 years have 146097 days.
fn civil_days(text: &[u8], before_christ: bool) -> Result<i64, Unexpected> {
    let year_digits = text.len().checked_sub(6).ok_or(Unexpected)?;
    let (year, rest) = text.split_at(year_digits);
    let [b'-', m1, m2, b'-', d1, d2] = rest else {
        return Err(Unexpected);
    };
    let (month, day) = (digits(&[*m1, *m2])?, digits(&[*d1, *d2])?);
    let year = match (digits(year)?, before_christ) {
        (0, _) => return Err(Unexpected),
        (year, true) => 1 - year,
        (year, false) => year,
    };
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year_of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    Ok(cycle * 146_097 + day_of_cycle - 719_468)
}
