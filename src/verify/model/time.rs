//! Timestamps of events, `2026-11-23T08:00:00.123456Z`, as microseconds since 1970.

const DAY_US: i64 = 86_400_000_000;

/// A timestamp column: a moment, or none that an aggregate could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Microseconds since 1970.
    At(i64),
    /// `infinity` or `-infinity`.
    Infinite,
}

/// Parses an event's timestamp; `None` when it is none.
pub(super) fn parse(text: &str) -> Option<Moment> {
    if matches!(text, "infinity" | "-infinity") {
        return Some(Moment::Infinite);
    }
    let (date, clock) = text.strip_suffix('Z').unwrap_or(text).split_once('T')?;
    let (date, sign) = date.strip_prefix('-').map_or((date, 1), |date| (date, -1));
    let mut date = date.trim_start_matches('+').splitn(3, '-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = whole.splitn(3, ':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros = digits(&format!("{fraction:0<6}"))?;
    let seconds = (hour * 60 + minute) * 60 + second;
    let days = days_since_1970(sign * year, month, day);
    Some(Moment::At(
        days.checked_mul(DAY_US)?
            .checked_add(seconds * 1_000_000 + micros)?,
    ))
}

fn digits(text: &str) -> Option<i64> {
    let plain = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// Days of the proleptic Gregorian calendar. Years begin in March, so that the leap day is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let at = |micros| Some(Moment::At(micros));
        for (text, expected) in [
            ("1970-01-01T00:00:00.000000Z", at(0)),
            ("1969-12-31T23:59:59.999999Z", at(-1)),
            ("2000-02-29T00:00:00.000001Z", at(951_782_400_000_001)),
            ("2026-11-23T08:00:00.123456Z", at(1_795_420_800_123_456)),
            ("2026-11-23T08:00:00Z", at(1_795_420_800_000_000)),
            ("infinity", Some(Moment::Infinite)),
            ("-infinity", Some(Moment::Infinite)),
            ("2026-11-23", None),
            ("2026-11-23 08:00:00", None),
            ("2026-11-23T08:00:00.1234567Z", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
