//! When the next change is due: a steady rate, or one that follows the hours of a day.

/// Nanoseconds of an hour.
const HOUR_NS: u64 = 3_600_000_000_000;

/// Per cent of the mean rate in each hour of the day, UTC: nights are quiet, the evening is not.
const RHYTHM: [u64; 24] = [
    20, 15, 10, 10, 15, 30, 60, 90, 110, 120, 130, 140, 150, 140, 130, 130, 140, 160, 180, 190,
    170, 130, 80, 50,
];
// The mean of the day is the rate that was asked for.
const _: () = {
    let (mut rest, mut sum): (&[u64], u64) = (&RHYTHM, 0);
    while let [hour, later @ ..] = rest {
        sum += *hour;
        rest = later;
    }
    assert!(sum == 24 * 100);
};

/// How fast changes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Changes per second over all plans.
    pub(super) changes_per_second: u32,
    /// Plans that share the rate.
    pub(super) plans: u32,
    /// Second of the day at which the clock starts, for a daily rhythm.
    pub(super) rhythm_from: Option<u32>,
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
            1_000_000_000 * u64::from(self.rate.plans) / u64::from(self.rate.changes_per_second);
        self.due_ns += u64::from(changes) * one_ns * 100 / self.percent();
    }

    fn percent(&self) -> u64 {
        let Some(from) = self.rate.rhythm_from else {
            return 100;
        };
        let hour = (u64::from(from) * 1_000_000_000 + self.due_ns) / HOUR_NS % 24;
        let hour = usize::try_from(hour).unwrap_or_default();
        RHYTHM.get(hour).copied().unwrap_or(100)
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

    #[test]
    fn nights_are_quiet() {
        let at = |hour: u32| {
            let rate = Rate {
                changes_per_second: 100,
                plans: 1,
                rhythm_from: Some(hour * 3_600),
            };
            changes_until(rate, 0, 60_000_000)
        };
        // A minute at a tenth, and at 1.9 times the rate; the last change is due a fraction early.
        assert!(at(3).abs_diff(600) <= 1, "{}", at(3));
        assert!(at(19).abs_diff(11_400) <= 1, "{}", at(19));
    }
}
