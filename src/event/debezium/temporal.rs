//! Dates, times and intervals as Debezium counts or writes them.

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

/// The same as the driver's local date and time.
const FOREVER: &[u8] = b"\"+294247-01-10T04:00:25.2Z\"";
const NEVER: &[u8] = b"\"-290308-12-21T19:59:27.6Z\"";
/// And the dates as which an overflow shows.
const FOREVER_DATE: &[u8] = b"\"-5877611-06-21Z\"";
const NEVER_DATE: &[u8] = b"\"-5877611-06-22Z\"";

/// What a time or timestamp is counted in, or that it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::event) enum Unit {
    Millis,
    Micros,
    Nanos,
    Iso,
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

/// A date in ISO 8601, and in UTC.
pub(super) fn iso_date(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    match text {
        b"infinity" => out.extend_from_slice(FOREVER_DATE),
        b"-infinity" => out.extend_from_slice(NEVER_DATE),
        _ => {
            temporal::date(text, out)?;
            out.pop(); // the quote
            out.extend_from_slice(b"Z\"");
        }
    }
    Ok(())
}

/// A time of day.
pub(super) fn time(text: &[u8], unit: Unit, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let (clock_us, rest) = clock_us(text)?;
    if !rest.is_empty() {
        return Err(Unexpected);
    }
    match unit {
        Unit::Millis => json::number(clock_us / 1000, out),
        Unit::Micros => json::number(clock_us, out),
        Unit::Nanos => json::number(clock_us * 1000, out),
        Unit::Iso => iso_time(clock_us, out),
    }
    Ok(())
}

/// `"04:05:06.5Z"`, without trailing zeros; 24:00 is midnight.
fn iso_time(clock_us: i64, out: &mut Vec<u8>) {
    let clock_us = clock_us.rem_euclid(DAY_US);
    let (seconds, fraction) = (clock_us / 1_000_000, clock_us % 1_000_000);
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "\"{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    fraction_digits(fraction, out);
    out.extend_from_slice(b"Z\"");
}

pub(super) fn timestamp(text: &[u8], unit: Unit, out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let infinite = match text {
        b"infinity" => Some(FOREVER_US),
        b"-infinity" => Some(NEVER_US),
        _ => None,
    };
    let (seconds, fraction_us) = match infinite {
        Some(_) => (0, 0),
        None => since_1970(text)?,
    };
    match (unit, infinite) {
        (Unit::Millis, Some(us)) => json::number(us / 1000, out),
        (Unit::Millis, None) => json::number(seconds * 1000 + fraction_us / 1000, out),
        (Unit::Micros, Some(us)) => json::number(us, out),
        // As Java does it: the seconds saturate, and the fraction may then wrap around.
        (Unit::Micros, None) => {
            let us = seconds.saturating_mul(1_000_000).wrapping_add(fraction_us);
            json::number(us, out);
        }
        (Unit::Nanos, Some(NEVER_US)) => json::number(i64::MIN, out),
        (Unit::Nanos, Some(_)) => json::number(i64::MAX, out),
        (Unit::Nanos, None) => nanoseconds(seconds, fraction_us, out),
        (Unit::Iso, Some(NEVER_US)) => out.extend_from_slice(NEVER),
        (Unit::Iso, Some(_)) => out.extend_from_slice(FOREVER),
        (Unit::Iso, None) => {
            temporal::timestamp(text, false, out)?;
            without_trailing_zeros(out);
        }
    }
    Ok(())
}

/// Null where there are too many.
fn nanoseconds(seconds: i64, fraction_us: i64, out: &mut Vec<u8>) {
    const DAY_SECONDS: i64 = 86_400;
    // As Java does it: the day and the time within it each have to fit.
    let day = seconds.div_euclid(DAY_SECONDS).checked_mul(DAY_US * 1000);
    let within = (seconds.rem_euclid(DAY_SECONDS) * 1_000_000 + fraction_us) * 1000;
    match day.and_then(|day| day.checked_add(within)) {
        Some(nanoseconds) => json::number(nanoseconds, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// `…:06.120000"` to `…:06.12Z"`.
fn without_trailing_zeros(out: &mut Vec<u8>) {
    out.pop(); // the quote
    while out.last() == Some(&b'0') {
        out.pop();
    }
    if out.last() == Some(&b'.') {
        out.pop();
    }
    out.extend_from_slice(b"Z\"");
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
        if part.len() != 2 {
            return Err(Unexpected);
        }
        offset_us += digits(part)? * us;
    }
    let utc_us = match sign {
        b'+' => clock_us - offset_us,
        b'-' => clock_us + offset_us,
        _ => return Err(Unexpected),
    }
    .rem_euclid(DAY_US);
    iso_time(utc_us, out);
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

/// `.12` of 120000 microseconds, and nothing of none.
fn fraction_digits(mut fraction_us: i64, out: &mut Vec<u8>) {
    if fraction_us > 0 {
        let mut width = 6;
        while fraction_us % 10 == 0 {
            fraction_us /= 10;
            width -= 1;
        }
        // Writing to memory does not fail.
        let _ = write!(out, ".{fraction_us:0width$}");
    }
}

/// The same with each part, as `P1Y2M-3DT4H5M6.5S`.
pub(super) fn iso_interval(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let mut parts = Parts::default();
    parts.read(text)?;
    let Parts {
        years,
        months,
        days,
        hours,
        minutes,
        seconds_us,
    } = parts;
    let sign = if seconds_us < 0 { "-" } else { "" };
    let (seconds, fraction) = (seconds_us.abs() / 1_000_000, seconds_us.abs() % 1_000_000);
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "\"P{years}Y{months}M{days}DT{hours}H{minutes}M{sign}{seconds}"
    );
    fraction_digits(fraction, out);
    out.extend_from_slice(b"S\"");
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

/// Milliseconds since 1970 of a timestamp, in UTC if it has a zone; `None` if it is no time, or too far away.
pub(in crate::event) fn millis_since_1970(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"+00").unwrap_or(text);
    let (seconds, fraction_us) = since_1970(text).ok()?;
    seconds.checked_mul(1000)?.checked_add(fraction_us / 1000)
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

/// The last day of PostgreSQL's calendar is in the year 5874897.
const YEAR_DIGITS_MAX: usize = 7;

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar: the year begins in March, so that
/// the leap day is its last, and 400 years have 146097 days.
fn civil_days(text: &[u8], before_christ: bool) -> Result<i64, Unexpected> {
    let year_digits = text.len().checked_sub(6);
    let year_digits = year_digits.filter(|digits| *digits <= YEAR_DIGITS_MAX);
    let year_digits = year_digits.ok_or(Unexpected)?;
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
