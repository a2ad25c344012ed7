//! What a process's metrics say: counters, and quantiles of a histogram between two looks. Pure.

use std::collections::BTreeMap;

/// Sums of the named counters, and the buckets of one histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    /// Observations up to each bound, in thousandths of its unit.
    buckets: BTreeMap<u64, f64>,
    all: f64,
}

/// The value of a metric without labels.
pub(super) fn counter(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == name).then(|| value.parse().ok())?
    })
}

impl Histogram {
    /// Reads one out of Prometheus's text format; empty where it is not told of.
    pub(super) fn read(metrics: &str, name: &str) -> Histogram {
        let mut histogram = Histogram::default();
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
        for line in lines {
            let Some((labels, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else {
                continue;
            };
            let bound = labels.strip_prefix("_bucket{").and_then(|labels| {
                let (_, rest) = labels.split_once("le=\"")?;
                rest.split_once('"')?.0.parse::<f64>().ok()
            });
            match bound {
                Some(bound) if bound.is_finite() => {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "bounds of seconds"
                    )]
                    let thousandths = (bound * 1e3).round() as u64;
                    *histogram.buckets.entry(thousandths).or_default() += value;
                }
                Some(_) => histogram.all += value,
                None => {}
            }
        }
        histogram
    }

    /// The quantile `part` of what was observed since an earlier look: the bound of the bucket that holds it.
    /// `None` if nothing was.
    pub(super) fn quantile_since(&self, earlier: &Histogram, part: f64) -> Option<f64> {
        let since = |bound: u64| {
            let before = earlier.buckets.get(&bound).copied().unwrap_or_default();
            self.buckets.get(&bound).copied().unwrap_or_default() - before
        };
        let all = self.all - earlier.all;
        if all <= 0.0 {
            return None;
        }
        let bound = self
            .buckets
            .keys()
            .find(|bound| since(**bound) >= part * all);
        bound.map(|bound| *bound as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "\
tidewater_a_seconds_bucket{le=\"0.001\"} 5
tidewater_a_seconds_bucket{le=\"0.01\"} 6
tidewater_a_seconds_bucket{le=\"+Inf\"} 7
tidewater_a_seconds_sum 3.5
tidewater_a_seconds_count 7
tidewater_records_total 41
";

    #[test]
    fn a_quantile_is_of_what_came_since() {
        let earlier = Histogram::read(EARLIER, "tidewater_a_seconds");
        let later = EARLIER.replace("} 6", "} 16").replace("} 7", "} 18");
        let later = Histogram::read(&later, "tidewater_a_seconds");
        // Of eleven, ten took up to ten milliseconds, and one longer than any bound.
        assert_eq!(later.quantile_since(&earlier, 0.5), Some(0.01));
        assert_eq!(later.quantile_since(&earlier, 0.99), None);
        assert_eq!(later.quantile_since(&later, 0.5), None);
        assert_eq!(
            Histogram::read(EARLIER, "tidewater_b_seconds"),
            Histogram::default()
        );
    }

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        assert_eq!(counter(EARLIER, "tidewater_records_total"), Some(41.0));
        assert_eq!(counter(EARLIER, "tidewater_records"), None);
    }
}
