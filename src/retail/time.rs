//! `Timestamp` and `Hour`: microseconds since 1970 in UTC, and the hours they fall into.

use std::fmt;

use super::digits::{Digits, number};

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// A moment, in microseconds since 1970-01-01 UTC. Never infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` microseconds after 1970 began.
    pub fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// Microseconds since 1970 began.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The whole hour it lies in.
    pub fn hour(self) -> Hour {
        Hour(Timestamp(self.0 - self.0.rem_euclid(HOUR_US)))
    }

    /// The whole minute at or before it.
    #[must_use]
    pub fn minute(self) -> Timestamp {
        Timestamp(self.0 - self.0.rem_euclid(MINUTE_US))
    }

    /// Microseconds from `earlier` to `self`; zero when `earlier` is not earlier.
    pub fn micros_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }
}

/// `[H, H + 1 h)`, named by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(Timestamp);

impl Hour {
    /// Where it begins.
    pub fn start(self) -> Timestamp {
        self.0
    }
}

/// A source's timestamp: a moment, or one of the infinities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A moment.
    Finite(Timestamp),
    /// `infinity` or `-infinity`, or past what 64 bits of microseconds hold (the year 294247).
    Infinite,
}

/// The text is no ISO 8601 timestamp with up to six fraction digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedMoment;

impl fmt::Display for MalformedMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an ISO 8601 timestamp in UTC")
    }
}

impl Moment {
    /// Reads `2026-11-23T08:00:00.123456Z`, with `Z` or (of a timestamp without time zone, taken as
    /// UTC) without. Years before 1 are written with a minus sign, as ISO 8601 counts them.
    pub fn parse(text: &str) -> Result<Moment, MalformedMoment> {
        if matches!(text, "infinity" | "-infinity") {
            return Ok(Moment::Infinite);
        }
        finite(text).ok_or(MalformedMoment)
    }
}

fn finite(text: &str) -> Option<Moment> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (year, rest) = unsigned.split_once('-')?;
    let year = number(year, 4, 6)?;
    let mut rest = Digits::new(rest.strip_suffix('Z').unwrap_or(rest));
    let month = rest.two(1, 12)?;
    rest.expect(b'-')?;
    let day = rest.two(1, 31)?;
    rest.expect(b'T')?;
    let hour = rest.two(0, 24)?;
    rest.expect(b':')?;
    let minute = rest.two(0, 59)?;
    rest.expect(b':')?;
    let second = rest.two(0, 60)?;
    let fraction = rest.fraction_of_micros()?;
    rest.end()?;
    let days = days_since_1970(if negative { -year } else { year }, month, day);
    let of_day = hour * HOUR_US + minute * MINUTE_US + second * SECOND_US + fraction;
    let micros = days
        .checked_mul(DAY_US)
        .and_then(|micros| micros.checked_add(of_day));
    Some(micros.map_or(Moment::Infinite, |micros| Moment::Finite(Timestamp(micros))))
}

/// Days from 1970-01-01 to the day of the proleptic Gregorian calendar, counted in 400-year eras
/// of years that begin in March, so that a leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_OF_ERA: i64 = 146_097;
    const DAYS_TO_1970: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_OF_ERA + day_of_era - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<i64> {
        match Moment::parse(text) {
            Ok(Moment::Finite(moment)) => Some(moment.micros()),
            Ok(Moment::Infinite) | Err(MalformedMoment) => None,
        }
    }

    #[test]
    fn timestamps_are_read_to_the_microsecond() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000000Z", 0_i64),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2026-11-23T08:00:00.123456Z", 1_795_420_800_123_456),
            ("2026-11-23T08:00:00.1234Z", 1_795_420_800_123_400),
            ("2026-11-23T08:00:00", 1_795_420_800_000_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
            ("-0001-01-01T00:00:00Z", -62_198_755_200_000_000),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        assert_eq!(
            Moment::parse("294276-12-31T23:59:59.999999Z"),
            Ok(Moment::Infinite)
        );
    }

    #[test]
    fn infinities_are_no_moments_and_other_text_is_refused() {
        assert_eq!(Moment::parse("infinity"), Ok(Moment::Infinite));
        assert_eq!(Moment::parse("-infinity"), Ok(Moment::Infinite));
        for text in [
            "",
            "2026-11-23",
            "1795420800123456",
            "2026-13-01T00:00:00Z",
            "2026-11-23T08:00:00.1234567Z",
            "2026-11-23T08:00:00+01:00",
            "2026-11-23 08:00:00",
            "2026-11-23T08:00:00.Z",
        ] {
            assert_eq!(Moment::parse(text), Err(MalformedMoment), "{text:?}");
        }
    }

    #[test]
    fn minutes_begin_at_or_before_their_moments() {
        for (micros, start) in [
            (0, 0),
            (MINUTE_US - 1, 0),
            (MINUTE_US, MINUTE_US),
            (-1, -MINUTE_US),
        ] {
            let minute = Timestamp::from_micros(micros).minute();
            assert_eq!(minute, Timestamp::from_micros(start));
        }
    }

    #[test]
    fn hours_begin_at_or_before_their_moments() {
        for (micros, start) in [(0, 0), (HOUR_US - 1, 0), (HOUR_US, HOUR_US), (-1, -HOUR_US)] {
            let hour = Timestamp::from_micros(micros).hour();
            assert_eq!(hour.start(), Timestamp::from_micros(start));
        }
    }
}
