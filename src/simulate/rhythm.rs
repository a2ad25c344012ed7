//! How busy a shop is by the hour and by the day, and what is in season. Times are seconds since 1970, UTC.

use rand::Rng;

pub(super) const HOUR_S: u64 = 3_600;
pub(super) const DAY_S: u64 = 24 * HOUR_S;

/// Per cent of the mean in each hour of the day: nights are quiet, the evening is not.
pub(super) const HOURS: [u64; 24] = [
    20, 15, 10, 10, 15, 30, 60, 90, 110, 120, 130, 140, 150, 140, 130, 130, 140, 160, 180, 190,
    170, 130, 80, 50,
];

/// Per cent of the mean on each day of the week, from Monday on.
pub(super) const DAYS: [u64; 7] = [80, 80, 85, 95, 120, 150, 90];

/// Per cent of the mean at the beginning of each month, of what sells best at the turn of the year. Other
/// groups of products have their best time a quarter, a half or three quarters of a year later.
const YEAR: [u64; 12] = [150, 143, 125, 100, 75, 57, 50, 57, 75, 100, 125, 143];
/// The highest of these.
const SEASON_MAX: u64 = 150;
/// Groups of products, by the id's remainder.
const GROUPS: u64 = 4;
/// A mean year: within a day of the calendar's.
const YEAR_S: u64 = 31_556_952;
/// The first of January 1970 was a Thursday.
const FIRST_DAY: u64 = 3;

// Over a day, a week and a year the mean is what was asked for.
const _: () = assert!(sum(&HOURS) == 24 * 100 && sum(&DAYS) == 7 * 100 && sum(&YEAR) == 12 * 100);

const fn sum(mut rest: &[u64]) -> u64 {
    let mut sum = 0;
    while let [one, later @ ..] = rest {
        sum += *one;
        rest = later;
    }
    sum
}

/// How busy the shop is: per ten thousand of the mean.
pub(super) fn busyness(unix_s: u64) -> u64 {
    at(&HOURS, unix_s / HOUR_S % 24) * day(unix_s)
}

/// Per cent of the mean on the day of the week.
pub(super) fn day(unix_s: u64) -> u64 {
    at(&DAYS, (unix_s / DAY_S + FIRST_DAY) % 7)
}

/// How much of a product is bought: per cent of what it is over the year. It changes slowly, from one month's
/// beginning to the next.
pub(super) fn season(product_id: i64, unix_s: u64) -> u64 {
    const MONTH_S: u64 = YEAR_S / 12;
    let group = product_id.unsigned_abs() % GROUPS;
    let within = (unix_s + YEAR_S - group * YEAR_S / GROUPS) % YEAR_S;
    let (month, into) = (within / MONTH_S, within % MONTH_S);
    let (this, next) = (at(&YEAR, month % 12), at(&YEAR, (month + 1) % 12));
    (this * (MONTH_S - into) + next * into) / MONTH_S
}

/// Draws whether somebody who would buy a product at its best time does so now.
pub(super) fn is_wanted(product_id: i64, unix_s: u64, rng: &mut impl Rng) -> bool {
    rng.random_range(0..SEASON_MAX) < season(product_id, unix_s)
}

fn at(of: &[u64], index: u64) -> u64 {
    let index = usize::try_from(index).unwrap_or_default();
    of.get(index).copied().unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Saturday, the 28th of November 2026, 19:30 UTC.
    const SATURDAY_EVENING: u64 = 1_795_894_200;

    #[test]
    fn hours_and_days_are_those_of_the_calendar() {
        let moment: jiff::Timestamp = "2026-11-28T19:30:00Z".parse().unwrap();
        assert_eq!(moment.as_second().unsigned_abs(), SATURDAY_EVENING);
        assert_eq!(busyness(SATURDAY_EVENING), 190 * 150);
        assert_eq!(busyness(SATURDAY_EVENING + 2 * DAY_S), 190 * 80);
        assert_eq!(busyness(SATURDAY_EVENING - 16 * HOUR_S), 10 * 150);
    }

    #[test]
    fn each_group_has_its_time() {
        let month = |month: u64| month * YEAR_S / 12 + 1;
        for (product_id, best) in [(4, 0), (1, 3), (2, 6), (3, 9)] {
            let worst = (best + 6) % 12;
            assert!(season(product_id, month(best)).abs_diff(SEASON_MAX) <= 1);
            assert!(season(product_id, month(worst)).abs_diff(50) <= 1);
        }
    }

    #[test]
    fn the_season_is_slow_and_its_mean_is_a_hundred() {
        let days = || (0..365).map(|day| season(7, SATURDAY_EVENING + day * DAY_S));
        let of_the_year: u64 = days().sum();
        assert!(of_the_year.abs_diff(365 * 100) < 365, "{of_the_year}");
        for (today, tomorrow) in days().zip(days().skip(1)) {
            assert!(today.abs_diff(tomorrow) <= 1);
            assert!((50..=SEASON_MAX).contains(&today));
        }
    }
}
