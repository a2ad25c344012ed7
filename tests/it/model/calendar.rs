//! Timestamps by counting days one year at a time.

const DAY: i64 = 86_400_000_000;

/// Microseconds since 1970 of `2026-11-23T08:00:00.123456Z`; `None` for the infinities.
pub(crate) fn micros(text: &str) -> Option<i64> {
    if text.ends_with("infinity") {
        return None;
    }
    let number = |from: usize, to: usize| -> i64 { text[from..to].parse().unwrap() };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let seconds = number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    let fraction = number(20, 26);
    assert_eq!(&text[26..], "Z", "{text}");
    let years: i64 = if year >= 1970 {
        (1970..year).map(days_of_year).sum()
    } else {
        -(year..1970).map(days_of_year).sum::<i64>()
    };
    let months: i64 = (1..month).map(|month| days_of_month(year, month)).sum();
    Some((years + months + day - 1) * DAY + seconds * 1_000_000 + fraction)
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_year(year: i64) -> i64 {
    if leap(year) { 366 } else { 365 }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[test]
fn years_are_counted() {
    assert_eq!(micros("1970-01-01T00:00:00.000000Z"), Some(0));
    assert_eq!(micros("1969-12-31T23:59:59.999999Z"), Some(-1));
    assert_eq!(
        micros("2026-11-23T08:00:00.123456Z"),
        Some(1_795_420_800_123_456)
    );
    assert_eq!(
        micros("2000-02-29T00:00:00.000001Z"),
        Some(951_782_400_000_001)
    );
    assert_eq!(micros("-infinity"), None);
}
