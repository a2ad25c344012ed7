//! How late things were, from when they were due to when they were done.

use hdrhistogram::Histogram;

/// Highest lateness told apart, microseconds.
const LATENESS_US_MAX: u64 = 3_600_000_000;

/// Lateness of everything so far.
#[derive(Debug)]
pub(super) struct Lateness {
    /// Microseconds. Absent if there is no memory for it.
    histogram: Option<Histogram<u64>>,
}

impl Default for Lateness {
    fn default() -> Self {
        Lateness {
            histogram: Histogram::new_with_max(LATENESS_US_MAX, 3).ok(),
        }
    }
}

impl Lateness {
    pub(super) fn add(&mut self, late_us: u64) {
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(late_us);
        }
    }

    /// Milliseconds that this part of all things did not exceed.
    pub(super) fn ms(&self, quantile: f64) -> f64 {
        let late_us = self.histogram.as_ref();
        let late_us = late_us.map(|histogram| histogram.value_at_quantile(quantile));
        late_us.unwrap_or(0) as f64 / 1e3
    }
}
