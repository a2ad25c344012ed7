//! A comparison as a person reads it.

use std::fmt;

use super::{ArmFigures, Comparison, Model, ModelledArm};

/// Columns are as wide as the longest figure that fits a shop.
const LABEL: usize = 32;
const FIGURE: usize = 20;

/// One line: what, and one figure for each arm.
struct Line<'a>(&'a str, Vec<String>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:LABEL$}", self.0)?;
        self.1
            .iter()
            .try_for_each(|figure| write!(f, "{figure:>FIGURE$}"))?;
        f.write_str("\n")
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {}\n\n", self.since, self.until)?;
        let each = |figure: fn(&ArmFigures) -> String| self.arms.iter().map(figure).collect();
        let lines = [
            Line("measured", each(|arm| arm.arm.clone())),
            Line(
                "share of the customers",
                each(|arm| format!("{} %", arm.percent)),
            ),
            Line(
                "customers of the rules' tiers",
                each(|arm| arm.customers.to_string()),
            ),
            Line("codes", each(|arm| arm.codes.to_string())),
            Line("redeemed", each(redeemed)),
            Line(
                "cause to code, half within",
                each(|arm| duration(arm.cause_to_code_p50_seconds)),
            ),
            Line(
                "cause to code, 99 % within",
                each(|arm| duration(arm.cause_to_code_p99_seconds)),
            ),
            Line(
                "units per customer",
                each(|arm| figure(arm.units_per_customer, 3)),
            ),
            Line("units more than the holdout", each(uplift)),
            Line(
                "cost of the discount",
                each(|arm| format!("{:.2}", arm.discount_cost)),
            ),
            Line(
                "products in stores with codes",
                each(|arm| arm.products.to_string()),
            ),
            Line(
                "excess units of those",
                each(|arm| arm.excess_units.to_string()),
            ),
            Line(
                "hours that those were sold out",
                each(|arm| format!("{:.1}", arm.stockout_hours)),
            ),
        ];
        lines.iter().try_for_each(|line| write!(f, "{line}"))?;
        self.notes(f)?;
        if self.models.iter().any(|model| !model.arms.is_empty()) {
            self.models(f)?;
        }
        Ok(())
    }
}

impl Comparison {
    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |name| {
            self.arms
                .iter()
                .find(|arm| arm.arm == name)
                .map_or(0, |arm| arm.percent)
        };
        if percent("holdout") == 0 {
            f.write_str(
                "\nnobody is held out, so nothing says what would have been bought without codes: give\n\
                 retail.arms.holdout some percent of the customers\n",
            )?;
        }
        if percent("stream") == 0 || percent("batch") == 0 {
            f.write_str(
                "\none of stream and batch has no customers: retail.arms gives both some, to compare them\n",
            )?;
        }
        Ok(())
    }

    fn models(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\na model, not a measurement: a code that comes at once is answered with a chance of {:.0} %, and\n\
             interest fades with the time from cause to code; of the codes with a known cause\n",
            100.0 * self.response
        )?;
        for model in &self.models {
            f.write_str("\n")?;
            let each = |figure: fn(&ModelledArm) -> String| model.arms.iter().map(figure).collect();
            let lines = [
                Line(&title(model), each(|arm| arm.arm.clone())),
                Line("answered", each(|arm| format!("{:.1}", arm.answers))),
                Line("units", each(|arm| format!("{:.1}", arm.units))),
                Line(
                    "cost of the discount",
                    each(|arm| format!("{:.2}", arm.discount_cost)),
                ),
                Line(
                    "excess units left",
                    each(|arm| format!("{:.0}", arm.excess_units)),
                ),
            ];
            lines.iter().try_for_each(|line| write!(f, "{line}"))?;
        }
        Ok(())
    }
}

fn title(model: &Model) -> String {
    match model.half_life_hours {
        Some(hours) => format!("half is left after {hours} h"),
        None => "interest stays".to_owned(),
    }
}

fn redeemed(arm: &ArmFigures) -> String {
    match arm.redeemed_share {
        Some(share) => format!("{} ({:.1} %)", arm.redeemed, 100.0 * share),
        None => "-".to_owned(),
    }
}

fn uplift(arm: &ArmFigures) -> String {
    match (arm.uplift_units, arm.uplift_error_units) {
        (Some(units), Some(error)) => format!("{units:+.1} ± {error:.1}"),
        _ => "-".to_owned(),
    }
}

fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// A time as people say it: `310 ms`, `4.2 s`, `17 min`, `8.3 h`.
fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", 1e3 * seconds),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) => format!("{:.1} h", seconds / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        let check = |seconds, text| assert_eq!(duration(seconds), text);
        check(None, "-");
        check(Some(0.3104), "310 ms");
        check(Some(4.21), "4.2 s");
        check(Some(1_000.0), "17 min");
        check(Some(30_000.0), "8.3 h");
    }

    fn arm(name: &str, percent: i32) -> ArmFigures {
        ArmFigures {
            arm: name.to_owned(),
            percent,
            customers: 40,
            codes: 4,
            timed_codes: 3,
            redeemed: 1,
            redeemed_share: Some(0.25),
            cause_to_code_p50_seconds: Some(0.3),
            cause_to_code_p99_seconds: Some(0.9),
            units_per_customer: Some(1.25),
            uplift_units: (name != "holdout").then_some(5.0),
            uplift_error_units: (name != "holdout").then_some(7.5),
            discount_cost: 3.5,
            products: 2,
            excess_units: 70,
            stockout_hours: 0.5,
        }
    }

    #[test]
    fn the_columns_are_the_arms_and_what_is_missing_is_named() {
        let mut comparison = Comparison {
            since: "2026-11-01T00:00:00Z".to_owned(),
            until: "2026-11-02T00:00:00Z".to_owned(),
            shares_since: None,
            response: 0.2,
            arms: vec![arm("stream", 45), arm("batch", 45), arm("holdout", 10)],
            models: vec![],
        };
        let text = comparison.to_string();
        let line = |start: &str| {
            let found = text.lines().find(|line| line.starts_with(start));
            found
                .unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(line("measured"), "measured stream batch holdout");
        assert_eq!(
            line("units more"),
            "units more than the holdout +5.0 ± 7.5 +5.0 ± 7.5 -"
        );
        assert!(
            !text.contains("nobody is held out") && !text.contains("a model"),
            "{text}"
        );
        comparison.arms.pop();
        assert!(comparison.to_string().contains("retail.arms.holdout"));
    }
}
