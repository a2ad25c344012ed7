//! Whether the batch runs that some customers have their codes from. Pure.

use super::{Finding, Severity};

/// A nightly batch that was last done longer ago has been missed, seconds.
const AGE_NOTABLE: f64 = 2.0 * DAY;
const DAY: f64 = 86_400.0;

/// `percent` of the customers are in its arm; `age` is how many seconds ago it was last done, if ever.
pub(super) fn last_run(percent: i32, age: Option<f64>) -> Finding {
    const CHECK: &str = "sink.batch";
    let last = match age {
        Some(age) if age <= AGE_NOTABLE => {
            return Finding::ok(CHECK, "the batch was done within two days");
        }
        Some(age) => format!("was last done {:.1} days ago", age / DAY),
        None => "was never done".to_owned(),
    };
    Finding::bad(
        Severity::Warning,
        CHECK,
        format!(
            "tidewater batch {last}, and {percent} percent of the customers have their codes from it"
        ),
        "run tidewater batch --date yesterday every night, or set retail.arms.batch = 0",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_missed_is_warned_of() {
        for (age, severity, part) in [
            (Some(2.0 * DAY), Severity::Ok, "within two days"),
            (
                Some(2.5 * DAY),
                Severity::Warning,
                "last done 2.5 days ago, and 45 percent",
            ),
            (None, Severity::Warning, "never done"),
        ] {
            let finding = last_run(45, age);
            assert_eq!(finding.severity, severity, "{age:?}");
            assert!(finding.finding.contains(part), "{}", finding.finding);
        }
    }
}
