//! When the next change is due: a steady rate, or one that follows the hours of a day and the days of a week.

use rand::Rng;

use super::rhythm;

const SECOND_NS: u64 = 1_000_000_000;
/// Per ten thousand, as [`rhythm::busyness`] says it.
const MEAN: u64 = 10_000;

/// How fast changes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Changes per second over all plans.
    pub(super) changes_per_second: u32,
    /// Plans that share the rate.
    pub(super) plans: u32,
    /// When the clock starts, seconds since 1970, if the rate has a rhythm.
    pub(super) rhythm_from: Option<u64>,
}

/// The clock of one plan: it stands where the next change is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rate: Rate,
    due_ns: u64,
}

impl Pace {
    /// Starts `begin_us` after the start.
    pub(super) fn new(rate: Rate, begin_us: u64) -> Pace {
        Pace {
            rate,
            due_ns: begin_us * 1_000,
        }
    }

    /// When the next change is due, microseconds after the start.
    pub(super) fn due_us(&self) -> u64 {
        self.due_ns / 1_000
    }

    /// The plan has decided on as many changes.
    pub(super) fn spend(&mut self, changes: u32) {
        let one_ns =
            SECOND_NS * u64::from(self.rate.plans) / u64::from(self.rate.changes_per_second);
        let busyness = self.now_s().map_or(MEAN, rhythm::busyness);
        self.due_ns += u64::from(changes) * one_ns * MEAN / busyness;
    }

    /// Whether a product that is popular is wanted now: not always, when it is out of season.
    pub(super) fn is_wanted(&self, product_id: i64, rng: &mut impl Rng) -> bool {
        self.now_s()
            .is_none_or(|now_s| rhythm::is_wanted(product_id, now_s, rng))
    }

    /// Where the clock stands, seconds since 1970, if there is a rhythm.
    fn now_s(&self) -> Option<u64> {
        Some(self.rate.rhythm_from? + self.due_ns / SECOND_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes_until(rate: Rate, from_us: u64, until_us: u64) -> u32 {
        let mut pace = Pace::new(rate, from_us);
        let mut changes = 0;
        while pace.due_us() < until_us {
            pace.spend(1);
            changes += 1;
        }
        changes
    }

    #[test]
    fn plans_share_the_rate() {
        let rate = Rate {
            changes_per_second: 1_000,
            plans: 4,
            rhythm_from: None,
        };
        assert_eq!(changes_until(rate, 0, 10_000_000), 2_500);
        assert_eq!(changes_until(rate, 9_000_000, 10_000_000), 250);
    }

    #[test]
    fn a_rate_below_one_per_plan_is_kept() {
        let rate = Rate {
            changes_per_second: 1,
            plans: 4,
            rhythm_from: None,
        };
        assert_eq!(changes_until(rate, 0, 40_000_000), 10);
    }

    /// From a Monday on.
    fn with_rhythm(from_s: u64) -> Rate {
        const MONDAY: u64 = 4 * rhythm::DAY_S;
        Rate {
            changes_per_second: 100,
            plans: 1,
            rhythm_from: Some(MONDAY + from_s),
        }
    }

    #[test]
    fn nights_and_mondays_are_quiet() {
        let at = |day: u64, hour: u64| {
            let from = day * rhythm::DAY_S + hour * rhythm::HOUR_S;
            changes_until(with_rhythm(from), 0, 60_000_000)
        };
        // A minute at a tenth and at 1.9 times the rate of a Monday and of a Saturday; the last change is due a
        // fraction early.
        for (day, hour, expected) in [(0, 3, 480), (0, 19, 9_120), (5, 3, 900), (5, 19, 17_100)] {
            let found = at(day, hour);
            assert!(found.abs_diff(expected) <= 1, "{day} {hour}: {found}");
        }
    }

    #[test]
    fn the_mean_of_a_week_is_the_rate() {
        let week_s = 7 * rhythm::DAY_S;
        let rate = Rate {
            changes_per_second: 1,
            ..with_rhythm(0)
        };
        let changes = u64::from(changes_until(rate, 0, week_s * 1_000_000));
        assert!(changes.abs_diff(week_s) < week_s / 1_000, "{changes}");
    }
}
